"""What a file's own bytes say of its wholeness: headers of movies, ends of sidecars, stretches that were never written."""

from __future__ import annotations

import errno
import os
import re
import struct
from pathlib import Path

from passerelle.acquisition.program import Place, Role
from passerelle.core.errors import IncompleteFile, NotFound, PasserelleError, Retry
from passerelle.formats import MOVIE_SUFFIXES, EerOptions, MovieHeader, read_header
from passerelle.gateway.settle import Broken, Finding, Incomplete, Unproven, Whole

_BLOCK = 4096
_FRAMES_SAMPLED = 64
_PLACES_SAMPLED = 4
_GROWABLE = frozenset({".tif", ".tiff", ".eer"})
_MRC = frozenset({".mrc", ".mrcs", ".map", ".st"})
_XML = frozenset({".xml", ".dm"})
_TEXT = frozenset({".mdoc", ".txt", ".log", ".star", ".json", ".csv"})
_ROOT_TAG = re.compile(r"<([A-Za-z_][\w:.\-]*)")
_EVERY_FRAME = EerOptions(frames_per_fraction=1)


def probe(path: Path, descriptor: int, size: int, place: Place, *, trust_holes: bool) -> Finding:
    """Look into a file, open at `descriptor`, of `size` bytes.

    The header of an EER movie counts raw frames here: fractions are the recipe's business. trust_holes: on this file system
    a hole is a place that nobody wrote (not so where zeros are compressed away, as on ZFS).

    Raises:
        NotFound: it vanished meanwhile.
    """
    if size == 0:
        return Incomplete("It is empty.")
    suffix = path.suffix.lower()
    try:
        if suffix in MOVIE_SUFFIXES or suffix == ".gain":
            return _probe_movie(path, descriptor, size, place, suffix, trust_holes)
        if suffix in _XML:
            return _probe_xml(descriptor, size)
        if suffix in {".jpg", ".jpeg"}:
            return _ends_with(descriptor, size, b"\xff\xd9", "its JPEG end marker")
        if suffix == ".png":
            return _ends_with(descriptor, size, b"IEND\xaeB`\x82", "its PNG end chunk")
        return Unproven(text=suffix in _TEXT and os.pread(descriptor, 1, size - 1) == b"\n")
    except OSError as error:
        return Broken(f"It could not be read: {os.strerror(error.errno or errno.EIO)}.", passing=True)


def _probe_movie(path: Path, descriptor: int, size: int, place: Place, suffix: str, trust_holes: bool) -> Finding:
    try:
        header = read_header(path, eer=_EVERY_FRAME)
    except IncompleteFile as error:
        return Incomplete(_sentence(error))
    except NotFound:
        raise
    except PasserelleError as error:
        return Broken(_sentence(error), passing=error.retry is not Retry.NEVER)
    if suffix in _MRC:
        return _probe_frames(descriptor, size, header, trust_holes)
    if trust_holes and (hole := _first_hole(descriptor, size)) is not None:
        return Incomplete(f"From byte {hole:,} on, a stretch was never written.")
    doubt = "" if any(os.pread(descriptor, _BLOCK, max(0, size - _BLOCK))) else "It ends with zeros."
    return Whole(header, growable=place.role is Role.MOVIE and suffix in _GROWABLE, doubt=doubt)


def _sentence(error: PasserelleError) -> str:
    text = f"{error.message} {error.advice}".strip()
    return text[:1].upper() + text[1:]


def _first_hole(descriptor: int, size: int, start: int = 0) -> int | None:
    try:
        hole = os.lseek(descriptor, start, os.SEEK_HOLE)
    except OSError:
        return None
    return hole if hole < size else None


def _probe_frames(descriptor: int, size: int, header: MovieHeader, trust_holes: bool) -> Finding:
    """Look for frames of an uncompressed stack that were not filled yet: a file may get its full length and its header first.

    Places that are zero in every frame are an opaque part of the picture (a grid bar). Elsewhere, a frame that is zero in part
    was torn; one that is zero throughout was never written (a hole), or is a blanked exposure (zeros that somebody wrote).
    """
    extended = struct.unpack("<i", os.pread(descriptor, 4, 92))[0]
    if not 0 <= extended < size - 1024:
        extended = struct.unpack(">i", os.pread(descriptor, 4, 92))[0]
    start = 1024 + extended if 0 <= extended < size - 1024 else 1024
    frame_bytes = (size - start) // header.frames
    if frame_bytes < 1:
        return Whole(header)
    if trust_holes and (hole := _first_hole(descriptor, size, start)) is not None:
        inside = (hole - start) % frame_bytes
        length = min(_BLOCK, frame_bytes - inside)
        frames = _spread(header.frames, _FRAMES_SAMPLED)
        if header.frames == 1 or any(any(os.pread(descriptor, length, start + k * frame_bytes + inside)) for k in frames):
            return Incomplete(f"From byte {hole:,} on, a stretch was never written.")
    return _compare_frames(descriptor, header, start, frame_bytes, trust_holes)


