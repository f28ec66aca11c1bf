"""Text files of numbers that programs leave: read within bounds, and told in words where they are none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from passerelle.core.errors import ProgramFailed, storage_errors

_MOST_BYTES = 64 << 20  # the longest log of a movie has a few


def lines_of(path: Path, *, program: str) -> list[str]:
    """Return the lines of a text file; what is no text is replaced.

    Raises:
        ProgramFailed: it is far larger than the program's own.
        NotFound, StorageError: as `core.errors.storage_errors`.
    """
    with storage_errors(path):
        size = path.stat().st_size
        if size > _MOST_BYTES:
            raise ProgramFailed(f"has {size:,} bytes; no {program} writes so much.", path=path)
        return path.read_bytes().decode(errors="replace").splitlines()


def numbers(words: Sequence[str], *, path: Path, program: str) -> list[float]:
    """Return words as numbers.

    Raises:
        ProgramFailed: one of them is none.
    """
    try:
        return [float(word) for word in words]
    except ValueError as error:
        line = " ".join(words)[:120]
        raise ProgramFailed(
            f"holds a line that is not of numbers: {line!r}.", advice=f"Was {program} stopped while it wrote?", path=path
        ) from error
