"""Pour a file block by block: each byte is read once, and digests and the copy are made of that one reading.

The blocks of a large file are handled by several lanes at the same time: while one waits for the medium, another hashes. Only the
digest of the whole file (BLAKE3) needs the blocks in their order; each lane waits for its turn there. Memory: one block a lane.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import xxhash
from blake3 import blake3

from passerelle.core.errors import storage_errors
from passerelle.transfer.medium import BLOCK_BYTES, Buffers, MediumFile

_SECTOR = 4096
_PIECE_BYTES = 256 << 10  # what stays in the cache of a processor while it is copied there and hashed twice
_ZEROS = memoryview(bytes(_PIECE_BYTES))

Tick = Callable[[int], None]  # told how many bytes are done; may wait (pause) and may raise (cancel)


class Digests(NamedTuple):
    """BLAKE3 of all bytes, 64 hexadecimal digits, and XXH3-128 of each block. also: digests asked for by name."""

    whole: str
    blocks: tuple[bytes, ...]
    also: tuple[tuple[str, str], ...] = ()

    @property
    def text(self) -> str:
        """The digests of the blocks as the manifest has them; none for a file of one block."""
        return b"".join(self.blocks).hex() if len(self.blocks) > 1 else ""


class CutShort(Exception):
    """The file ends before the size that it had when it was opened."""


class NamedFile(NamedTuple):
    """An open file, and its name for messages. holes: parts of it may take no room on the disk."""

    file: MediumFile
    name: str
    holes: bool


def pour(
    source: NamedFile,
    target: NamedFile | None,
    size: int,
    buffers: Buffers,
    tick: Tick,
    lanes: int = 1,
    also: tuple[str, ...] = (),
) -> Digests:
    """Copy `size` bytes and return their digests; holes of the source stay holes. target: None: only the digests are wanted.

    also: names of further digests, as `hashlib` has them.

    Raises:
        CutShort: the source has become shorter. StorageError and its kin: reading or writing failed; the file is named.
    """
    count = -(-size // BLOCK_BYTES)
    whole = blake3()
    others = [(name, hashlib.new(name, usedforsecurity=False)) for name in also]
    digests = [b""] * count
    lanes = min(lanes, count)
    turn = _Turn() if lanes > 1 else None

    def lane(first: int, step: int) -> None:
        with buffers.one() as buffer, turn or _ALONE:
            for index in range(first, count, step):
                start = index * BLOCK_BYTES
                length = min(BLOCK_BYTES, size - start)
                parts = _data_parts(source, start, length)
                pieces = _pieces(source, buffer, start, length, hole=not parts)
                block = xxhash.xxh3_128()
                with turn.of(index) if turn else _ALONE:
                    for piece in pieces:
                        whole.update(piece)
                        block.update(piece)
                        for _, other in others:
                            other.update(piece)
                digests[index] = block.digest()
                if target is not None:
                    for begin, end in parts:
                        _write(target, buffer, start, begin, end)
                tick(length)

    _run(lane, lanes)
    return Digests(whole.hexdigest(), tuple(digests), tuple((name, other.hexdigest()) for name, other in others))


def differing(file: NamedFile, size: int, blocks: tuple[bytes, ...], buffers: Buffers, tick: Tick, lanes: int = 1) -> list[int]:
    """Read a file and return the numbers of the blocks that differ from their digests; those that are not there differ."""
    wrong: list[int] = []

    def lane(first: int, step: int) -> None:
        with buffers.one() as buffer:
            for index in range(first, len(blocks), step):
                start = index * BLOCK_BYTES
                length = min(BLOCK_BYTES, size - start)
                try:
                    block = xxhash.xxh3_128()
                    for piece in _pieces(file, buffer, start, length, hole=not _data_parts(file, start, length)):
                        block.update(piece)
                    if block.digest() != blocks[index]:
                        wrong.append(index)
                except CutShort:
                    wrong.append(index)
                tick(length)

    _run(lane, min(lanes, len(blocks)))
    return sorted(wrong)


def block_words(index: int, size: int) -> str:
    """Name a block for a person: its number from 0, and its bytes."""
    start = index * BLOCK_BYTES
    return f"block {index} (bytes {start} to {min(start + BLOCK_BYTES, size) - 1})"


_ALONE = contextlib.nullcontext()


class _GivenUp(Exception):
    """Another lane has failed; its error counts."""


class _Turn:
    """Lets lanes through one after the other, in the order of block numbers. A lane that fails leaves no other waiting."""

    def __init__(self) -> None:
        self._next = 0
        self._given_up = False
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def of(self, index: int) -> Generator[None]:
        """Wait for the turn of a block; the next one has it when this one is done."""
        with self._changed:
            self._changed.wait_for(lambda: self._next == index or self._given_up)
            if self._given_up:
                raise _GivenUp
        yield
        with self._changed:
            self._next += 1
            self._changed.notify_all()

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            with self._changed:
                self._given_up = True
                self._changed.notify_all()


def _run(lane: Callable[[int, int], None], lanes: int) -> None:
    if lanes <= 1:
        lane(0, 1)
        return
    with ThreadPoolExecutor(lanes, "lane") as pool:
        running = [pool.submit(lane, first, lanes) for first in range(lanes)]
    errors = [error for each in running if (error := each.exception()) is not None]
    for error in sorted(errors, key=lambda each: isinstance(each, _GivenUp)):
        raise error


def _pieces(named: NamedFile, buffer: memoryview, start: int, length: int, *, hole: bool) -> Iterator[memoryview]:
    """Read a block into the buffer; return it in pieces. The medium gives it whole, the page cache piece by piece."""
    spans = ((begin, min(_PIECE_BYTES, length - begin)) for begin in range(0, length, _PIECE_BYTES))
    if hole:
        return (_ZEROS[:size] for _, size in spans)
    if named.file.direct:
        content = _read(named, buffer, start, length)
        return (content[begin : begin + size] for begin, size in spans)
    return (_read(named, buffer[begin:], start + begin, size) for begin, size in spans)


def _read(named: NamedFile, buffer: memoryview, start: int, length: int) -> memoryview:
    with storage_errors(named.name):
        if named.file.read(buffer, start, length) != length:
            raise CutShort
    return buffer[:length]


def _write(target: NamedFile, buffer: memoryview, start: int, begin: int, end: int) -> None:
    with storage_errors(target.name):
        target.file.write(buffer[begin - start :], begin, end - begin)


def _data_parts(named: NamedFile, start: int, length: int) -> list[tuple[int, int]]:
    """Return where in a block there is data, as (begin, end); what lies between are holes. Begins at whole sectors."""
    if not named.holes:
        return [(start, start + length)]
    parts: list[tuple[int, int]] = []
    place, stop = start, start + length
    while place < stop:
        try:
            begin = os.lseek(named.file.descriptor, place, os.SEEK_DATA)
            end = os.lseek(named.file.descriptor, begin, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:  # no data behind this place
                break
            return [(start, start + length)]
        if begin >= stop:
            break
        parts.append((begin // _SECTOR * _SECTOR, min(end, stop)))
        place = end
    return parts
