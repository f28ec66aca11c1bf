"""Write a file so that its name never stands for partial content: the only place that renames a result into being.

Temp name in the target folder -> write -> fsync -> rename -> fsync of the folder. After a power cut or a kill there is the old
file or the new one; what may be left over is a `.p-…` file, which nobody reads.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from passerelle.core.errors import storage_errors

TEMPORARY_PREFIX = ".p-"  # short and fixed: a prefix before a name of 255 bytes would be too long for the file system


@contextmanager
def atomic_write(path: Path) -> Generator[BinaryIO]:
    """Open a new file for writing (and reading back) that takes the name `path` only when the block ends without an error.

    An existing file of that name is replaced. The content is on the disk when the block is left: file and folder are synced.

    Raises:
        NotFound: the folder is not there.
        OutOfSpace, StorageError: writing failed; nothing of this name has changed.
    """
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{secrets.token_hex(5)}")
    with storage_errors(path):
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            with os.fdopen(descriptor, "w+b") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        sync_folder(path.parent)


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` as the whole of file `path`, as `atomic_write` does."""
    with atomic_write(path) as stream:
        stream.write(content)


def write_text(path: Path, content: str) -> None:
    """Write `content` as the whole of file `path` in UTF-8, as `atomic_write` does; undecodable bytes of file names come back
    as they were.
    """
    write_bytes(path, content.encode("utf-8", "surrogateescape"))


def sync_folder(folder: Path) -> None:
    """Make the names inside `folder` last through a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
