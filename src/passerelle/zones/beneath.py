"""Open something beneath a root by descriptors, one name at a time: no link, and no rename in mid-way, leads out of it."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from passerelle.core.errors import BadInput, NotFound, printable, storage_errors

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # NONBLOCK: a FIFO would wait for a writer
_DEEPEST = 256
TOP = PurePosixPath()  # the root itself


def relative_path(text: str) -> PurePosixPath:
    """Return a path within a root, as somebody gave it. Leading and trailing slashes mean nothing.

    Raises:
        BadInput: it has "." or ".." as a part, a NUL, or more parts than any real folder tree.
    """
    parts = [part for part in text.split("/") if part]
    if "." in parts:  # a path of our own kind would lose it without a word
        raise _no_path(text)
    return PurePosixPath(*_checked(parts))


def _checked(parts: Sequence[str]) -> Sequence[str]:
    if len(parts) > _DEEPEST or any(part in (".", "..", "/") or "\x00" in part for part in parts):
        raise _no_path("/".join(parts))
    return parts


def _no_path(text: str) -> BadInput:
    return BadInput(f"`{printable(text, 80)}` is not a path within a zone.", advice="Give a path without . and .. in it.")


@contextmanager
def open_folder(root: Path, within: PurePosixPath = TOP) -> Generator[int]:
    """Open a folder beneath a root and yield its descriptor.

    Raises:
        NotFound: it is not there, is no folder, or a link stands in the way.
        NotAllowed, Unreachable, StorageError: as `core.errors.storage_errors`.
    """
    descriptor = _descend(root, _checked(within.parts))
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def open_file(root: Path, within: PurePosixPath) -> Generator[int]:
    """Open a regular file beneath a root for reading and yield its descriptor.

    Raises:
        NotFound: it is not there, is no regular file, or a link stands in the way.
        NotAllowed, Unreachable, StorageError: as `core.errors.storage_errors`.
    """
    parts = _checked(within.parts)
    if not parts:
        raise NotFound("is a folder.", path=root)
    parent = _descend(root, parts[:-1])
    try:
        descriptor = _open(parts[-1], _FILE, parent, root / within)
    finally:
        os.close(parent)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise NotFound("is no regular file.", path=root / within)
        yield descriptor
    finally:
        os.close(descriptor)


def _descend(root: Path, parts: Sequence[str]) -> int:
    with storage_errors(root):
        # the root's own path is the facility's: links in it are meant
        descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    for index, part in enumerate(parts):
        parent = descriptor
        try:
            descriptor = _open(part, _FOLDER, parent, root.joinpath(*parts[: index + 1]))
        finally:
            os.close(parent)
    return descriptor


def _open(name: str, flags: int, parent: int, shown: Path) -> int:
    with storage_errors(shown):
        try:
            return os.open(name, flags, dir_fd=parent)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.ENXIO):
                raise NotFound("is a link or nothing that can be opened here.", path=shown) from error
            if error.errno in (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ):
                raise NotFound("is not there: no file can have this name.", path=shown) from error
            raise
