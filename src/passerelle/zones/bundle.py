"""Several files, or whole folders, as one ZIP file that is written while it is sent: no temporary file, no compression.

ZIP because Windows opens it; stored, because images of detectors hardly shrink; ZIP64 throughout, because they are large. Links
are left out. What could not be read, or changed meanwhile, is said in a text file at the end of the archive.
"""

from __future__ import annotations

import os
import stat
import time
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, cast

from passerelle.core.errors import BadInput, PasserelleError, StorageError, printable
from passerelle.zones.beneath import open_file, open_folder
from passerelle.zones.browse import is_hidden

MOST_FILES = 20_000
MOST_BYTES = 200 << 30
_BLOCK_BYTES = 1 << 20
_FIRST_YEAR = (1980, 1, 1, 0, 0, 0)  # ZIP knows no earlier one
_LEFT_OUT = "NOT-IN-THIS-ARCHIVE.txt"


@dataclass(frozen=True, slots=True)
class Bundle:
    """What will be packed. files: their paths beneath the root. bytes: all told, as they are now. above: cut off their names."""

    root: Path
    files: tuple[PurePosixPath, ...]
    bytes: int
    above: PurePosixPath

    def write(self) -> Iterator[bytes]:
        """Yield the archive piece by piece; files are opened, beneath the root, when their turn comes."""
        out = _Outbox()
        left_out: list[str] = []
        with zipfile.ZipFile(cast("IO[bytes]", out), "w", zipfile.ZIP_STORED) as archive:  # it only writes
            for path in self.files:
                yield from self._file(archive, out, path, left_out)
            if left_out:
                archive.writestr(_LEFT_OUT, "\n".join(left_out) + "\n")
        yield out.take()

    def _file(self, archive: zipfile.ZipFile, out: _Outbox, path: PurePosixPath, left_out: list[str]) -> Iterator[bytes]:
        shown = _zip_name(path.relative_to(self.above))
        try:
            with open_file(self.root, path) as descriptor:
                status = os.fstat(descriptor)
                member = zipfile.ZipInfo(shown, max(time.localtime(status.st_mtime)[:6], _FIRST_YEAR))
                member.external_attr = 0o644 << 16
                sent = 0
                with archive.open(member, "w", force_zip64=True) as target:
                    while block := os.pread(descriptor, _BLOCK_BYTES, sent):
                        target.write(block)
                        sent += len(block)
                        yield out.take()
                if sent != status.st_size:
                    left_out.append(f"{shown}: its size changed while it was packed, from {status.st_size} to {sent} bytes")
        except PasserelleError as problem:
            left_out.append(f"{shown}: {problem.message}")
        except OSError as problem:
            # what has been sent cannot be taken back: a reader must not take the rest for whole
            raise StorageError("could not be read to its end.", path=shown) from problem
        yield out.take()


def bundle(root: Path, items: Sequence[PurePosixPath], *, above: PurePosixPath) -> Bundle:
    """Look for all files of some files and folders beneath a root. above: the folder in which all of them lie.

    Raises:
        NotFound: one of them is not there. BadInput: nothing, or too much, to be sent in one go.
    """
    files: list[PurePosixPath] = []
    total = 0
    pending = list(reversed(items))
    while pending:
        place = pending.pop()
        with open_folder(root, place.parent) as parent:
            try:
                status = os.stat(place.name, dir_fd=parent, follow_symlinks=False) if place.name else os.fstat(parent)
            except OSError:  # gone since, or a name that no file can have
                continue
        if stat.S_ISREG(status.st_mode):
            files.append(place)
            total += status.st_size
        elif stat.S_ISDIR(status.st_mode):
            with open_folder(root, place) as folder, os.scandir(folder) as entries:
                names = sorted((entry.name for entry in entries if not is_hidden(entry.name)), reverse=True)
            pending += [place / name for name in names]
        if len(files) > MOST_FILES or len(pending) > 50 * MOST_FILES or total > MOST_BYTES:
            raise BadInput(
                f"That is more than is sent in one go: {MOST_FILES:,} files, {MOST_BYTES >> 30} GiB.",
                advice="Copy the folder by its path for Windows or Linux, which can be resumed, too.",
            )
    if not files:
        raise BadInput("There is no file in what was chosen.", advice="Choose files, or a folder that has some.")
    return Bundle(root, tuple(files), total, above)


def _zip_name(path: PurePosixPath) -> str:
    """Return a name in the archive that unpacks beneath the folder that is chosen, also where \\ and : mean something."""
    return "/".join(printable(part, 1000).replace("\\", "_").replace(":", "_") for part in path.parts)


class _Outbox:
    """What zipfile writes to: it cannot be sought in, and is emptied as it fills."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, content: bytes) -> int:
        self._parts.append(bytes(content))
        return len(content)

    def flush(self) -> None:
        pass

    def take(self) -> bytes:
        taken, self._parts = b"".join(self._parts), []
        return taken
