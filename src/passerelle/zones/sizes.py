"""Sizes as people write them: 500G, 2 TB."""

from __future__ import annotations

import math
import re

from passerelle.core.errors import BadInput, printable

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40, "P": 1 << 50}
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,6})?)\s*([KMGTP]?)(?:i?B)?", re.IGNORECASE)


def size_bytes(text: str) -> int:
    """Return a size in bytes: 500G, 2T, 1.5 TiB; powers of 1024, as `ls -h` and Windows count.

    Raises:
        BadInput: it is none, or nothing.
    """
    found = _SIZE.fullmatch(text.strip())
    size = float(found.group(1)) * _UNITS[found.group(2).upper()] if found else 0.0
    if not 1 <= size < 1 << 62 or not math.isfinite(size):
        raise BadInput(f"`{printable(text, 40)}` is no size.", advice="Give one such as 500G or 2T.")
    return int(size)
