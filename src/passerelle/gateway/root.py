"""The root of an instrument's folder: is it there, is it the same as before, and is it to be believed when it is empty?

A share that is unmounted leaves an empty folder in its place; what is missing there was not removed.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

from passerelle.gateway.admit import ignored
from passerelle.gateway.change import FolderState
from passerelle.gateway.tree import opened_folder

_FORBIDDEN = {errno.EACCES, errno.EPERM}


class RootIsAnother(Exception):
    """Not an error, but news: another folder has the root's place; nothing seen in it is to be believed."""


class RootIsEmpty(Exception):
    """Not an error, but news: the root is empty, as it is where its share is not mounted. Its text is a sentence on that."""


class Root:
    """The folder at `path`, which may become another at any moment.

    known: asked how many files of it are known, where that decides. held_files: as it is now, it was seen with something in it.
    """

    def __init__(self, path: Path, known: Callable[[], int]) -> None:
        self.held_files = False
        self._path, self._known = path, known
        self._identity: tuple[int, int] | None = None  # device and inode

    def look(self) -> bool:
        """Look at the root anew, and say whether it is another folder than the last time.

        Raises:
            OSError: it is not there, or does not answer.
            RootIsEmpty: as `believe` does.
        """
        with opened_folder(self._path, "") as descriptor:
            identity = _identity(descriptor)
            with os.scandir(descriptor) as entries:
                filled = any(not ignored(entry.name) for entry in entries)
        another = identity != self._identity
        if another:
            self._identity, self.held_files = identity, False
        self.believe(filled)
        return another

    def believe(self, filled: bool) -> None:
        """Take in whether the root has something in it.

        Raises:
            RootIsEmpty: it has not, was never seen with something in it, and files of it are known.
        """
        if filled:
            self.held_files = True
        elif not self.held_files and (count := self._known()):
            raise RootIsEmpty(f"It is empty, although {count:,} files of it are known. Is the share mounted?")

    def must_be(self, identity: tuple[int, int]) -> None:
        """Make sure that a folder which was opened as the root is the one that was looked at. Raises: RootIsAnother."""
        if identity != self._identity:
            raise RootIsAnother

    def must_be_same(self) -> None:
        """Make sure that what is missing was removed, and not the whole share unmounted under our feet.

        Raises:
            OSError: the root does not answer.
            RootIsAnother: another folder has its place now.
        """
        with opened_folder(self._path, "") as descriptor:
            self.must_be(_identity(descriptor))


def why_unreachable(error: OSError) -> tuple[FolderState, str]:
    """Return what `error` says of a root that cannot be read, and a sentence for the operator."""
    if error.errno in _FORBIDDEN:
        return FolderState.REFUSED, "This account may not read it. Check owner and mode of the folder and those above it."
    what = os.strerror(error.errno or errno.EIO)
    return FolderState.UNREACHABLE, f"It cannot be read: {what}. Is the share mounted?"


def _identity(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino
