"""What a file is beside its bytes: owner, mode, extended attributes (with them the access lists), times in nanoseconds."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass

from passerelle.transfer.tree import Entry

_NOT_TAKEN = frozenset({errno.EPERM, errno.EACCES, errno.EOPNOTSUPP, errno.EINVAL, errno.E2BIG, errno.ENOSPC, errno.ERANGE})
_NOT_LISTED = frozenset({errno.EOPNOTSUPP, errno.ENOSYS, errno.EPERM, errno.EACCES})
_OF_THE_SYSTEM = (
    "security.selinux",
    "security.capability",
    "security.ima",
    "security.evm",
)  # set by the machine that has the file


@dataclass(frozen=True, slots=True)
class Keep:
    """Which attributes a copy keeps. owner: of the source; else whoever copies. mode: else what the target's folder gives.

    extended: extended attributes, access lists among them. Times are always kept.
    """

    owner: bool = False
    mode: bool = True
    extended: bool = True

    @staticmethod
    def all_allowed() -> Keep:
        """Keep all that this account may set."""
        return Keep(owner=os.geteuid() == 0)


def carry_over(source: int, target: int, entry: Entry, keep: Keep) -> tuple[str, ...]:
    """Give an open file or folder the attributes of its source; return in words those that the target did not take.

    Owner first, as to change it takes away set-user-id; times last, as all else changes them. Raises OSError.
    """
    lost: list[str] = []
    if keep.owner:
        try:
            os.fchown(target, entry.user, entry.group)
        except PermissionError:
            lost.append("owner")
    if keep.extended:
        lost += _extended(source, target)
    if keep.mode:
        os.fchmod(target, entry.mode)
    os.utime(target, ns=(entry.mtime_ns, entry.mtime_ns))
    return tuple(lost)


def carry_link(folder: int, name: str, entry: Entry, keep: Keep) -> tuple[str, ...]:
    """Give a link owner and times of its source. Raises OSError."""
    lost: tuple[str, ...] = ()
    if keep.owner:
        try:
            os.chown(name, entry.user, entry.group, dir_fd=folder, follow_symlinks=False)
        except PermissionError:
            lost = ("owner",)
    os.utime(name, ns=(entry.mtime_ns, entry.mtime_ns), dir_fd=folder, follow_symlinks=False)
    return lost


def extended_names(descriptor: int) -> list[str]:
    """Return the names of the extended attributes that a copy carries over. Raises OSError."""
    try:
        names = os.listxattr(descriptor)
    except OSError as error:
        if error.errno in _NOT_LISTED:
            return []
        raise
    return [name for name in names if name not in _OF_THE_SYSTEM]


def _extended(source: int, target: int) -> list[str]:
    lost: list[str] = []
    for name in extended_names(source):
        try:
            os.setxattr(target, name, os.getxattr(source, name))
        except OSError as error:
            if error.errno == errno.ENODATA:
                continue  # taken away meanwhile
            if error.errno not in _NOT_TAKEN:
                raise
            lost.append(name)
    return lost
