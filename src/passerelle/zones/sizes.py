"""Sizes as people write them: 500G, 2 TB."""

from __future__ import annotations

import re
from decimal import Decimal

from passerelle.core.errors import BadInput, printable

_PREFIXES = " KMGTP"
_SIZE = re.compile(r"(\d{1,19}(?:\.\d{1,6})?)\s*(?:([KMGTP])(i?))?B?", re.IGNORECASE | re.ASCII)


def size_bytes(text: str) -> int:
    """Return a size in bytes: 500G, 2 TB by powers of ten, as pages show them and disks are sold; 1.5 TiB by powers of 1024.

    Raises:
        BadInput: it is none, or nothing.
    """
    found = _SIZE.fullmatch(text.strip())
    size = Decimal(0)
    if found is not None:
        number, prefix, binary = found.groups()
        size = Decimal(number) * (1024 if binary else 1000) ** _PREFIXES.index((prefix or " ").upper())
    if not 1 <= size < 1 << 62:
        raise BadInput(f"`{printable(text, 40)}` is no size.", advice="Give one such as 500 GB, 2 TB or 2 TiB.")
    return int(size)


def exact_size(count: int) -> str:
    """Return a size as `size_bytes` reads it back, to the byte: 500 GB, 2 TiB; else the number of bytes."""
    for power in range(len(_PREFIXES) - 1, 0, -1):
        for base, ending in ((1000, "B"), (1024, "iB")):
            if count % base**power == 0:
                return f"{count // base**power} {_PREFIXES[power]}{ending}"
    return str(count)
