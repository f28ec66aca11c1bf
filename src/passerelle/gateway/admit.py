"""Which names are let in at all, and the place of a file in its session."""

from __future__ import annotations

from pathlib import PurePosixPath

from passerelle.acquisition.program import AcquisitionProgram, Place

# Names under which programs keep what is not finished: copiers (rsync, WinSCP, browsers, our own writes: `.p-<id>`),
# editors, Windows' ~RF*.TMP of an atomic replace, and what file managers leave behind.
_TEMPORARY_ENDINGS = (".tmp", ".temp", ".part", ".partial", ".filepart", ".crdownload", ".swp", ".lock", "~", "$$$")
_LITTER = frozenset(
    {"thumbs.db", "desktop.ini", "ehthumbs.db", "lost+found", "$recycle.bin", "system volume information", "@eadir"}
)


def ignored(name: str) -> bool:
    """Say whether a file or folder of this name is never looked at: hidden, temporary, or litter of a file manager."""
    if name.startswith((".", "~$")):
        return True
    lower = name.lower()
    return lower in _LITTER or lower.endswith(_TEMPORARY_ENDINGS)


def admit(program: AcquisitionProgram, path: str) -> Place | None:
    """Return the place of `path` (relative to the instrument's folder), None where the program would not write such a file."""
    return program.place(PurePosixPath(path))
