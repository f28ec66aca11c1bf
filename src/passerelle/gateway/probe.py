"""What a file's own bytes say of its wholeness: headers of movies, ends of sidecars."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

from passerelle.acquisition.program import Place, Role
from passerelle.core.errors import IncompleteFile, NotFound, PasserelleError, Retry
from passerelle.formats import MOVIE_SUFFIXES, EerOptions, read_header
from passerelle.gateway.settle import Broken, Finding, Incomplete, Unproven, Whole
from passerelle.gateway.unfilled import find_unfilled, first_hole

_BLOCK = 4096
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
        return find_unfilled(descriptor, size, header, trust_holes=trust_holes)
    if trust_holes and (hole := first_hole(descriptor, size)) is not None:
        return Incomplete(f"From byte {hole:,} on, a stretch was never written.")
    doubt = "" if any(os.pread(descriptor, _BLOCK, max(0, size - _BLOCK))) else "It ends with zeros."
    return Whole(header, growable=place.role is Role.MOVIE and suffix in _GROWABLE, doubt=doubt)


def _sentence(error: PasserelleError) -> str:
    text = f"{error.message} {error.advice}".strip()
    return text[:1].upper() + text[1:]


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
