"""Bytes to LZW of TIFF (TIFF 6.0, section 13): the strings that libtiff finds, by a hash table that stays in cache.

A slot holds all there is to know of a string in 32 bits: its last byte (8), the code of what goes before (12), its own code
(12). What is known before the code is, the byte's share of the place, is looked up aside, so that a byte costs an exclusive
or, one load and one comparison, each waiting for the one before. Small bytes have regions of their own: counts hardly collide.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from passerelle.formats.lzw_words import store_word

_U = np.uint64
_CLEAR, _END = 256, 257
_CLEAR_AT = 4094  # as libtiff: readers differ in what they do with a full table
_SLOT_BITS = 15  # eight times the codes; 14 are as fast on counts, and a sixth slower on 16-bit pixels
_MASK = _U((1 << _SLOT_BITS) - 1)
_STEP = _U(10843)  # from a taken slot on: into another region, since those of frequent bytes are all but full
_EMPTY = np.uint32(0xFFFFFFFF)  # would be code 4095, which is never given
_CODE = _U(4096)


def _shares() -> NDArray[np.uint64]:
    byte = np.arange(256)
    region = byte + 3 * (byte >> 4) & 7  # one each for counts up to 7, and for two counts up to 2 in one byte
    return (region << 12 | (byte >> 3) * 0x9E5 & 0xFFF).astype(np.uint64)


_SHARES = _shares()


def encode_strip(rows: NDArray[Any]) -> bytes:
    """Compress the bytes of an array, in C order, to one strip."""
    plain = np.ascontiguousarray(rows).reshape(-1).view(np.uint8)
    # at worst 12 bits a byte, 12 more for each cleared table, and the word that is stored last
    target = np.empty(plain.size + plain.size // 2 + plain.size // 1024 + 32, np.uint8)
    return target[: _encode(plain, target, np.empty(1 << _SLOT_BITS, np.uint32), _SHARES)].tobytes()


@numba.njit(cache=True, nogil=True)
def _encode(
    plain: NDArray[np.uint8], target: NDArray[np.uint8], slots: NDArray[np.uint32], shares: NDArray[np.uint64]
) -> np.int64:
    """Write the codes of `plain`; return the bytes used. `held` counts the bits at the top of `word` that are not stored yet."""
    start = _U(target.ctypes.data)
    place = start
    slots[:] = _EMPTY
    width, free, wider_from = _U(9), _U(_END + 1), _U(512)
    word, held = _U(_CLEAR) << _U(55), _U(9)
    code = _U(plain[0]) if plain.size else _U(_END)
    for index in range(1, plain.size):
        byte = plain[index]
        slot = code ^ shares[byte]
        wanted = _U(byte) << _U(24) | code << _U(12)
        entry = _U(slots[slot])
        known = entry ^ wanted
        while known >= _CODE and entry != _U(_EMPTY):
            slot = slot + _STEP & _MASK
            entry = _U(slots[slot])
            known = entry ^ wanted
        if known < _CODE:
            code = known
            continue
        place, word, held = _put(place, word, held, code, width)
        slots[slot] = np.uint32(wanted | free)
        code = _U(byte)
        free += _U(1)
        if free >= wider_from:
            if width < _U(12):
                width += _U(1)
                wider_from = _U(1) << width if width < _U(12) else _U(_CLEAR_AT)
            else:
                place, word, held = _put(place, word, held, _U(_CLEAR), width)
                slots[:] = _EMPTY
                width, free, wider_from = _U(9), _U(_END + 1), _U(512)
    if plain.size:
        place, word, held = _put(place, word, held, code, width)
        if free + _U(1) >= wider_from and width < _U(12):
            width += _U(1)
    place, word, held = _put(place, word, held, _U(_END), width)
    return np.int64(place - start + (held + _U(7) >> _U(3)))


@numba.njit(cache=True, nogil=True, inline="always")
def _put(place: np.uint64, word: np.uint64, held: np.uint64, code: np.uint64, width: np.uint64) -> Any:
    """Add a code; store the word at once, and go on behind its whole bytes."""
    word |= code << (_U(64) - held - width)
    held += width
    store_word(place, word)
    return place + (held >> _U(3)), word << (held & _U(56)), held & _U(7)
