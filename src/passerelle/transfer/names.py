"""Names that will make trouble on Windows, or beside each other; they are copied as they are, and said."""

from __future__ import annotations

import re
from collections.abc import Iterable

_FORBIDDEN = frozenset('<>:"\\|?*')
_RESERVED = frozenset({"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(1, 10))})
_LONGEST = 255  # UTF-16 units of a name
# a quick look, as nearly all names are harmless
_PERHAPS = re.compile(r'[<>:"\\|?*\x00-\x1f\udc80-\udcff]|[. ]$|^(?:con|prn|aux|nul|com[1-9]|lpt[1-9]) *(?:\.|$)', re.IGNORECASE)


def windows_trouble(name: str) -> str:
    """Return why Windows cannot show a name, as words to follow it; "" if it can."""
    if len(name) <= _LONGEST // 2 and not _PERHAPS.search(name):
        return ""
    if any(0xDC80 <= ord(letter) <= 0xDCFF for letter in name):
        return "is not UTF-8"
    if bad := sorted({letter for letter in name if letter in _FORBIDDEN or ord(letter) < 32}):
        return f"has {' '.join(ascii(letter) for letter in bad)} in it, which Windows does not allow"
    if name[-1] in ". ":
        return "ends with a dot or a space, which Windows takes away"
    if name.partition(".")[0].rstrip().lower() in _RESERVED:
        return "is reserved for a device on Windows"
    if len(name.encode("utf-16-le")) // 2 > _LONGEST:
        return "is too long for Windows"
    return ""


def twins(names: Iterable[str]) -> list[tuple[str, str]]:
    """Return names of one folder that Windows takes for the same, as pairs: they differ in case alone."""
    seen: dict[str, str] = {}
    found: list[tuple[str, str]] = []
    for name in names:
        first = seen.setdefault(name.casefold(), name)
        if first != name:
            found.append((first, name))
    return found
