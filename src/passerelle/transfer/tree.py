"""What lies in a folder, listed by descriptors: every name exactly as the disk has it, links never followed."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import NamedTuple

from passerelle.core.errors import PasserelleError, storage_errors
from passerelle.transfer.beneath import Root

OWN_FOLDER = ".passerelle"  # manifest, journal and lock of a dataset lie here, and are no part of it


class Kind(StrEnum):
    """What a name stands for."""

    FILE = "file"
    FOLDER = "folder"
    LINK = "link"
    SPECIAL = "special"  # FIFO, socket, device: said, and not copied


class Entry(NamedTuple):
    """A name in a tree, as it was when it was looked at. path: beneath the root, "/" between; undecodable bytes as surrogates.

    allocated: bytes that it takes on the disk; less than `size` if it has holes. links: names of the same file.
    link_to: what a link says.
    """

    path: str
    kind: Kind
    size: int
    mtime_ns: int
    ctime_ns: int
    mode: int
    user: int
    group: int
    device: int
    inode: int
    links: int
    allocated: int
    link_to: str = ""

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def folder(self) -> str:
        return self.path.rpartition("/")[0]

    @property
    def version(self) -> tuple[int, ...]:
        """Changes whenever the content does: nobody can set the time of change (ctime) of a file."""
        return (self.device, self.inode, self.size, self.mtime_ns, self.ctime_ns)


class Listing(NamedTuple):
    """One folder and what is in it, by name, in order of names."""

    folder: Entry
    entries: dict[str, Entry]


Trouble = Callable[[str, PasserelleError], None]


def entry_of(path: str, status: os.stat_result, link_to: str = "") -> Entry:
    """Return what the system says of a name as a value."""
    mode = status.st_mode
    return Entry(
        path,
        _kind(mode),
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
        stat.S_IMODE(mode),
        status.st_uid,
        status.st_gid,
        status.st_dev,
        status.st_ino,
        status.st_nlink,
        status.st_blocks * 512,
        link_to,
    )


def look(folder: int, path: str) -> Entry:
    """Look at one name of an open folder; its last component is the name. Raises OSError."""
    name = path.rpartition("/")[2]
    while True:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if not stat.S_ISLNK(status.st_mode):
            return entry_of(path, status)
        try:
            return entry_of(path, status, os.readlink(name, dir_fd=folder))
        except OSError as error:
            if error.errno != errno.EINVAL:  # else it is a link no more: something else has taken its place
                raise


def list_folder(root: Root, path: str) -> Listing:
    """List one folder beneath a root.

    Raises:
        NotFound, NotAllowed, StorageError: it cannot be opened or read.
    """
    with root.folder(path) as descriptor, storage_errors(root.named(path)):
        own = entry_of(path, os.fstat(descriptor))
        names = sorted(os.listdir(descriptor))  # noqa: PTH208 - from a descriptor
        entries: dict[str, Entry] = {}
        for name in names:
            if not path and name == OWN_FOLDER:
                continue
            try:
                entries[name] = look(descriptor, f"{path}/{name}" if path else name)
            except FileNotFoundError:
                continue  # taken away since the folder was read
    return Listing(own, entries)


def walk_tree(root: Root, trouble: Trouble) -> Iterator[Listing]:
    """Yield each folder beneath a root, one before those in it. trouble: told of folders that cannot be read."""
    waiting = [""]
    while waiting:
        path = waiting.pop()
        try:
            listing = list_folder(root, path)
        except PasserelleError as error:
            if not path:
                raise
            trouble(path, error)
            continue
        yield listing
        waiting.extend(entry.path for entry in reversed(listing.entries.values()) if entry.kind is Kind.FOLDER)


def _kind(mode: int) -> Kind:
    if stat.S_ISREG(mode):
        return Kind.FILE
    if stat.S_ISDIR(mode):
        return Kind.FOLDER
    return Kind.LINK if stat.S_ISLNK(mode) else Kind.SPECIAL