def _compare_frames(descriptor: int, header: MovieHeader, start: int, frame_bytes: int, trust_holes: bool) -> Finding:
    block = min(_BLOCK, max(1, frame_bytes // _PLACES_SAMPLED))
    places = _spread(frame_bytes - block + 1, _PLACES_SAMPLED)
    frames = _spread(header.frames, _FRAMES_SAMPLED)
    filled = [[any(os.pread(descriptor, block, start + k * frame_bytes + place)) for place in places] for k in frames]
    seen = [any(row[j] for row in filled) for j in range(len(places))]
    if not any(seen):
        hole = _first_hole(descriptor, start + header.frames * frame_bytes, start) if trust_holes else None
        if hole is not None:
            return Incomplete("Its frames were never written.")
        return Incomplete("All its frames are empty.") if header.frames > 1 else Whole(header, doubt="It is empty.")
    empty = 0
    for k, row in zip(frames, filled, strict=True):
        looked_at = [value for value, visible in zip(row, seen, strict=True) if visible]
        if not any(looked_at):
            empty += 1
        elif not all(looked_at) and header.frames > 1:
            return Incomplete(f"Frame {k + 1} is filled in part only.")
    if 2 * empty > len(frames):
        return Incomplete("Most of its frames are empty.")
    if not empty and header.frames > 2 and _tail_is_torn(descriptor, header.frames, frames, start, frame_bytes, block):
        return Incomplete("Its last frame is not filled to its end.")
    return Whole(header, doubt=f"{empty} of its frames are empty." if empty else "")


def _tail_is_torn(descriptor: int, count: int, frames: list[int], start: int, frame_bytes: int, block: int) -> bool:
    """Say whether the last frame ends with many more zeros than any other: the last few bytes of a file filled in place lack."""

    def zeros_at_end(frame: int) -> int:
        tail = os.pread(descriptor, block, start + (frame + 1) * frame_bytes - block)
        return len(tail) - len(tail.rstrip(b"\0"))

    last = zeros_at_end(count - 1)
    return last >= 64 and last > 16 + 8 * max(zeros_at_end(k) for k in frames[:-1])


def _spread(count: int, wanted: int) -> list[int]:
    """Return up to `wanted` of 0 … count - 1, evenly spread, the first and the last among them."""
    if count <= wanted:
        return list(range(max(count, 1)))
    return [round(i * (count - 1) / (wanted - 1)) for i in range(wanted)]


def _probe_xml(descriptor: int, size: int) -> Finding:
    head, tail = os.pread(descriptor, _BLOCK, 0), os.pread(descriptor, 2 * _BLOCK, max(0, size - 2 * _BLOCK))
    encoding = "utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    if encoding == "utf-16" and size > 2 * _BLOCK:
        tail = head[:2] + tail  # the byte order mark tells which of the two
    head_text, tail_text = head.decode(encoding, "replace"), tail.decode(encoding, "replace").rstrip("\0 \t\r\n")
    if not head_text.lstrip("\ufeff\0 \t\r\n").startswith("<"):
        return Unproven(text=tail_text.endswith(">"))
    root = _ROOT_TAG.search(head_text)
    if root is None:
        return Incomplete("Its XML has no element yet.")
    if re.search(rf"</{re.escape(root[1])}\s*>(\s*<!--[^<]*-->)*$", tail_text):
        return Whole()
    if tail_text.endswith("/>") and size <= _BLOCK and head_text.count("<", root.start()) == 1:
        return Whole()
    return Incomplete(f"Its XML does not end with </{root[1]}> yet.")


def _ends_with(descriptor: int, size: int, mark: bytes, what: str) -> Finding:
    tail = os.pread(descriptor, 64, max(0, size - 64)).rstrip(b"\0 \r\n")
    return Whole() if tail.endswith(mark.rstrip(b"\0 \r\n")) else Incomplete(f"It lacks {what}.")
