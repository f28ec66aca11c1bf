"""Folders and files beneath an instrument's root, opened so that no symbolic link leads out of it."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from passerelle.acquisition.program import Place
from passerelle.core.errors import NotFound
from passerelle.gateway.admit import ignored
from passerelle.gateway.leases import writers_of
from passerelle.gateway.probe import probe
from passerelle.gateway.records import Look, Seen
from passerelle.gateway.settle import Broken, Writers

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# O_NONBLOCK: a pipe of a file's name must not hang us; O_NOATIME is refused to others than the owner
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
ABSENT = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}


@dataclass(frozen=True, slots=True)
class Listing:
    """What one folder holds, without what is ignored. identity: device and inode of the folder itself.

    files: None for one that is there, but cannot be looked at.
    """

    identity: tuple[int, int]
    mtime_ns: int
    files: dict[str, Seen | None]
    folders: list[str]
    links: list[tuple[str, str]]  # name, target: only those that lead out of the root


@contextmanager
def opened_folder(root: Path, folder: str) -> Iterator[int]:
    """Open `folder` ("a/b", "" for the root itself), component by component, none of them a symbolic link.

    The root may be one: it is opened anew each time, so that a share mounted over it is seen.
    """
    descriptor = os.open(root, _FOLDER)
    try:
        for part in folder.split("/") if folder else ():
            inner = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


def list_folder(root: Path, folder: str) -> Listing:
    """List one folder with the size and times of its files.

    Raises:
        OSError: as the operating system says; the caller knows what each means for the whole watch.
    """
    files: dict[str, Seen | None] = {}
    folders: list[str] = []
    links: list[tuple[str, str]] = []
    with opened_folder(root, folder) as descriptor:
        status = os.fstat(descriptor)  # its time is taken before its names: what comes later shows in a later time
        with os.scandir(descriptor) as entries:
            names = [
                (entry.name, entry.is_symlink(), entry.is_dir(follow_symlinks=False))
                for entry in entries
                if not ignored(entry.name)
            ]
        for name, is_link, is_folder in names:
            if is_folder:
                folders.append(name)
            elif is_link:
                if (target := _leads_out(root, folder, name, descriptor)) is not None:
                    links.append((name, target))
            else:
                try:
                    seen = stat_file(descriptor, name)
                except OSError:
                    files[name] = None
                else:
                    if seen is not None:
                        files[name] = seen
    return Listing((status.st_dev, status.st_ino), status.st_mtime_ns, files, folders, links)


def stat_file(descriptor: int, name: str) -> Seen | None:
    """Return size and times of a regular file in an open folder, None where there is no such thing."""
    try:
        # not DirEntry.stat: that holds the interpreter's lock, and a dead network mount would stop the whole process
        status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
    except OSError as error:
        if error.errno in ABSENT:
            return None
        raise
    return _seen(status) if stat.S_ISREG(status.st_mode) else None


def look_into(root: Path, path: str, place: Place, *, probing: bool, asking: bool, trust_holes: bool) -> Look:
    """Look into one file: is it there, does anybody write to it (`asking`), and what do its bytes say (`probing`)?

    Raises:
        OSError: the root does not answer.
    """
    folder, _, name = path.rpartition("/")
    try:
        with opened_folder(root, folder) as parent:
            seen = stat_file(parent, name)
            if seen is None:
                return Look(None)
            try:
                descriptor = os.open(name, _FILE, dir_fd=parent)
            except OSError as error:
                return _not_opened(error, seen)
            try:
                return _look(root / path, descriptor, place, probing=probing, asking=asking, trust_holes=trust_holes)
            finally:
                os.close(descriptor)
    except OSError as error:
        if error.errno in ABSENT and folder:
            return Look(None)
        raise


def _look(path: Path, descriptor: int, place: Place, *, probing: bool, asking: bool, trust_holes: bool) -> Look:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        return Look(None)
    writers = writers_of(descriptor) if asking else Writers.UNKNOWN
    if writers is Writers.SOME or not probing:
        return Look(_seen(status), writers)
    try:
        finding = probe(path, descriptor, status.st_size, place, trust_holes=trust_holes)
    except NotFound:
        return Look(None)
    if asking:
        writers = writers_of(descriptor)
    # The header was read by name: what has that name now must still be what was opened, and unchanged.
    after = os.fstat(descriptor)
    try:
        by_name = path.stat(follow_symlinks=False)
    except OSError as error:
        return _not_opened(error, _seen(after))
    if (by_name.st_dev, by_name.st_ino) != (after.st_dev, after.st_ino):
        return Look(_seen(by_name) if stat.S_ISREG(by_name.st_mode) else None)
    return Look(_seen(after), writers, finding if writers is not Writers.SOME else None)


def _not_opened(error: OSError, seen: Seen) -> Look:
    if error.errno in ABSENT:
        return Look(None)
    advice = " Check owner and mode of the file and its folders." if error.errno in {errno.EACCES, errno.EPERM} else ""
    problem = f"It could not be opened: {os.strerror(error.errno or errno.EIO)}.{advice}"
    return Look(seen, Writers.UNKNOWN, Broken(problem, passing=True))


def _seen(status: os.stat_result) -> Seen:
    return Seen(status.st_size, status.st_mtime_ns, status.st_ino, status.st_ctime_ns)


def _leads_out(root: Path, folder: str, name: str, descriptor: int) -> str | None:
    """Return the target of a link if it lies outside `root`. One that leads inside is ignored, too: its target is found."""
    try:
        target = os.readlink(name, dir_fd=descriptor)
    except OSError:
        return None
    base = os.path.realpath(root)
    real = os.path.realpath(os.path.join(base, folder, target))  # noqa: PTH118 - text, as bytes may be undecodable
    return None if real == base or real.startswith(base.rstrip("/") + "/") else target
