"""Paths and other foreign text as both databases can hold them: valid Unicode without NUL, and back without loss."""

from __future__ import annotations

import os
import re
from pathlib import PurePosixPath

_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")


def to_text(path: PurePosixPath | str) -> str:
    """Return `path` as text; each byte that is not valid UTF-8 becomes %XX, and a % that would read as one becomes %25."""
    text = _ESCAPE.sub(r"%25\1", str(path))
    return "".join(f"%{ord(c) - 0xDC00:02X}" if 0xDC80 <= ord(c) <= 0xDCFF else c for c in text)


def from_text(text: str) -> PurePosixPath:
    """Return the path that `to_text` wrote, byte for byte."""
    raw = _ESCAPE.sub(lambda found: chr(int(found.group(1), 16)) if found.group(1) == "25" else _lone(found.group(1)), text)
    return PurePosixPath(raw)


def _lone(digits: str) -> str:
    return os.fsdecode(bytes([int(digits, 16)])) if int(digits, 16) >= 0x80 else chr(int(digits, 16))


def storable(text: str) -> str:
    """Return foreign words (errors, sidecar values) with what no database column holds replaced: NUL and lone surrogates."""
    return text.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode("utf-8")
