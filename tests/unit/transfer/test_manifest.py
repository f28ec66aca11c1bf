"""The manifest says the same after it was written and read, and knows when it was cut off or changed."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passerelle.core.errors import BadFile
from passerelle.transfer.manifest import Manifest, Row, journal_lines, read_journal, read_lines, write_lines
from passerelle.transfer.medium import BLOCK_BYTES

DIGEST = "ab" * 32


def row(path: str, size: int = 10, link_to: str = "") -> Row:
    blocks = "cd" * 16 * -(-size // BLOCK_BYTES) if size > BLOCK_BYTES else ""
    if link_to:
        return Row(path, 0, -5, "", "", 3.5, "copy", link_to)
    return Row(path, size, 1_700_000_000_123_456_789, DIGEST, blocks, 3.5, "copy")


def text_of(*rows: Row, legs: tuple[str, ...] = ()) -> list[bytes]:
    return list(write_lines(Manifest({each.path: each for each in rows}, list(legs))))


NAMES = st.binary(min_size=1, max_size=40).map(os.fsdecode).filter(lambda name: "\0" not in name and "/" not in name)


@given(NAMES.filter(lambda name: name not in {".", ".."}), NAMES)
def test_every_name_that_a_disk_can_have_comes_back_as_it_was(name: str, link_to: str) -> None:
    rows = (row(f"a/{name}"), row(f"b/{name}", link_to=link_to), row("large", 3 * BLOCK_BYTES + 1))
    assert tuple(read_lines(text_of(*rows), "m").rows.values()) == rows
    assert read_journal(journal_lines(rows)) == (list(rows), len(journal_lines(rows)))


def test_earlier_legs_travel_with_the_dataset() -> None:
    again = read_lines(text_of(row("a"), legs=("gateway to buffer", "copy")), "m")
    assert again.legs == ["gateway to buffer", "copy"]
    assert again.rows["a"].leg == "copy"


@given(st.data())
def test_a_manifest_that_was_cut_off_or_changed_is_refused(data: st.DataObject) -> None:
    whole = b"".join(text_of(row("a"), row("b"), row("large", 2 * BLOCK_BYTES)))
    if data.draw(st.booleans()):
        hurt = whole[: data.draw(st.integers(0, len(whole) - 2))]
    else:
        place = data.draw(st.integers(0, len(whole) - 2))
        hurt = whole[:place] + bytes([whole[place] ^ data.draw(st.integers(1, 255))]) + whole[place + 1 :]
    try:
        read = read_lines(hurt.splitlines(keepends=True), "m")
    except BadFile:
        return
    # only the count of bytes in the last line is not sealed, and nothing relies on it
    assert read.rows == {each.path: each for each in (row("a"), row("b"), row("large", 2 * BLOCK_BYTES))}


@given(st.integers(0, 2000), st.binary(max_size=50))
def test_a_journal_is_good_up_to_where_a_power_cut_left_it(cut: int, garbage: bytes) -> None:
    lines = [journal_lines([each]) for each in (row("a"), row("b"), row("large", 2 * BLOCK_BYTES))]
    whole = b"".join(lines)
    left = whole[:cut] + garbage  # which may happen to go on as the journal did
    rows, good = read_journal(left)
    expected = sum(left.startswith(b"".join(lines[: number + 1])) for number in range(3))
    assert len(rows) == expected
    assert whole[:good] == b"".join(lines[:expected])


@pytest.mark.parametrize("path", ["../out", "/etc/passwd", "a//b", "a/../b", "."])
def test_a_manifest_cannot_name_what_lies_outside(path: str) -> None:
    with pytest.raises(BadFile, match="no row"):
        read_lines(text_of(row(path)), "m")
