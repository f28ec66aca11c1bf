"""Symbolic links, copied as what they say and never followed; and files that have several names."""

from __future__ import annotations

import os
import time

from passerelle.core.errors import Conflict, storage_errors
from passerelle.transfer.attributes import carry_link
from passerelle.transfer.leg import Leg
from passerelle.transfer.manifest import Row
from passerelle.transfer.outcome import Outcome
from passerelle.transfer.tree import Entry, Kind, look


def copy_link(leg: Leg, folder: int, entry: Entry, *, replace: bool) -> Outcome:
    """Make a link as it is in the source, in an open folder. replace: an earlier copy of ours may have brought what is there.

    Raises:
        Conflict: something else has its name. StorageError and kin: it cannot be made.
    """
    with storage_errors(leg.target.named(entry.path)):
        temporary = leg.temporary()
        os.symlink(entry.link_to, temporary, dir_fd=folder)
        try:
            lost = carry_link(folder, temporary, entry, leg.keep)
            _place(leg, folder, temporary, entry, replace=replace)
        except BaseException:
            os.unlink(temporary, dir_fd=folder)
            raise
    row = Row(entry.path, 0, entry.mtime_ns, "", "", time.time(), leg.name, entry.link_to)
    return Outcome(entry.path, row, None, (f"The target did not take: {', '.join(lost)}.",) if lost else ())


def link_again(leg: Leg, entry: Entry, first: Row, *, replace: bool) -> Outcome:
    """Give a file that was verified under its first name another one, as the source has it.

    Raises:
        Conflict: something else has the name. StorageError and kin: the file system has no such links, or failed.
    """
    above, _, name = first.path.rpartition("/")
    with leg.target.folder(above) as there, leg.target.folder(entry.folder) as here, storage_errors(leg.target.named(entry.path)):
        temporary = leg.temporary()
        os.link(name, temporary, src_dir_fd=there, dst_dir_fd=here, follow_symlinks=False)
        try:
            _place(leg, here, temporary, entry, replace=replace, inode=look(there, first.path).inode)
        except BaseException:
            os.unlink(temporary, dir_fd=here)
            raise
        os.fsync(here)
    return Outcome(entry.path, first._replace(path=entry.path, leg=leg.name), bytes=first.size)


def _place(leg: Leg, folder: int, temporary: str, entry: Entry, *, replace: bool, inode: int | None = None) -> None:
    """Give the new link its name; what is the same already, or ours, gives way."""
    try:
        found = look(folder, entry.path)
    except FileNotFoundError:
        found = None
    same = found is not None and (
        found.inode == inode if inode is not None else (found.kind, found.link_to) == (Kind.LINK, entry.link_to)
    )
    if found is not None and not (same or replace):
        raise Conflict(
            "is there already, and is something else.",
            advice="Move it away, or copy to another folder; it was left as it is.",
            path=leg.target.named(entry.path),
        )
    os.rename(temporary, entry.name, src_dir_fd=folder, dst_dir_fd=folder)
    if inode is not None and same:
        os.unlink(temporary, dir_fd=folder)
