"""STAR: what RELION writes is read, what is written RELION reads, what is neither is refused with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from passerelle.core.errors import BadFile, BadInput, NotFound
from passerelle.formats import MicrographRow, OpticsGroup, StarBlock, micrographs_star, read_star, write_star

RELION = """
# version 30001

data_optics

loop_
_rlnOpticsGroupName #1
_rlnOpticsGroup #2
_rlnVoltage #3
opticsGroup1            1   300.000000


# version 30001

data_micrographs

loop_
_rlnMicrographName #1
_rlnOpticsGroup #2
MotionCorr/job002/a.mrc            1
MotionCorr/job002/b.mrc            1

"""


def test_what_relion_writes_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.star").write_text(RELION)
    blocks = read_star(tmp_path / "a.star")
    assert list(blocks) == ["optics", "micrographs"]
    assert blocks["optics"].column("rlnVoltage") == ["300.000000"]
    assert list(blocks["micrographs"].rows()) == [("MotionCorr/job002/a.mrc", "1"), ("MotionCorr/job002/b.mrc", "1")]
    assert len(blocks["micrographs"]) == 2


@pytest.mark.parametrize(
    "change", [lambda t: t.replace("\n", "\r\n"), lambda t: "\ufeff" + t, str.strip, lambda t: t.replace(" #", "\t#")]
)
def test_line_ends_byte_order_marks_and_tabs_do_not_matter(tmp_path: Path, change) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "a.star").write_bytes(change(RELION).encode())
    assert read_star(tmp_path / "a.star")["micrographs"].column("rlnOpticsGroup") == ["1", "1"]


def test_pairs_quotes_and_comments_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.star").write_text(
        """data_
