"""LZW of TIFF: what is encoded comes back, here and elsewhere; what is corrupt is refused, and touches no other memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passerelle.core.errors import BadFile
from passerelle.formats import open_movie
from passerelle.formats.lzw_decode import CORRUPT, decode_strips, decoded_size
from passerelle.formats.lzw_encode import encode_strip
from passerelle.formats.tiff_assemble import LONG, SHORT, TiffAssembly

CLEAR, END = 256, 257


def decode(stored: bytes, room: int) -> bytes | None:
    """What `decode_strips` makes of one strip; None if it is corrupt. Fails if a byte beside its room is changed."""
    around = np.full(room + 128, 0xA5, np.uint8)
    strip = np.frombuffer(stored, np.uint8)
    done, found = decode_strips(strip, np.array([0]), np.array([strip.size]), around[64 : 64 + room], room)
    assert (around[:64] == 0xA5).all() and (around[64 + room :] == 0xA5).all()
    if found == CORRUPT:
        return None
    return around[64 : 64 + (room if done else found)].tobytes()


def codes_of(stored: bytes, old: bool = False) -> Iterator[int]:
    """The codes of a strip, as the specification says, without regard to speed."""
    bits = "".join(format(byte, "08b")[:: -1 if old else 1] for byte in stored)
    at, width, meanings = 0, 9, END
    while at + width <= len(bits):
        code = int(bits[at : at + width][:: -1 if old else 1], 2)
        at += width
        meanings = END if code == CLEAR else meanings + 1
        width = min(max(9, (meanings + (0 if old else 1)).bit_length()), 12)
        yield code


def by_the_book(stored: bytes, room: int) -> bytes | None:
    """Decode as TIFF 6.0, section 13 says; None if a code has no meaning."""
    if len(stored) < 2:
        return b""
    if stored[0] != 128 or stored[1] & 128:
        return None
    table: list[bytes] = []
    decoded, last = bytearray(), b""
    for code in codes_of(stored):
        if code == END or len(decoded) >= room:
            break
        if code == CLEAR:
            table, last = [bytes([value]) for value in range(256)] + [b"", b""], b""
            continue
        if code > len(table) or (not last and code > 255) or len(table) >= 5120:
            return None
        string = table[code] if code < len(table) else last + last[:1]
        if last:
            table.append(last + string[:1])
        decoded += string
        last = string
    return bytes(decoded[:room])


def pack(codes: list[int], old: bool = False) -> bytes:
    """Codes to a strip. Their lengths follow from how many came since the last clear."""
    bits, width, meanings = "", 9, END
    for code in codes:
        bits += format(code, f"0{width}b")[:: -1 if old else 1]
        meanings = END if code == CLEAR else meanings + 1
        width = min(max(9, (meanings + (0 if old else 1)).bit_length()), 12)
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[at : at + 8][:: -1 if old else 1], 2) for at in range(0, len(bits), 8))


LENGTHS = [0, 1, 2, 3, 31, 32, 33, 64, *range(252, 260), *range(764, 771), *range(1788, 1795), *range(3834, 3842), 4096, 20_000]


@pytest.mark.parametrize("values", [1, 2, 5, 256])
def test_bytes_of_any_number_come_back_here_and_elsewhere(values: int) -> None:
    rng = np.random.default_rng(values)
    for length in LENGTHS:
        plain = rng.integers(0, values, length).astype(np.uint8)
        stored = encode_strip(plain)
        assert imagecodecs.lzw_decode(stored) == plain.tobytes()
        assert by_the_book(stored, length) == plain.tobytes()
        assert decode(stored, length) == plain.tobytes()
        assert decode(bytes(imagecodecs.lzw_encode(plain.tobytes())), length) == plain.tobytes()


def test_strings_that_grow_into_themselves_come_back() -> None:
    """Runs are coded by strings whose last byte is their own first: of any length, and up to the last byte of the room."""
    for period in (1, 2, 3, 7, 31, 32, 33):
        for length in (*range(1, 140), 5_000, 300_000):
            plain = (b"\x07" * (period - 1) + b"\x09") * (length // period + 1)
            assert decode(encode_strip(np.frombuffer(plain, np.uint8)[:length]), length) == plain[:length]


@pytest.mark.parametrize("kind", ["u1", "u2", "f4"])
def test_counts_take_no_more_room_than_with_other_encoders(kind: str) -> None:
    counts = np.random.default_rng(1).poisson(1.0, (64, 1024)).astype(kind)
    stored = encode_strip(counts)
    assert len(stored) < 1.002 * len(imagecodecs.lzw_encode(counts.tobytes()))
    assert decode(stored, counts.nbytes) == counts.tobytes()


def test_noise_fits_into_the_room_that_is_set_aside_for_it() -> None:
    """Sixteen-bit noise, nearly every pair of bytes new: the worst that a strip can be."""
    noise = np.random.default_rng(1).integers(0, 256, 1 << 18).astype(np.uint8)
    stored = encode_strip(noise)
    assert len(stored) > noise.size
    assert decode(stored, noise.size) == noise.tobytes()


def test_rows_that_do_not_lie_together_are_encoded_in_their_order() -> None:
    image = np.arange(60, dtype=np.uint16).reshape(6, 10)
    assert decode(encode_strip(image[::-1, ::2]), 60) == image[::-1, ::2].tobytes()


def test_several_strips_follow_each_other_and_the_last_may_be_short() -> None:
    plain = np.random.default_rng(0).poisson(1.0, 2_500).astype(np.uint8)
    strips = [encode_strip(plain[at : at + 1000]) for at in range(0, 2_500, 1000)]
    stored = np.frombuffer(b"gap".join(strips), np.uint8)
    counts = np.array([len(strip) for strip in strips])
    starts = np.cumsum([0, *(counts[:-1] + 3)])
    target = np.empty(2_500, np.uint8)
    assert decode_strips(stored, starts, counts, target, 1000) == (3, 0)
    np.testing.assert_array_equal(target, plain)
    counts[1] //= 2
    strip, found = decode_strips(stored, starts, counts, target, 1000)
    assert strip == 1 and 0 < found < 1000


def test_what_a_strip_holds_beyond_its_room_is_passed_over() -> None:
    for length in range(1, 300):
        assert decode(encode_strip(np.zeros(400, np.uint8)), length) == bytes(length)


def test_a_table_that_is_cleared_late_is_read() -> None:
    """Beyond 4096 codes nothing new gets a meaning; some writers go on for a while."""
    plain = np.random.default_rng(0).integers(0, 256, 4_500).astype(np.uint8)
    stored = pack([CLEAR, *plain.tolist(), END])
    assert decode(stored, plain.size) == by_the_book(stored, plain.size) == imagecodecs.lzw_decode(stored) == plain.tobytes()
    endless = pack([CLEAR, *([7] * 6_000), END])
    assert decode(endless, 6_000) is None and by_the_book(endless, 6_000) is None


@pytest.mark.parametrize(
    ("codes", "room"),
    [
        ([CLEAR, 300, 65, END], 2),  # imagecodecs 2026.3.6 reads memory that was never set, and may end the process
        ([CLEAR, 258, END], 2),
        ([CLEAR, 65, 260, END], 9),
        ([CLEAR, 65, 66, CLEAR, 258, END], 9),
        ([65, 66, END], 2),
    ],
)
def test_codes_without_a_meaning_are_refused(codes: list[int], room: int) -> None:
    assert decode(pack(codes), room) is None
    assert decoded_size(np.frombuffer(pack(codes), np.uint8), room) == CORRUPT


@pytest.mark.parametrize("old", [False, True])
def test_strips_of_both_styles_are_read(old: bool) -> None:
    """The old style has its bits from the lowest up, and changes the length of codes one code later."""
    for length in (1, 5, 260, 800, 4_000, 9_000):
        plain = np.random.default_rng(length).poisson(1.0, length).astype(np.uint8).tobytes()
        stored = pack(list(codes_of(encode_strip(np.frombuffer(plain, np.uint8)))), old)
        assert imagecodecs.lzw_decode(stored)[:length] == plain
        assert decode(stored, length) == plain
        assert decode(stored[: len(stored) // 2], length) == plain[: len(decode(stored[: len(stored) // 2], length) or b"")]


def test_old_and_new_strips_may_stand_side_by_side() -> None:
    new = encode_strip(np.arange(9, dtype=np.uint8))
    old = pack(list(codes_of(new)), old=True)
    stored = np.frombuffer(old + new + old, np.uint8)
    counts = np.array([len(old), len(new), len(old)])
    target = np.empty(27, np.uint8)
    assert decode_strips(stored, np.array([0, len(old), len(old) + len(new)]), counts, target, 9) == (3, 0)
    assert target.tolist() == [*range(9)] * 3


def test_a_size_is_counted_up_to_what_is_wanted() -> None:
    stored = np.frombuffer(encode_strip(np.zeros(300_000, np.uint8)), np.uint8)
    assert stored.size < 2_000
    assert decoded_size(stored, 300_000) == 300_000
    assert decoded_size(stored, 1_000) == 1_000
    assert decoded_size(stored, 1 << 40) == 300_000  # and no memory of that size was asked for


@settings(max_examples=300, deadline=None)
@given(
    plain=st.binary(min_size=1, max_size=600) | st.lists(st.integers(0, 3), min_size=1, max_size=3_000).map(bytes),
    flips=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 7)), max_size=4),
    cut=st.integers(0, 10_000),
    more=st.binary(max_size=40),
    room=st.integers(1, 4_000),
)
def test_damaged_strips_decode_as_the_specification_says_or_are_refused(
    plain: bytes, flips: list[tuple[int, int]], cut: int, more: bytes, room: int
) -> None:
    stored = bytearray(encode_strip(np.frombuffer(plain, np.uint8)))
    for place, bit in flips:
        stored[place % len(stored)] ^= 1 << bit
    damaged = bytes(stored[: 1 + cut % len(stored)] + more)
    if damaged[0] or not damaged[1:2] or not damaged[1] & 1:
        assert decode(damaged, room) == by_the_book(damaged, room)
    else:
        decode(damaged, room)  # of the old style now: whatever it says, it stays in its room


@settings(max_examples=200, deadline=None)
@given(codes=st.lists(st.integers(0, 600), max_size=200), old=st.booleans(), room=st.integers(1, 2_000))
def test_codes_at_random_decode_as_the_specification_says_or_are_refused(codes: list[int], old: bool, room: int) -> None:
    fitting, width, meanings = [CLEAR], 9, END
    for code in codes:
        fitting.append(code % (1 << width))
        meanings = END if fitting[-1] == CLEAR else meanings + 1
        width = min(max(9, (meanings + (0 if old else 1)).bit_length()), 12)
    assert decode(pack(fitting, old), room) == by_the_book(pack(fitting), room)


def test_a_frame_with_a_senseless_code_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    with path.open("wb") as stream:
        sizes = [(256, LONG, [4]), (257, LONG, [4]), (258, SHORT, [8]), (259, SHORT, [5]), (278, LONG, [4])]
        TiffAssembly(stream).add_page([pack([CLEAR, 1, 2, 300, END]) + bytes(64)], sizes)
    with open_movie(path) as movie, pytest.raises(BadFile, match=r"a\.tif.*frame 0.*code of LZW that has no meaning"):
        movie.frame(0)
