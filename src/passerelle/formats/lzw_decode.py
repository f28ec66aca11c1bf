"""LZW of TIFF to bytes: most significant bit first, codes of 9 to 12 bits, each length begun one code early.

The table says of each code where its string stands in what is already decoded, and how long it is: the string of a new code is
the one just written and the byte that follows it, so nothing is put together or turned round, and a code costs one look-up and
one move of 32 bytes. Where less than that is left of the strip, bytes are moved one by one. Source: TIFF 6.0, section 13.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from passerelle.formats.lzw_old import renewed
from passerelle.formats.lzw_words import BLOCK_BYTES, copy_block, load_word

CORRUPT, _OLD = -1, -2  # instead of the bytes decoded

_U = np.uint64
_CLEAR, _END = 256, 257
_MEANINGS = 5120  # more than 12 bits can ask for; writers that clear their table late are read as libtiff reads them
# An entry: address of the string, and in its lowest 12 bits the length, which never exceeds 4096 - 258 + 1. Addresses that
# programs are given have 52 bits at most.
_LENGTH_BITS, _LENGTH = _U(12), _U(4095)
_LETTERS = np.arange(256 + BLOCK_BYTES).astype(np.uint8)  # what the codes below 256 mean


def decode_strips(
    stored: NDArray[np.uint8], starts: NDArray[np.int64], counts: NDArray[np.int64], target: NDArray[np.uint8], strip_bytes: int
) -> tuple[int, int]:
    """Decode strips into `target` one behind the other, `strip_bytes` each, the last what is left.

    Return (number of strips, 0), or the first strip that does not fill its room, and its number of bytes or CORRUPT. What a
    strip holds beyond its room is passed over, as libtiff does.

    starts, counts: where the strips lie in `stored`, and their bytes. All arrays one-dimensional and contiguous.
    """
    first = 0
    while True:
        place = target[first * strip_bytes :]
        done, found = _decode_strips(stored, starts[first:], counts[first:], place, strip_bytes, _LETTERS)
        first += done
        if found != _OLD:
            return first, found
        old = renewed(stored[starts[first] : starts[first] + counts[first]])
        old.flags.writeable = False  # as what comes from files is: kernels are compiled for the one or the other
        place = target[first * strip_bytes : (first + 1) * strip_bytes]
        done, found = _decode_strips(old, np.array([0]), np.array([old.size]), place, strip_bytes, _LETTERS)
        first += done
        if not done:
            return first, found


def decoded_size(stored: NDArray[np.uint8], wanted: int) -> int:
    """Return how many bytes a strip decodes to, counted up to `wanted`, or CORRUPT; memory grows only as data fill it."""
    room = 4 * stored.size + 4096
    while True:
        place = np.empty(min(room, wanted), np.uint8)
        done, found = decode_strips(stored, np.array([0]), np.array([stored.size]), place, place.size)
        if not done or room >= wanted:
            return place.size if done else found
        room *= 2


@numba.njit(cache=True, nogil=True)
def _decode_strips(
    stored: NDArray[np.uint8],
    starts: NDArray[np.int64],
    counts: NDArray[np.int64],
    target: NDArray[np.uint8],
    strip_bytes: int,
    letters: NDArray[np.uint8],
) -> tuple[int, int]:
    table = np.empty(_MEANINGS, np.uint64)
    alphabet = _U(letters.ctypes.data)
    for letter in range(256):
        table[letter] = (alphabet + _U(letter)) << _LENGTH_BITS | _U(1)
    for strip in range(starts.size):
        place = target[strip * strip_bytes : (strip + 1) * strip_bytes]
        found = _decode(stored[starts[strip] : starts[strip] + counts[strip]], place, table)
        if found != place.size:
            return strip, found
    return starts.size, 0


@numba.njit(cache=True, nogil=True)
def _decode(stored: NDArray[np.uint8], target: NDArray[np.uint8], table: NDArray[np.uint64]) -> Any:
    """Decode one strip; return the bytes written, at most those of `target`, _OLD or CORRUPT.

    Every turn of the loop uses up 9 bits or more. Moves of whole blocks go `BLOCK_BYTES` - 1 bytes too far at most, and are made
    only where as much room is left behind the string; they read no farther than they could write, for a string's origin lies
    before its place.
    """
    if stored.size < 2:
        return 0
    if stored[0] == 0 and stored[1] & 1:
        return _OLD
    if stored[0] != 128 or stored[1] & 128:  # a strip begins with the code that clears the table
        return CORRUPT
    source = _U(stored.ctypes.data)
    bits = _U(8 * stored.size)
    bits_by_words = _U(8 * max(stored.size - 8, 0))  # before these, 8 bytes may be read at once
    start = _U(target.ctypes.data)
    end = start + _U(target.size)
    end_by_blocks = end - _U(BLOCK_BYTES) if target.size > BLOCK_BYTES else start
    place = start
    at = _U(0)
    width = _U(9)
    free = _U(_CLEAR + 1)  # the code that gets a meaning next; behind a clear, one that is none
    wider_from = _U(511)
    last = start << _LENGTH_BITS  # the string just written
    while at + width <= bits and place < end:
        if at < bits_by_words:
            word = load_word(source + (at >> _U(3)))
        else:
            word = _last_word(stored, at >> _U(3))
        code = word << (at & _U(7)) >> (_U(64) - width)
        at += width
        if code - _U(_CLEAR) < _U(2):
            if code == _U(_END):
                break
            width, free, wider_from = _U(9), _U(_CLEAR + 1), _U(511)
            continue
        if code > free:
            return CORRUPT
        table[free] = last + _U(1)
        entry = table[code]
        length = entry & _LENGTH
        origin = entry >> _LENGTH_BITS
        following = place + length
        if following <= end_by_blocks:
            copy_block(place, origin)
            if length > _U(BLOCK_BYTES):
                done = _U(BLOCK_BYTES)
                while done < length:
                    copy_block(place + done, origin + done)
                    done += _U(BLOCK_BYTES)
            if code == free:  # the string just written and its own first byte, which a block has read too early
                target[following - _U(1) - start] = target[place - start]
        else:
            following = min(following, end)
            if code >= _U(_CLEAR):
                for step in range(following - place):
                    target[place - start + _U(step)] = target[origin - start + _U(step)]
            else:
                target[place - start] = np.uint8(code)
        last = place << _LENGTH_BITS | length
        place = following
        free += _U(1)
        if free >= wider_from:
            if width < _U(12):
                width += _U(1)
                wider_from = (_U(1) << width) - _U(1) if width < _U(12) else _U(_MEANINGS)
            elif place < end:
                return CORRUPT
    return np.int64(place - start)


@numba.njit(cache=True, nogil=True)
def _last_word(stored: NDArray[np.uint8], byte: np.uint64) -> np.uint64:
    """Return the 8 bytes from `byte` on, zeros behind the end."""
    word = _U(0)
    for step in range(8):
        word <<= _U(8)
        if byte + _U(step) < _U(stored.size):
            word |= _U(stored[byte + _U(step)])
    return word
