"""DM3 and DM4: pixels, the choice among images, tags in our units, hostile tag trees."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from passerelle.core.errors import BadFile, BadInput, IncompleteFile, UnsupportedFile
from passerelle.formats import load_stack, open_movie, read_gain, read_header, write_dm

TAGS = {
    "Microscope Info.Voltage": 300000.0,
    "Microscope Info.Cs(mm)": 2.7,
    "Microscope Info.Indicated Magnification": 130000.0,
    "Microscope Info.Stage Position.Stage X": -120.5,
    "Acquisition.Device.Name": "K2 Summit",
    "Acquisition.Parameters.High Level.Exposure (s)": 8.0,
    "DataBar.Exposure Time (s)": 0.2,
    "Session Info.Operator": "not asked for",
}


@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize("kind", ["u1", "i1", "u2", "i2", "f4"])
def test_a_movie_comes_back_in_the_order_of_the_file(tmp_path: Path, version: int, kind: str) -> None:
    stack = np.arange(3 * 8 * 10).reshape(3, 8, 10).astype(kind)
    path = tmp_path / f"a.dm{version}"
    write_dm(path, stack, 0.85, version=version)  # type: ignore[arg-type]
    header = read_header(path)
    assert (header.frames, header.height, header.width, header.dtype) == (3, 8, 10, stack.dtype)
    with open_movie(path) as movie:
        np.testing.assert_array_equal(load_stack(movie), stack)


def test_tags_are_read_in_our_units(tmp_path: Path) -> None:
    write_dm(tmp_path / "a.dm4", np.zeros((2, 8, 10), np.uint8), 0.855, tags=TAGS)
    header = read_header(tmp_path / "a.dm4")
    assert header.pixel_size_angstrom == pytest.approx(0.855)
    assert header.values == {
        "program": "DigitalMicrograph",
        "voltage_kv": 300.0,
        "spherical_aberration_mm": 2.7,
        "magnification": 130000.0,
        "stage_x_um": -120.5,
        "exposure_seconds": 8.0,
        "camera": "K2 Summit",
        "pixel_size_angstrom": pytest.approx(0.855),
    }


def test_a_gain_reference_of_integers_is_read_as_floats(tmp_path: Path) -> None:
    gain = np.arange(80, dtype=np.int32).reshape(8, 10)
    write_dm(tmp_path / "gain.dm4", gain, 1.0)
    np.testing.assert_array_equal(read_gain(tmp_path / "gain.dm4", 8, 10), gain.astype(np.float32))


def test_pixels_that_digital_micrograph_has_no_word_for_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput):
        write_dm(tmp_path / "a.dm4", np.zeros((4, 4), np.float16), 1.0)


@pytest.mark.parametrize("version", [3, 4])
def test_every_prefix_is_incomplete(tmp_path: Path, version: int) -> None:
    path = tmp_path / "a.dm4"
    write_dm(path, np.zeros((2, 8, 10), np.uint8), 1.0, version=version, tags=TAGS)  # type: ignore[arg-type]
    whole = path.read_bytes()
    for length in range(1, len(whole) - 8, 29):  # eight zeros end the file, which nobody misses
        path.write_bytes(whole[:length])
        with pytest.raises(IncompleteFile):
            read_header(path)


def tree(*tags: bytes, count: int | None = None, head: bytes = b"\0\0\0\3\0\0\0\0\0\0\0\1") -> bytes:
    """A DM3 file of the given tags in its root group."""
    return head + b"\1\0" + struct.pack(">I", len(tags) if count is None else count) + b"".join(tags)


def data(name: bytes, info: list[int], content: bytes = b"", mark: bytes = b"%%%%") -> bytes:
    return struct.pack(">BH", 21, len(name)) + name + mark + struct.pack(f">{len(info) + 1}I", len(info), *info) + content


def group(name: bytes, *tags: bytes, count: int | None = None) -> bytes:
    return (
        struct.pack(">BH", 20, len(name))
        + name
        + b"\1\0"
        + struct.pack(">I", len(tags) if count is None else count)
        + b"".join(tags)
    )


def image(kind: int, dimensions: list[int], pixels: bytes, element: int = 10) -> bytes:
    sides = [data(b"", [5], struct.pack("<I", side)) for side in dimensions]
    return group(
        b"",
        group(
            b"ImageData",
            data(b"Data", [20, element, len(pixels)], pixels),
            data(b"DataType", [3], struct.pack("<i", kind)),
            group(b"Dimensions", *sides),
        ),
    )


def test_the_largest_image_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "a.dm3"
    path.write_bytes(
        tree(group(b"ImageList", image(6, [2, 2], b"\7" * 4), image(6, [4, 3], b"\5" * 12), image(6, [1, 1], b"\1")))
    )
    with open_movie(path) as movie:
        np.testing.assert_array_equal(movie.frame(0), np.full((3, 4), 5))


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (tree(), UnsupportedFile),
        (tree(group(b"ImageList", image(3, [2, 2], b"\0" * 32))), UnsupportedFile),  # complex
        (tree(group(b"ImageList", image(6, [4, 4], b"\0" * 15))), BadFile),  # too few pixels
        (tree(group(b"ImageList", image(6, [0, 4], b""))), BadFile),
        (tree(group(b"ImageList", image(6, [1 << 31, 1 << 31], b"\0"))), BadFile),
        (tree(group(b"ImageList", image(6, [2, 2, 0], b""))), IncompleteFile),
        (tree(data(b"x", [3], b"\0\0\0\0", mark=b"%%%$")), BadFile),
        (tree(data(b"x", [99])), BadFile),
        (tree(data(b"x", [20, 99, 5])), BadFile),
        (tree(data(b"x", [20, 3, 1 << 31])), IncompleteFile),
        (tree(data(b"x", [15, 0, 1 << 31])), BadFile),
        (tree(data(b"x", [15, 0, 1, 0, 77])), BadFile),
        (tree(struct.pack(">BHI", 21, 1, 0), count=1), IncompleteFile),
        (tree(count=1 << 31), BadFile),
        (tree(b"\x17\0\1x"), BadFile),
        (tree(group(b"x", count=50)), IncompleteFile),
        (b"\0\0\0\3\0\0\0\0\0\0\0\7" + b"\0" * 40, BadFile),  # byte order 7
        (b"\0\0\0\3\0\0\0\0\0\0\0\0" + b"\0" * 40, UnsupportedFile),  # big-endian
        (b"\0\0\0\2" + b"\0" * 400, UnsupportedFile),
        (tree(data(b"x", [3] * 5000)), BadFile),
    ],
)
def test_trees_that_cannot_be_are_refused(tmp_path: Path, content: bytes, error: type[BadFile]) -> None:
    path = tmp_path / "a.dm3"
    path.write_bytes(content)
    with pytest.raises(error, match=r"a\.dm3") as caught:
        read_header(path)
    assert type(caught.value) is error


def test_a_kind_of_value_that_is_not_known_is_passed_over_in_dm4(tmp_path: Path) -> None:
    write_dm(tmp_path / "a.dm4", np.ones((8, 10), np.uint8), 1.0, tags={"Microscope Info.Voltage": 3e5, "Strange": 1.5})
    content = bytearray((tmp_path / "a.dm4").read_bytes())
    at = content.index(b"Strange") + len(b"Strange") + 8 + 4 + 8  # after the size of the tag, the mark and the word count
    assert content[at : at + 8] == struct.pack(">Q", 7)
    content[at : at + 8] = struct.pack(">Q", 77)
    (tmp_path / "a.dm4").write_bytes(content)
    header = read_header(tmp_path / "a.dm4")
    assert header.values is not None and header.values["voltage_kv"] == 300 and header.frames == 1


def test_groups_inside_groups_without_end_are_refused(tmp_path: Path) -> None:
    deep = b""
    for _ in range(10_000):
        deep = b"\x14\0\1g\1\0\0\0\0\1" + deep
    (tmp_path / "a.dm3").write_bytes(tree(deep, count=1))
    with pytest.raises(BadFile, match="64 groups"):
        read_header(tmp_path / "a.dm3")


def test_long_names_and_many_tags_take_little_memory(tmp_path: Path) -> None:
    import tracemalloc

    many = [data(b"Voltage" * 9, [3], b"\0\0\0\0")] * 5_000
    (tmp_path / "a.dm3").write_bytes(tree(group(b"ImageList", group(b"", group(b"ImageTags", *many)))))
    size = (tmp_path / "a.dm3").stat().st_size
    tracemalloc.start()
    with pytest.raises(UnsupportedFile):
        read_header(tmp_path / "a.dm3")
    assert tracemalloc.get_traced_memory()[1] < size
    tracemalloc.stop()
