"""Frames that were not filled yet: a stack may get its header and its full length first, its content later, or never.

What tells is the comparison of frames. A place that is zero in every frame is an opaque part of the picture (a grid bar).
Elsewhere, a frame that is zero in part was torn; one that is zero throughout was never written (a hole, or the rest of a file
that was given its size before), or is a blanked exposure.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass

from passerelle.formats import MovieHeader
from passerelle.gateway.settle import Incomplete, Whole

_BLOCK = 4096
_FRAMES_SAMPLED = 64
_PLACES_SAMPLED = 4
_TORN_BYTES = 64  # fewer zeros at the end of a frame than these tell nothing


def first_hole(descriptor: int, size: int, start: int = 0) -> int | None:
    """Return where the first stretch lies that has no room on the disk, None where there is none (or nobody can tell)."""
    try:
        hole = os.lseek(descriptor, start, os.SEEK_HOLE)
    except OSError:
        return None
    return hole if hole < size else None


def find_unfilled(descriptor: int, size: int, header: MovieHeader, *, trust_holes: bool) -> Whole | Incomplete:
    """Look for frames of an uncompressed MRC stack that were not filled yet; a few hundred small reads.

    trust_holes: a hole is a place that nobody wrote.
    """
    start = 1024 + _extended_header(descriptor, size)
    frame_bytes = (size - start) // header.frames
    if frame_bytes < 1:
        return Whole(header)
    stack = _Stack(descriptor, start, header.frames, frame_bytes)
    if trust_holes and (hole := first_hole(descriptor, size, start)) is not None and stack.filled_elsewhere(hole):
        return Incomplete(f"From byte {hole:,} on, a stretch was never written.")
    return _compare(stack, header)


def _extended_header(descriptor: int, size: int) -> int:
    for order in "<>":
        length = struct.unpack(f"{order}i", os.pread(descriptor, 4, 92))[0]
        if 0 <= length < size - 1024:
            return length
    return 0


def _compare(stack: _Stack, header: MovieHeader) -> Whole | Incomplete:
    frames = _spread(stack.count, _FRAMES_SAMPLED)
    rows = {k: stack.filled(k) for k in frames}
    visible = [j for j in range(len(stack.places)) if any(row[j] for row in rows.values())]
    if stack.count == 1:
        return Whole(header, doubt="" if visible else "It is empty.")
    if not visible:
        return Incomplete("All its frames are empty.")
    seen = [k for k in frames if any(rows[k][j] for j in visible)]
    for k in seen:
        if not all(rows[k][j] for j in visible):
            return Incomplete(f"Frame {k + 1} is filled in part only.")
    empty = len(frames) - len(seen)
    if 2 * empty > len(frames):
        return Incomplete("Most of its frames are empty.")
    last = _last_filled(stack, seen[-1], next((k for k in frames if k > seen[-1]), stack.count), visible)
    if not all(row := [stack.filled(last)[j] for j in visible]) and any(row):
        return Incomplete(f"Frame {last + 1} is filled in part only.")
    others = [k for k in seen if k != last]
    zeros = stack.zeros_at_end(last)
    # sparse counts end with zeros, too: what counts is that no other frame ends with nearly so many
    if len(others) > 1 and zeros >= _TORN_BYTES and zeros > 16 + 8 * max(stack.zeros_at_end(k) for k in others):
        return Incomplete(f"Frame {last + 1} is not filled to its end.")
    return Whole(header, doubt=f"About {empty} of {len(frames)} frames are empty." if empty else "")


def _last_filled(stack: _Stack, filled: int, empty: int, visible: list[int]) -> int:
    """Return the last frame that holds anything, between a sampled one that does and the next that does not."""
    while empty - filled > 1:
        middle = (filled + empty) // 2
        row = stack.filled(middle)
        if any(row[j] for j in visible):
            filled = middle
        else:
            empty = middle
    return filled


def _spread(count: int, wanted: int) -> list[int]:
    """Return up to `wanted` of 0 … count - 1, evenly spread, the first and the last among them."""
    if count <= wanted:
        return list(range(max(count, 1)))
    return [round(i * (count - 1) / (wanted - 1)) for i in range(wanted)]


@dataclass(frozen=True, slots=True)
class _Stack:
    """Frames of equal length, one after another in an open file."""

    descriptor: int
    start: int
    count: int
    frame_bytes: int

    @property
    def block(self) -> int:
        return min(_BLOCK, max(1, self.frame_bytes // _PLACES_SAMPLED))

    @property
    def places(self) -> list[int]:
        return _spread(self.frame_bytes - self.block + 1, _PLACES_SAMPLED)

    def read(self, frame: int, place: int, length: int) -> bytes:
        return os.pread(self.descriptor, length, self.start + frame * self.frame_bytes + place)

    def filled(self, frame: int) -> list[bool]:
        """Say for each sampled place of a frame whether anything but zeros is there."""
        return [any(self.read(frame, place, self.block)) for place in self.places]

    def filled_elsewhere(self, offset: int) -> bool:
        """Say whether what lies at `offset` of the file is more than zeros in some frame; of one frame alone nobody can tell."""
        place = (offset - self.start) % self.frame_bytes
        length = min(_BLOCK, self.frame_bytes - place)
        return self.count == 1 or any(any(self.read(k, place, length)) for k in _spread(self.count, _FRAMES_SAMPLED))

    def zeros_at_end(self, frame: int) -> int:
        """Count the zeros with which a frame ends, up to one block."""
        tail = self.read(frame, self.frame_bytes - self.block, self.block)
        return len(tail) - len(tail.rstrip(b"\0"))
