"""Write a file so that its name never stands for partial content: the only place that renames a result into being.

Temp name in the target folder -> write -> fsync -> rename -> fsync of the folder. After a power cut or a kill there is the old
file or the new one; what may be left over is a `.p-…` file, which nobody reads.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from blake3 import blake3

from passerelle.core.errors import Busy, storage_errors

TEMPORARY_PREFIX = ".p-"  # short and fixed: a prefix before a name of 255 bytes would be too long for the file system


@contextmanager
def atomic_write(path: Path, *, again: bool = False) -> Generator[BinaryIO]:
    """Open a new file for writing (and reading back) that takes the name `path` only when the block ends without an error.

    An existing file of that name is replaced. The content is on the disk when the block is left: file and folder are synced.
    again: the temporary name follows from `path`, so that what a killed run has left is used by the next and never piles up; for
    large files.

    Raises:
        NotFound: the folder is not there.
        Busy: another process writes this file now (`again` only).
        OutOfSpace, StorageError: writing failed; nothing of this name has changed.
    """
    unique = blake3(os.fsencode(path.name)).hexdigest(length=5) if again else secrets.token_hex(5)
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{unique}")
    with storage_errors(path):
        how = 0 if again else os.O_EXCL
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | how, 0o666)
        if again:
            _claim(descriptor, temporary, path)
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


def _claim(descriptor: int, temporary: Path, path: Path) -> None:
    """Take a temporary file that an earlier run may have left; empty it. Closes the descriptor where it cannot."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # between open and lock its last owner may have renamed it: then it is the finished file
        if not os.path.samestat(temporary.stat(), os.fstat(descriptor)):
            raise BlockingIOError
        os.ftruncate(descriptor, 0)
    except (BlockingIOError, FileNotFoundError) as error:
        os.close(descriptor)
        raise Busy("is written by another process now.", advice="It is tried again later.", path=path) from error
    except BaseException:
        os.close(descriptor)
        raise


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
