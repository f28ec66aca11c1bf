"""Chunks of HDF5 datasets to numbers, as the filters of detectors left them; nothing grows beyond what a chunk may hold.

Plugins of the HDF5 library make room for whatever a chunk says of itself. Sources: the registered filters 32004 (LZ4, a head of
twelve bytes) and 32008 (bitshuffle, Masui et al. 2015, doi:10.1016/j.ascom.2015.07.002).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import imagecodecs
import numpy as np

DEFLATE, SHUFFLE, FLETCHER32, LZ4, BITSHUFFLE = 1, 2, 3, 32004, 32008
_SUM_BYTES = 4
_BITSHUFFLE_BLOCK_BYTES = 8192
_BITSHUFFLE_ALONE, _BITSHUFFLE_LZ4 = 0, 2


@dataclass(frozen=True, slots=True)
class Filter:
    """A step by which chunks were made. values: its parameters, as the file says."""

    number: int
    values: tuple[int, ...]


def can_decode(steps: Sequence[Filter]) -> bool:
    """Say whether chunks that went through these filters can be read."""
    return all(step.number in _UNDONE and not (step.number == BITSHUFFLE and _how(step) is None) for step in steps)


def decode_chunk(stored: bytes, steps: Sequence[Filter], size: int) -> bytes:
    """Undo the filters, which stand in the order in which they were applied; return exactly `size` bytes.

    Raises:
        ValueError: the chunk is corrupt.
    """
    content = stored
    for step in reversed(steps):
        content = _UNDONE[step.number](content, step, size + _SUM_BYTES)
    if len(content) != size:
        raise ValueError(f"a chunk holds {len(content):,} bytes instead of {size:,}")
    return content


def _inflated(content: bytes, _: Filter, most: int) -> bytes:
    try:
        return zlib.decompressobj().decompress(content, most)
    except zlib.error as error:
        raise ValueError(str(error)) from error


def _in_order(content: bytes, step: Filter, _: int) -> bytes:
    """Undo shuffle: the first bytes of all numbers, then the second ones, and so on."""
    width = step.values[0] if step.values else 1
    if not 0 < width <= 16:
        raise ValueError(f"numbers of {width} bytes")
    whole = len(content) // width * width
    lines = np.frombuffer(content[:whole], np.uint8).reshape(width, -1)
    return lines.T.tobytes() + content[whole:]


def _without_sum(content: bytes, _: Filter, __: int) -> bytes:
    return content[:-_SUM_BYTES]


def _lz4(content: bytes, _: Filter, most: int) -> bytes:
    return _blocks(content, most, plain_too=True)[0]


def _bits_in_order(content: bytes, step: Filter, most: int) -> bytes:
    width = step.values[2]
    block_bytes = width * step.values[3] if len(step.values) > 3 else 0
    if _how(step) == _BITSHUFFLE_LZ4:
        content, block_bytes = _blocks(content, most, plain_too=False, last_of=8 * width)
    elements = (block_bytes or _BITSHUFFLE_BLOCK_BYTES) // width // 8 * 8
    try:
        return bytes(imagecodecs.bitshuffle_decode(content, itemsize=width, blocksize=elements))
    except RuntimeError as error:
        raise ValueError(str(error)) from error


def _how(step: Filter) -> int | None:
    """Return what bitshuffle did beside; None where that cannot be undone."""
    if len(step.values) < 3 or step.values[2] not in (1, 2, 4, 8):
        return None
    beside = step.values[4] if len(step.values) > 4 else _BITSHUFFLE_ALONE
    return beside if beside in (_BITSHUFFLE_ALONE, _BITSHUFFLE_LZ4) else None


def _blocks(content: bytes, most: int, *, plain_too: bool, last_of: int = 1) -> tuple[bytes, int]:
    """Undo LZ4 block by block; return what it was and the size of a block.

    plain_too: a block that did not shrink stands as it was. last_of: the last block is a multiple of it, the rest is plain.
    """
    if len(content) < 12:
        raise ValueError("a chunk without its head")
    total, block = struct.unpack_from(">QI", content)
    if total > most or block < 1:
        raise ValueError(f"a chunk that says it has {total:,} bytes in blocks of {block:,}")
    out = bytearray(total)
    at, done = 12, 0
    while total - done >= last_of:
        size = min(block, (total - done) // last_of * last_of)
        (stored,) = struct.unpack_from(">I", content, at) if at + 4 <= len(content) else (len(content),)
        at += 4
        if not 0 < stored <= len(content) - at:
            raise ValueError("a chunk that ends within a block")
        if plain_too and stored == size:
            out[done : done + size] = content[at : at + size]
        elif _lz4_into(memoryview(out)[done : done + size], content[at : at + stored]) != size:
            raise ValueError("a block that is shorter than it says")
        at += stored
        done += size
    if total - done > len(content) - at:
        raise ValueError("a chunk that ends before its last numbers")
    out[done:] = content[at : at + total - done]
    return bytes(out), block


def _lz4_into(target: memoryview, stored: bytes) -> int:
    try:
        return len(imagecodecs.lz4_decode(stored, out=target))
    except RuntimeError as error:
        raise ValueError(str(error)) from error


_UNDONE: Mapping[int, Callable[[bytes, Filter, int], bytes]] = {
    DEFLATE: _inflated,
    SHUFFLE: _in_order,
    FLETCHER32: _without_sum,
    LZ4: _lz4,
    BITSHUFFLE: _bits_in_order,
}