_a  1 # a comment
_b 'two words'
_c "it's"  # another
_d ''
_e #f
""".replace("_e #f\n", "_e x#f\n")
    )
    block = read_star(tmp_path / "a.star")[""]
    assert not block.loop
    assert dict(zip(block.columns, next(block.rows()), strict=True)) == {
        "a": "1",
        "b": "two words",
        "c": "it's",
        "d": "",
        "e": "x#f",
    }


VALUES = [
    "no\u00a0break",
    "plain",
    "two words",
    "it's",
    'say "x"',
    "",
    "#1",
    "_x",
    "data_x",
    "loop_",
    ";",
    "a#b",
    "ü",
    "x\udcff",
    " ",
    "a'",
    "'",
    '"',
    "None",
    "1e-5",
]


def test_every_value_that_is_written_comes_back(tmp_path: Path) -> None:
    block = StarBlock.of_rows(["a", "b"], [(value, "x") for value in VALUES])
    pairs = StarBlock.of_pairs({f"k{index}": value for index, value in enumerate(VALUES)})
    write_star(tmp_path / "a.star", {"table": block, "pairs": pairs})
    read = read_star(tmp_path / "a.star")
    assert read["table"].column("a") == VALUES
    assert list(next(read["pairs"].rows())) == VALUES


@pytest.mark.parametrize("value", ["a\nb", "a\rb", "a\0b", "both ' and \" x"])
def test_values_that_star_cannot_hold_are_refused(value: str) -> None:
    with pytest.raises(BadInput, match="STAR file cannot hold"):
        StarBlock.of_rows(["a"], [(value,)])


def test_rows_that_do_not_fit_are_refused() -> None:
    with pytest.raises(BadInput, match="2 values does not fit 1"):
        StarBlock.of_rows(["a"], [(1, 2)])
    with pytest.raises(BadInput, match="one row"):
        StarBlock.of_rows(["a"], [(1,), (2,)], loop=False)
    with pytest.raises(BadInput, match="no column c"):
        StarBlock.of_rows(["a"], [(1,)]).column("c")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no line begins with data_"),
        ("# only a comment\n", "no line begins with data_"),
        ("hello\n", "line 1 .* before the first data_"),
        ("_a 1\ndata_\n", "line 1"),
        ("data_x\nloop_\n", "no columns"),
        ("data_x\nloop_\n_a\n_a\n", "line 4 .* twice"),
        ("data_x\nloop_\n_a\n_b\n1\n", "line 5 has 1 values for 2 columns"),
        ("data_x\nloop_\n_a\n1 2\n", "2 values for 1 columns"),
        ("data_x\nloop_\n_a\n1\n_b\n", "label after the rows"),
        ("data_x\nloop_\n_a\n1\n\n2\n", "line 6"),
        ("data_x\nloop_\n_a\n1\n\nloop_\n_b\n2\n", "second table"),
        ("data_x\n_a\n", "0 values for the label"),
        ("data_x\n_a 1 2\n", "2 values for the label"),
        ("data_x\n_a 1\nloop_\n_b\n", "second table"),
        ("data_x\n_ 1\n", "without a name"),
        ("data_x\n;text\n;\n", "several lines"),
        ("data_x\ndata_x\n", "second block"),
        ("data_x\nword\n", "where a label or a block was expected"),
        ("data_x\n_a 1\0\n", "binary zeros"),
        ("data_x\nloop_\n" + "".join(f"_c{i}\n" for i in range(10_001)), "more than 10,000 columns"),
    ],
)
def test_what_is_no_star_is_refused_with_its_line(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "a.star").write_text(text)
    with pytest.raises(BadFile, match=words):
        read_star(tmp_path / "a.star")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"none\.star"):
        read_star(tmp_path / "none.star")


def test_micrographs_stand_in_relion_s_labels_with_their_optics(tmp_path: Path) -> None:
    optics = [OpticsGroup("krios", 300, 2.7, 0.1, 1.02, 0.51), OpticsGroup("talos", 200, 2.7, 0.07, 0.8)]
    rows = [
        MicrographRow(
            "m/a.mrc", 1, defocus_u_angstrom=21000.0, defocus_v_angstrom=20500.0, defocus_angle_deg=-30.0, score=0.2,
            total_motion_angstrom=7.5,
        ),
        MicrographRow("m/b.mrc", 2),
    ]  # fmt: skip
    write_star(tmp_path / "a.star", micrographs_star(optics, rows))
    read = read_star(tmp_path / "a.star")
    assert read["optics"].column("rlnMicrographOriginalPixelSize") == ["0.510000", "0.800000"]
    assert read["optics"].column("rlnOpticsGroup") == ["1", "2"]
    table = read["micrographs"]
    assert table.columns == (
        "rlnMicrographName", "rlnOpticsGroup", "rlnDefocusU", "rlnDefocusV", "rlnCtfAstigmatism", "rlnDefocusAngle",
        "rlnCtfFigureOfMerit", "rlnAccumMotionTotal",
    )  # fmt: skip
    assert next(table.rows())[:6] == ("m/a.mrc", "1", "21000.000000", "20500.000000", "500.000000", "-30.000000")
    assert table.column("rlnDefocusU") == ["21000.000000", "0.000000"]


def test_no_micrographs_are_an_empty_table_with_a_name_column(tmp_path: Path) -> None:
    write_star(tmp_path / "a.star", micrographs_star([OpticsGroup("g", 300, 2.7, 0.1, 1.0)], []))
    table = read_star(tmp_path / "a.star")["micrographs"]
    assert "rlnMicrographName" in table.columns and len(table) == 0


def test_what_relion_could_not_read_is_refused() -> None:
    with pytest.raises(BadInput, match="space"):
        micrographs_star([OpticsGroup("g", 300, 2.7, 0.1, 1.0)], [MicrographRow("my folder/a.mrc")])
    with pytest.raises(BadInput, match=r"optics group 2; there are 1 … 1"):
        micrographs_star([OpticsGroup("g", 300, 2.7, 0.1, 1.0)], [MicrographRow("a.mrc", 2)])


def test_a_table_takes_little_more_memory_than_its_file(tmp_path: Path) -> None:
    import tracemalloc

    (tmp_path / "a.star").write_bytes(b"data_\nloop_\n_a\n" + b"1\n" * 30_000)
    tracemalloc.start()
    block = read_star(tmp_path / "a.star")[""]
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()
    assert sum(row == ("1",) for row in block.rows()) == 30_000
