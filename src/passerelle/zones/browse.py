"""What lies in a folder of a zone, by name, and how much lies in all."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath

from passerelle.core.errors import PasserelleError, storage_errors
from passerelle.zones.beneath import TOP, open_folder

# names of the product itself in zones: what is being copied, manifests
_HIDDEN = (".p-", ".passerelle")
_MOST_SORTED = 50_000  # names whose size or time is asked for to sort a folder: half a second


@dataclass(frozen=True, slots=True)
class Entry:
    """Something in a folder. kind: folder, file, link (never followed) or other. size: bytes."""

    name: str
    kind: str
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Listing:
    """A part of a folder, by name. more: there are names after the last one."""

    entries: tuple[Entry, ...]
    more: bool


def list_folder(root: Path, within: PurePosixPath = TOP, *, after: str = "", limit: int = 1000) -> Listing:
    """List a folder beneath a zone's root: names greater than `after`, at most `limit` of them.

    Raises:
        NotFound: there is no such folder. NotAllowed: this account may not read it.
    """
    with open_folder(root, within) as folder:
        with storage_errors(root / within), os.scandir(folder) as found:
            names = sorted(each.name for each in found if each.name > after and not is_hidden(each.name))
        entries = tuple(entry for name in names[:limit] if (entry := _entry(folder, name)))
    return Listing(entries, len(names) > limit)


def is_hidden(name: str) -> bool:
    """Say whether a name is of the product itself, and not shown."""
    return name.startswith(_HIDDEN)


class Order(StrEnum):
    """By what a folder is sorted. Folders come first."""

    NAME = "name"
    SIZE = "size"
    TIME = "time"


@dataclass(frozen=True, slots=True)
class Leaf:
    """A page of a sorted folder. total: names in all; first: the place of the first one here. order: what it is sorted by: a
    folder of very many names is sorted by name, whatever was asked for."""

    entries: tuple[Entry, ...]
    first: int
    total: int
    order: Order


def leaf_through(
    root: Path,
    within: PurePosixPath = TOP,
    *,
    order: Order = Order.NAME,
    descending: bool = False,
    first: int = 0,
    limit: int = 200,
) -> Leaf:
    """List a page of a sorted folder beneath a root.

    Raises:
        NotFound: there is no such folder. NotAllowed: this account may not read it.
    """
    with open_folder(root, within) as folder:
        with storage_errors(root / within), os.scandir(folder) as found:
            names = [(each.name, _is_folder(each)) for each in found if not is_hidden(each.name)]
        if len(names) > _MOST_SORTED:
            order = Order.NAME
        if order is Order.NAME:
            names.sort(key=lambda each: (each[0].casefold(), each[0]), reverse=descending)
            names.sort(key=lambda each: not each[1])
            shown = [_entry(folder, name) for name, _ in names[first : first + limit]]
        else:
            shown = [entry for name, _ in names if (entry := _entry(folder, name))]
            shown.sort(key=lambda each: (each.size if order is Order.SIZE else each.mtime_ns, each.name), reverse=descending)
            shown.sort(key=lambda each: each.kind != "folder")
            shown = shown[first : first + limit]
    return Leaf(tuple(entry for entry in shown if entry is not None), first, len(names), order)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:  # gone since
        return False


def _entry(folder: int, name: str) -> Entry | None:
    """Return what a name in a folder stands for; None where it is gone since."""
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
    except OSError:
        return Entry(name, "other", 0, 0)
    return Entry(name, _kind(status.st_mode), status.st_size, status.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class Measured:
    """What a folder holds, all told. bytes: as they take room on the disk; a file of several names counts once.

    unread: folders that could not be read, and are not in the numbers.
    """

    bytes: int
    files: int
    unread: int


def measure(root: Path, beneath: PurePosixPath = TOP) -> Measured:
    """Count what lies beneath a root, or beneath a folder of it, links not followed, other file systems left out.

    Raises:
        NotFound, NotAllowed, Unreachable, StorageError: of that folder itself.
    """
    with open_folder(root, beneath) as folder:
        device = os.fstat(folder).st_dev
    total = files = unread = 0
    linked: set[int] = set()
    pending = [beneath]
    while pending:
        within = pending.pop()
        try:
            with open_folder(root, within) as folder, os.scandir(folder) as entries:
                for entry in entries:
                    status = _status(entry)
                    if status is None or (status.st_nlink > 1 and status.st_ino in linked):
                        continue
                    if stat.S_ISDIR(status.st_mode):
                        if status.st_dev == device:
                            pending.append(within / entry.name)
                        continue
                    if status.st_nlink > 1:
                        linked.add(status.st_ino)
                    files += 1
                    total += status.st_blocks * 512
        except (PasserelleError, OSError):
            unread += 1
    return Measured(total, files, unread)


@dataclass(frozen=True, slots=True)
class Room:
    """The file system of a zone, bytes. free: for accounts other than root."""

    total: int
    free: int


def room(root: Path) -> Room:
    """Ask the file system of a root how much room there is.

    Raises:
        NotFound, Unreachable, StorageError: it does not say.
    """
    with storage_errors(root):
        status = os.statvfs(root)
    return Room(status.f_blocks * status.f_frsize, status.f_bavail * status.f_frsize)


def _status(entry: os.DirEntry[str]) -> os.stat_result | None:
    try:
        return entry.stat(follow_symlinks=False)
    except OSError:  # gone since
        return None


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "folder"
    if stat.S_ISREG(mode):
        return "file"
    return "link" if stat.S_ISLNK(mode) else "other"
