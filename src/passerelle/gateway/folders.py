"""The folders of one root that were listed so far, and the kernel's watches on them."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from passerelle.core.errors import printable
from passerelle.gateway.events import Hints, Wakeups
from passerelle.gateway.records import Moment
from passerelle.gateway.tree import Listing

_NO_MORE_WATCHES = {errno.ENOSPC, errno.ENOMEM, errno.EMFILE}
_TROUBLES_TOLD = 3


@dataclass(slots=True)
class _Folder:
    """What the last listing of a folder said. mtime_ns -1: list it again in any case."""

    mtime_ns: int
    active_until: float
    inner: set[str] = field(default_factory=set)  # paths of the folders in it
    trouble: str = ""


class Folders:
    """The folders that were listed, each watched as long as the kernel gives watches. Paths are text as in `Tracker`.

    active_seconds: a folder counts as in use so long after its last change.
    """

    def __init__(self, root: Path, active_seconds: float) -> None:
        self._root, self._active_seconds = root, active_seconds
        self._folders: dict[str, _Folder] = {}
        self._wakeups: Wakeups | None = None
        self._why_polling = ""

    def __contains__(self, folder: str) -> bool:
        return folder in self._folders

    def __iter__(self) -> Iterator[str]:
        return iter(self._folders)

    # the kernel's watches

    def begin(self, *, polling: bool) -> None:
        """Begin anew with no folder; watch those that come where the kernel gives events and `polling` does not say otherwise."""
        self.clear()
        self._why_polling = ""
        if polling:
            return
        try:
            self._wakeups = Wakeups()
        except OSError as error:
            self._polls(f"The kernel gives no events ({os.strerror(error.errno or 0)}): raise fs.inotify.max_user_instances.")

    def clear(self) -> None:
        """Forget all folders."""
        self.close()
        self._folders.clear()

    def close(self) -> None:
        """Give the kernel its watches back."""
        if self._wakeups is not None:
            self._wakeups.close()
            self._wakeups = None

    @property
    def watched(self) -> bool:
        """Whether the kernel tells what happens in the folders; if not, only a poll does."""
        return self._wakeups is not None

    def wait(self, seconds: float, otherwise: Callable[[float], object]) -> Hints:
        """Wait for events, at most `seconds`, and say what to look at; `otherwise` waits where none can come."""
        if self._wakeups is not None:
            return self._wakeups.wait(seconds)
        if seconds > 0:
            otherwise(seconds)
        return Hints()

    def needs_watch(self, folder: str) -> bool:
        """Say whether a folder was never listed, or is not watched although it can be."""
        return folder not in self._folders or (self._wakeups is not None and not self._wakeups.watches(folder))

    def watch(self, folder: str, descriptor: int) -> None:
        """Watch the folder that is open at `descriptor`; to be called before it is listed.

        Where the kernel has no watch left, the others are given back, too: from then on, all folders are polled.
        """
        if self._wakeups is None:
            return
        try:
            self._wakeups.add(folder, descriptor)
        except OSError as error:
            if error.errno not in _NO_MORE_WATCHES:
                raise
            self._polls(
                f"The kernel watches no more folders ({os.strerror(error.errno or 0)}): raise fs.inotify.max_user_watches."
            )

    def unwatch(self, folder: str) -> None:
        """Watch a folder and all in it no more: its watches would follow it to its new name."""
        if self._wakeups is not None:
            for path in self._inside(folder):
                self._wakeups.remove(path)

    def _polls(self, why: str) -> None:
        self.close()
        self._why_polling = why

    # what listings said

    def take(self, folder: str, listing: Listing, now: Moment) -> set[str]:
        """Take in the listing of a folder; return the folders that were in it before and are gone, which are forgotten."""
        before = self._folders.get(folder)
        # a folder that changed a moment ago may change again within one tick of its file system's clock: then list it anew
        fresh = abs(now.utc - listing.mtime_ns / 1e9) < 2.0
        active_until = before.active_until if before is not None else 0.0
        if before is None or before.mtime_ns != listing.mtime_ns:
            active_until = now.mono + (self._active_seconds if before is not None or fresh else 0.0)
        inside = f"{folder}/" if folder else ""
        inner = {inside + name for name in listing.folders}
        self._folders[folder] = _Folder(-1 if fresh else listing.mtime_ns, active_until, inner)
        gone = before.inner - inner if before is not None else set()
        for each in gone:
            self.forget(each)
        return gone

    def not_listed(self, folder: str, error: OSError) -> None:
        """Take in that a folder is there and cannot be listed."""
        record = self._folders.setdefault(folder, _Folder(-1, 0.0))
        record.mtime_ns = -1
        record.trouble = os.strerror(error.errno or errno.EIO)

    def lost(self, folder: str) -> None:
        """Take in that a folder is not there any more; the one that held it is to be listed again."""
        self.forget(folder)
        if (parent := self._folders.get(folder.rpartition("/")[0])) is not None:
            parent.mtime_ns = -1

    def forget(self, folder: str) -> None:
        """Forget a folder and all in it, with their watches."""
        self.unwatch(folder)
        for path in self._inside(folder):
            del self._folders[path]

    def used(self, folder: str, now: float) -> None:
        """Take in that something happened in a folder."""
        if (record := self._folders.get(folder)) is not None:
            record.active_until = now + self._active_seconds

    # what the round asks

    def in_use(self, folder: str, now: float) -> bool:
        """Say whether something happened in a listed folder a short while ago."""
        return now < self._folders[folder].active_until

    def changed(self, folder: str) -> bool:
        """Say whether a listed folder has another time than its listing, or none that can be had."""
        try:
            status = (self._root / folder).stat(follow_symlinks=not folder)
        except OSError:
            return True
        return status.st_mtime_ns != self._folders[folder].mtime_ns

    def has_trouble(self, folder: str) -> bool:
        """Say whether a folder could not be listed the last time."""
        return folder in self._folders and self._folders[folder].trouble != ""

    def troubled(self) -> list[str]:
        """Return the folders that could not be listed the last time."""
        return [folder for folder, record in self._folders.items() if record.trouble]

    def reason(self) -> str:
        """Say why not all is seen, or not at once, in sentences for the operator; empty when all is well."""
        troubles = [f"{printable(folder)}: {self._folders[folder].trouble}." for folder in sorted(self.troubled())]
        reason = " ".join([self._why_polling, *troubles[:_TROUBLES_TOLD]]).strip()
        if len(troubles) > _TROUBLES_TOLD:
            reason += f" And {len(troubles) - _TROUBLES_TOLD} more folders."
        return reason

    def _inside(self, folder: str) -> list[str]:
        found, pending = [], [folder]
        while pending:
            path = pending.pop()
            if (record := self._folders.get(path)) is not None:
                found.append(path)
                pending.extend(record.inner)
        return found
