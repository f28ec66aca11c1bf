"""POSIX access control lists as values, and as the bytes that Linux keeps of them (posix_acl_xattr.h, version 2)."""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

ACCESS = "system.posix_acl_access"
DEFAULT = "system.posix_acl_default"

READ, WRITE, EXECUTE = 4, 2, 1
ENTER = READ | EXECUTE

_VERSION = 2
_USER_OBJ, _USER, _GROUP_OBJ, _GROUP, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
_NO_ID = 0xFFFFFFFF
_ENTRY = struct.Struct("<HHI")


@dataclass(frozen=True, slots=True)
class Acl:
    """Who may do what with a file, in bits of READ, WRITE, EXECUTE. users, groups: by their numbers, beside owner and group."""

    owner: int
    group: int
    other: int
    users: Mapping[int, int] = field(default_factory=dict)
    groups: Mapping[int, int] = field(default_factory=dict)

    @property
    def mask(self) -> int:
        """The most that anyone but the owner and others can have; shown as the group's bits of the mode."""
        most = self.group
        for bits in (*self.users.values(), *self.groups.values()):
            most |= bits
        return most

    @property
    def mode(self) -> int:
        """The nine bits of the mode that Linux derives."""
        return self.owner << 6 | self.mask << 3 | self.other

    def without(self, bits: int) -> Acl:
        """Return the list without some bits for everyone: files are not executed because folders are entered."""

        def cut(each: Mapping[int, int]) -> dict[int, int]:
            return {number: old & ~bits for number, old in each.items()}

        return Acl(self.owner & ~bits, self.group & ~bits, self.other & ~bits, cut(self.users), cut(self.groups))

    def to_bytes(self) -> bytes:
        """Return what the extended attribute holds. Its order is fixed: the kernel refuses another."""
        rows = [(_USER_OBJ, self.owner, _NO_ID)]
        rows += [(_USER, bits, number) for number, bits in sorted(self.users.items())]
        rows += [(_GROUP_OBJ, self.group, _NO_ID)]
        rows += [(_GROUP, bits, number) for number, bits in sorted(self.groups.items())]
        rows += [(_MASK, self.mask, _NO_ID), (_OTHER, self.other, _NO_ID)]
        return struct.pack("<I", _VERSION) + b"".join(_ENTRY.pack(*row) for row in rows)


def from_bytes(content: bytes) -> Acl | None:
    """Return the list that an extended attribute holds; None where it is of another version or damaged.

    Bits of named entries and of the group are as written, not cut by the mask.
    """
    if len(content) < 4 or (len(content) - 4) % _ENTRY.size or struct.unpack_from("<I", content)[0] != _VERSION:
        return None
    single: dict[int, int] = {}
    users: dict[int, int] = {}
    groups: dict[int, int] = {}
    for tag, bits, number in _ENTRY.iter_unpack(content[4:]):
        if tag == _USER:
            users[number] = bits
        elif tag == _GROUP:
            groups[number] = bits
        else:
            single[tag] = bits
    if not {_USER_OBJ, _GROUP_OBJ, _OTHER} <= single.keys():
        return None
    return Acl(single[_USER_OBJ], single[_GROUP_OBJ], single[_OTHER], users, groups)


def from_mode(mode: int) -> Acl:
    """Return the list of a file that has a mode only."""
    return Acl(mode >> 6 & 7, mode >> 3 & 7, mode & 7)


def has_list(path: Path) -> bool:
    """Say whether a file or folder has an access control list, and not a mode only."""
    try:
        return ACCESS in os.listxattr(path, follow_symlinks=False)
    except OSError:
        return False
