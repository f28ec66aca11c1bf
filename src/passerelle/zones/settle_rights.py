"""Give a zone's folders and files the rights that they must have; done by descriptors, so that no link leads out of the zone."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from passerelle.core.errors import NotAllowed, PasserelleError, UnsupportedFile, printable, storage_errors
from passerelle.zones.acl import ACCESS, DEFAULT
from passerelle.zones.beneath import TOP, open_folder
from passerelle.zones.posix import Wanted

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MOST_TOLD = 20


@dataclass(frozen=True, slots=True)
class Settled:
    """What was done. seen, changed: files and folders. left: those that could not be changed, the first few with the reason."""

    seen: int
    changed: int
    left: tuple[str, ...]


def settle_rights(root: Path, wanted: Wanted, *, dry: bool = False) -> Settled:
    """Bring all that lies beneath a root to the wanted rights. Doing it again changes nothing. dry: only count.

    A file that has other names elsewhere is left alone: whoever made the link could be given rights to what it stands for.
    A file that nobody may write (a verified dataset) stays so.

    Raises:
        NotFound: the root is not there. NotAllowed: it is not the service's to change.
        UnsupportedFile: the file system keeps no access control lists.
    """
    walk = _Walk(root, wanted, dry)
    with open_folder(root) as folder:
        device = os.fstat(folder).st_dev
        walk.root(folder)
    pending = [TOP]
    while pending:
        within = pending.pop()
        try:
            with open_folder(root, within) as folder:
                with os.scandir(folder) as entries:
                    names = [entry.name for entry in entries]
                for name in names:
                    if walk.entry(folder, within, name, device):
                        pending.append(within / name)
        except PasserelleError as problem:
            walk.leave(within, problem.message)
        except OSError as problem:
            walk.leave(within, problem.strerror or str(problem))
    return walk.told()


class _Walk:
    def __init__(self, root: Path, wanted: Wanted, dry: bool) -> None:
        self._root, self._wanted, self._dry = root, wanted, dry
        self._folder = wanted.folder.to_bytes()
        self._seen = self._changed = self._left = 0
        self._words: list[str] = []

    def root(self, folder: int) -> None:
        with storage_errors(self._root):
            try:
                self._seen += 1
                self._changed += self._settle_folder(folder)
            except PermissionError as error:
                raise NotAllowed(
                    "is not this account's to change.", advice="Run as its owner or as root.", path=self._root
                ) from error
            except OSError as error:
                if error.errno != errno.EOPNOTSUPP:
                    raise
                raise UnsupportedFile(
                    "lies on a file system that keeps no access control lists.",
                    advice="Mount it with ACLs (option acl), or use ext4, XFS, btrfs or ZFS.",
                    path=self._root,
                ) from error

    def entry(self, folder: int, within: PurePosixPath, name: str, device: int) -> bool:
        """Settle one name; say whether it is a folder to go into."""
        place = within / name
        try:
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
                return False
            if status.st_dev != device:
                self.leave(place, "another file system is mounted there")
                return False
            descriptor = os.open(name, _OPEN, dir_fd=folder)
        except FileNotFoundError:  # gone since
            return False
        except OSError as error:
            self.leave(place, error.strerror or str(error))
            return False
        try:
            self._seen += 1
            status = os.fstat(descriptor)
            if stat.S_ISDIR(status.st_mode):
                self._changed += self._settle_folder(descriptor)
                return True
            if stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
                self.leave(place, "has other names, perhaps elsewhere")
            elif stat.S_ISREG(status.st_mode):
                self._changed += self._settle_file(descriptor, status)
            return False
        except OSError as error:
            self.leave(place, error.strerror or str(error))
            return False
        finally:
            os.close(descriptor)

    def leave(self, place: PurePosixPath, why: str) -> None:
        self._left += 1
        if len(self._words) < _MOST_TOLD:
            self._words.append(f"{printable(str(place))}: {why}")

    def told(self) -> Settled:
        more = self._left - len(self._words)
        return Settled(self._seen, self._changed, tuple(self._words) + ((f"and {more} more",) if more else ()))

    def _settle_folder(self, descriptor: int) -> int:
        want = self._wanted
        status = os.fstat(descriptor)
        changed = self._give(descriptor, status)
        changed |= _set(descriptor, ACCESS, self._folder, self._dry)
        changed |= _set(descriptor, DEFAULT, self._folder, self._dry)
        if stat.S_IMODE(status.st_mode) & 0o7000 != want.folder_mode & 0o7000 or changed:
            # last: the kernel takes setgid away when the owner changes
            changed = True
            if not self._dry:
                os.fchmod(descriptor, want.folder_mode)
        return int(changed)

    def _settle_file(self, descriptor: int, status: os.stat_result) -> int:
        want = self._wanted.file
        if not status.st_mode & 0o222:
            want = want.without(0o2)
        changed = self._give(descriptor, status)
        return int(_set(descriptor, ACCESS, want.to_bytes(), self._dry) | changed)

    def _give(self, descriptor: int, status: os.stat_result) -> bool:
        want = self._wanted
        kept = want.uid is None or (stat.S_ISREG(status.st_mode) and status.st_uid in want.hands)
        uid = status.st_uid if kept or want.uid is None else want.uid
        if (status.st_uid, status.st_gid) == (uid, want.gid):
            return False
        if not self._dry:
            os.fchown(descriptor, uid, want.gid)
        return True


def _set(descriptor: int, name: str, content: bytes, dry: bool) -> bool:
    try:
        if os.getxattr(descriptor, name) == content:
            return False
    except OSError as error:
        if error.errno != errno.ENODATA:
            raise
    if not dry:
        os.setxattr(descriptor, name, content)
    return True
