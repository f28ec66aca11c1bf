"""The round that one instrument's folder is walked: events as wake-ups, a poll as the truth, looks into files that are due."""

from __future__ import annotations

import errno
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from passerelle.acquisition.program import Role
from passerelle.core.errors import printable
from passerelle.gateway.admit import ignored
from passerelle.gateway.change import (
    Arrival,
    Change,
    FolderChange,
    FolderState,
    InstrumentFolder,
    KnownFile,
    LinkIgnored,
)
from passerelle.gateway.events import Hints, Wakeups
from passerelle.gateway.mounts import is_remote, mount_kind
from passerelle.gateway.pace import Pace
from passerelle.gateway.records import Moment
from passerelle.gateway.settle import SettleRules, Writers
from passerelle.gateway.tracker import Tracker
from passerelle.gateway.tree import list_folder, look_into, opened_folder, stat_file

_ABSENT = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}
_FORBIDDEN = {errno.EACCES, errno.EPERM}
_HOLES_MEAN_UNWRITTEN = {"ext2", "ext3", "ext4", "xfs", "tmpfs", "f2fs"}
_SLICE_SECONDS = 0.05
_LOOKS_AT_ONCE = 64


@dataclass(slots=True)
class _Folder:
    """What the last listing of a folder said. mtime_ns -1: list it again in any case."""

    mtime_ns: int
    active_until: float
    inner: set[str] = field(default_factory=set)  # paths of the folders in it
    trouble: str = ""


def _now() -> Moment:
    return Moment(time.monotonic(), time.time())


class _RootIsAnother(Exception):
    """Not an error, but news: another folder has the root's place."""


class Patrol:
    """Walks one instrument's folder. Not a thread: call `step` again and again, and record what it returns."""

    def __init__(self, folder: InstrumentFolder, known: Iterable[KnownFile], rules: SettleRules, pace: Pace) -> None:
        self.folder = folder
        self.state = FolderState.UNREACHABLE
        self.reason = "not looked at yet"
        self.beat = time.monotonic()
        self._rules, self._pace = rules, pace
        # who says that events cannot be had means that others write here: then nothing but the files themselves is believed
        self._remote = folder.polling if folder.polling is not None else is_remote(folder.path)
        self._trust_holes = not self._remote and mount_kind(folder.path) in _HOLES_MEAN_UNWRITTEN
        self._tracker = Tracker(folder, rules, known, trust_inodes=not self._remote, same_clock=not self._remote)
        self._wakeups: Wakeups | None = None
        self._why_polling = ""
        self._folders: dict[str, _Folder] = {}
        self._todo: deque[str] = deque()
        self._sweeping = False
        self._identity: tuple[int, int] | None = None
        self._start_anew = True
        self._held_files = False  # the root, as it is now, was seen with something in it
        self._next_poll = self._next_sweep = 0.0
        self._round_cost = 0.0
        self._present, self._count_again = 0, 0.0
        self.listed = False  # everything was seen at least once
        self._links_told: set[str] = set()
        self._changes: list[Change] = []
        self._told: tuple[FolderState, str] | None = None

    @property
    def awaited(self) -> int:
        """How many files are not whole yet."""
        return len(self._tracker.awaited)

    @property
    def present(self) -> int:
        """How many files are known and not gone, counted a moment ago: other threads may ask."""
        return self._present

    def step(self, wait: Callable[[float], object]) -> list[Change]:
        """Wait for something to do, do a slice of it (about a tenth of a second), and return what changed, in order.

        wait: called with seconds where no events can be waited for.
        """
        hints = self._wait(wait)
        try:
            self._follow(hints)
            self._poll()
            self._look()
        except _RootIsAnother:
            self._next_poll = 0.0
        except OSError as error:
            self._unreachable(error)
        changes, self._changes = self._changes + self._tracker.drain(), []
        if changes and time.monotonic() >= self._count_again:
            started = time.monotonic()
            self._present = self._tracker.present
            self._count_again = time.monotonic() + max(1.0, 20 * (time.monotonic() - started))
        return changes

    def acknowledged(self, changes: Sequence[Change]) -> None:
        """Take in that the caller has recorded changes: with a sidecar, the number of frames of its movie may be known to it."""
        now = time.monotonic()
        for change in changes:
            if isinstance(change, Arrival) and change.place.role is Role.MOVIE_METADATA:
                self._tracker.awaited.sidecar_taken(change.place, now)

    def close(self) -> None:
        """Give the kernel its watches back."""
        if self._wakeups is not None:
            self._wakeups.close()
            self._wakeups = None

    # waiting

    def _wait(self, wait: Callable[[float], object]) -> Hints:
        now = time.monotonic()
        self.beat = now
        until = [now + self._pace.idle_seconds, self._next_poll]
        if self._reachable and (due := self._tracker.awaited.next_due()) is not None:
            until.append(due)
        seconds = 0.0 if self._todo and self._reachable else max(0.0, min(until) - now)
        if self._wakeups is not None:
            hints = self._wakeups.wait(seconds)
        else:
            hints = Hints()
            if seconds > 0:
                wait(seconds)
        self.beat = time.monotonic()
        return hints

    @property
    def _reachable(self) -> bool:
        return self.state in {FolderState.WATCHING, FolderState.POLLING}

    # events

    def _follow(self, hints: Hints) -> None:
        if not self._reachable:
            return
        if hints.root:
            self._check_root()
            if not self._reachable:
                return
        if hints.overflow:
            self._tracker.events_reliable_since = time.monotonic()
            self._start_sweep()
        for folder in hints.folders_out:
            # its record stays until the listing above it tells what became of it; its watches would follow it to its new name
            self._unwatch(folder)
            self._todo.append(folder.rpartition("/")[0])
        for folder in hints.folders_in:
            if not ignored(folder.rpartition("/")[2]):
                self._todo.appendleft(folder)
        by_folder: dict[str, list[tuple[str, bool]]] = {}
        for path, closed in hints.files.items():
            parent, _, name = path.rpartition("/")
            if not ignored(name):
                by_folder.setdefault(parent, []).append((name, closed))
        for parent, names in by_folder.items():
            self._stat_files(parent, names)

    def _stat_files(self, parent: str, names: list[tuple[str, bool]]) -> None:
        try:
            with opened_folder(self.folder.path, parent) as descriptor:
                for name, closed in names:
                    path = f"{parent}/{name}" if parent else name
                    seen = stat_file(descriptor, name)
                    if seen is None:
                        self._same_root()
                        self._tracker.lost(path)
                    else:
                        self._held_files = True
                        self._tracker.saw(path, seen, _now(), closed=closed)
        except OSError as error:
            self._same_root()
            self._todo.append(parent if error.errno not in _ABSENT else parent.rpartition("/")[0])  # the listing tells more
            return
        if (record := self._folders.get(parent)) is not None:
            record.active_until = time.monotonic() + self._pace.active_seconds

    # the poll

    def _poll(self) -> None:
        now = time.monotonic()
        if now >= self._next_poll:
            self._check_root()
            if not self._reachable:
                return
            if now >= self._next_sweep:
                self._start_sweep()
            elif not self._todo:
                last_cost, self._round_cost = self._round_cost, 0.0
                for folder, record in self._folders.items():
                    self.beat = time.monotonic()
                    if self._changed(folder, record, now):
                        self._todo.append(folder)
                self._round_cost = time.monotonic() - now
                self._next_poll = now + 20 * max(last_cost, self._round_cost)
            every = self._pace.watched_seconds if self._wakeups is not None else self._pace.polled_seconds
            self._next_poll = max(self._next_poll, now + every)
        started = time.monotonic()
        while self._todo and time.monotonic() < started + _SLICE_SECONDS:
            self.beat = time.monotonic()
            self._visit(self._todo.popleft())
        self._round_cost += time.monotonic() - started
        if self._sweeping and not self._todo:
            self._end_sweep()

    def _changed(self, folder: str, record: _Folder, now: float) -> bool:
        if now < record.active_until or self._tracker.awaited.count_in(folder):
            return True
        try:
            return (self.folder.path / folder).stat(follow_symlinks=not folder).st_mtime_ns != record.mtime_ns
        except OSError:
            return True

    def _start_sweep(self) -> None:
        self._sweeping = True
        self._round_cost = 0.0
        self._todo.clear()
        self._todo.append("")
        self._todo.extend(folder for folder in self._folders if folder)

    def _end_sweep(self) -> None:
        """After every folder was listed: what the record has in folders that are not there is gone."""
        self._sweeping = False
        self._next_sweep = time.monotonic() + max(self._pace.sweep_seconds, 20 * self._round_cost)
        troubled = [folder for folder, record in self._folders.items() if record.trouble]
        for folder in self._tracker.folders_known():
            if folder not in self._folders and not any(folder.startswith(f"{above}/") for above in troubled):
                self._tracker.lost_folder(folder)
        self._tell()
        self._present = self._tracker.present
        self.listed = True

    def _visit(self, folder: str) -> None:
        new = folder not in self._folders
        try:
            if new or not self._is_watched(folder):
                with opened_folder(self.folder.path, folder) as descriptor:
                    self._add_watch(folder, descriptor)
            listing = list_folder(self.folder.path, folder)
        except OSError as error:
            self._not_listed(folder, error)
            return
        now = _now()
        if folder == "":
            if listing.identity != self._identity:
                raise _RootIsAnother
            if not self._believe(bool(listing.files or listing.folders)):
                return
        else:
            self._held_files = True
        before = self._folders.get(folder)
        # a folder that changed a moment ago may change again within one tick of its file system's clock: then list it anew
        fresh = abs(now.utc - listing.mtime_ns / 1e9) < 2.0
        active_until = before.active_until if before is not None else 0.0
        if before is None or before.mtime_ns != listing.mtime_ns:
            active_until = now.mono + (self._pace.active_seconds if before is not None or fresh else 0.0)
        inside = f"{folder}/" if folder else ""
        present = {inside + name for name in listing.folders}
        self._folders[folder] = _Folder(-1 if fresh else listing.mtime_ns, active_until, present)
        self._tracker.listing(folder, listing.files, now)
        for gone in before.inner - present if before is not None else ():
            self._forget(gone)
            self._tracker.lost_folder(gone)
        self._todo.extendleft(path for path in present if path not in self._folders or not self._is_watched(path))
        for name, target in listing.links:
            self._tell_link(inside + name, target)
        if before is not None and before.trouble:
            self._tell()

    def _not_listed(self, folder: str, error: OSError) -> None:
        if folder == "":
            raise error
        self._same_root()
        if error.errno in _ABSENT:
            self._forget(folder)
            parent = folder.rpartition("/")[0]
            if parent in self._folders:
                self._folders[parent].mtime_ns = -1
            self._tracker.lost_folder(folder)
            return
        record = self._folders.setdefault(folder, _Folder(-1, 0.0))
        record.mtime_ns = -1
        record.trouble = os.strerror(error.errno or errno.EIO)
        if not self._sweeping:
            self._tell()

    def _is_watched(self, folder: str) -> bool:
        return self._wakeups is None or self._wakeups.watches(folder)

    def _inside(self, folder: str) -> list[str]:
        found, pending = [], [folder]
        while pending:
            path = pending.pop()
            if (record := self._folders.get(path)) is not None:
                found.append(path)
                pending.extend(record.inner)
        return found

    def _unwatch(self, folder: str) -> None:
        if self._wakeups is not None:
            for path in self._inside(folder):
                self._wakeups.remove(path)

    def _forget(self, folder: str) -> None:
        self._unwatch(folder)
        for path in self._inside(folder):
            del self._folders[path]

    # the root

    def _check_root(self) -> None:
        """Find out whether the root is there and the same as before; if not, begin anew. Raises: OSError when it is not there."""
        with opened_folder(self.folder.path, "") as descriptor:
            status = os.fstat(descriptor)
            with os.scandir(descriptor) as entries:
                filled = any(not ignored(entry.name) for entry in entries)
        identity = (status.st_dev, status.st_ino)
        if identity != self._identity:
            self._identity, self._held_files = identity, False
            self._start_anew = True
        if self._believe(filled) and (self._start_anew or not self._reachable):
            self._begin()

    def _same_root(self) -> None:
        """Make sure that what is missing was removed, and not the whole share unmounted under our feet.

        Raises:
            OSError: the root does not answer.
            _RootIsAnother: something else has its place now; nothing seen in it is to be believed.
        """
        with opened_folder(self.folder.path, "") as descriptor:
            status = os.fstat(descriptor)
        if (status.st_dev, status.st_ino) != self._identity:
            raise _RootIsAnother

    def _begin(self) -> None:
        self._start_anew = False
        self.close()
        self._folders.clear()
        self._why_polling = ""
        polling = self.folder.polling if self.folder.polling is not None else is_remote(self.folder.path)
        if not polling:
            try:
                self._wakeups = Wakeups()
            except OSError as error:
                self._why_polling = (
                    f"The kernel gives no events ({os.strerror(error.errno or 0)}): raise fs.inotify.max_user_instances."
                )
        self._tracker.events_reliable_since = time.monotonic() if self._wakeups is not None else None
        self.state = FolderState.WATCHING if self._wakeups is not None else FolderState.POLLING
        self._start_sweep()

    def _believe(self, filled: bool) -> bool:
        """An empty root is believed only where the same folder was seen with something in it, or where nothing is known of it."""
        if filled:
            self._held_files = True
        elif not self._held_files and (count := self._tracker.present):
            self._set_unreachable(
                FolderState.UNREACHABLE, f"It is empty, although {count:,} files of it are known. Is the share mounted?"
            )
            return False
        return True

    def _add_watch(self, folder: str, descriptor: int) -> None:
        if self._wakeups is None:
            return
        try:
            self._wakeups.add(folder, descriptor)
        except OSError as error:
            if error.errno not in {errno.ENOSPC, errno.ENOMEM, errno.EMFILE}:
                raise
            self.close()
            self.state = FolderState.POLLING
            self._tracker.events_reliable_since = None
            self._why_polling = (
                f"The kernel watches no more folders ({os.strerror(error.errno or 0)}): raise fs.inotify.max_user_watches."
            )

    def _unreachable(self, error: OSError) -> None:
        if error.errno in _FORBIDDEN:
            reason = "This account may not read it. Check owner and mode of the folder and those above it."
            self._set_unreachable(FolderState.REFUSED, reason)
        else:
            what = os.strerror(error.errno or errno.EIO)
            self._set_unreachable(FolderState.UNREACHABLE, f"It cannot be read: {what}. Is the share mounted?")

    def _set_unreachable(self, state: FolderState, reason: str) -> None:
        self.close()
        self._folders.clear()
        self._todo.clear()
        self._sweeping = False
        self._next_poll = time.monotonic() + self._pace.polled_seconds
        self._next_sweep = 0.0
        self.state, self.reason = state, reason
        self._tell()

    # looking into files

    def _look(self) -> None:
        if not self._reachable:
            return
        started = time.monotonic()
        while time.monotonic() < started + _SLICE_SECONDS:
            due = self._tracker.awaited.due(time.monotonic(), _LOOKS_AT_ONCE)
            if not due:
                return
            for done, path in enumerate(due):
                pending = self._tracker.awaited.get(path)
                if pending is None:
                    continue
                self.beat = time.monotonic()
                try:
                    look = look_into(
                        self.folder.path,
                        path,
                        pending.place,
                        probing=pending.finding is None,
                        asking=not self._remote,
                        trust_holes=self._trust_holes,
                    )
                    if look.seen is None:
                        self._same_root()
                    elif look.writers is Writers.UNKNOWN:
                        look = replace(look, writers=self._elsewhere(path, look.seen.mtime_ns))
                except (OSError, _RootIsAnother):
                    self._tracker.awaited.postpone(due[done:], time.monotonic() + self._pace.polled_seconds)
                    self._same_root()
                    return
                self._tracker.judged(path, look, _now())

    def _elsewhere(self, path: str, mtime_ns: int) -> Writers:
        told = self.folder.open_elsewhere(self.folder.path / path, mtime_ns)
        return Writers.UNKNOWN if told is None else Writers.SOME if told else Writers.NONE

    # telling

    def _tell(self) -> None:
        if self._reachable:
            troubles = [f"{printable(f)}: {record.trouble}." for f, record in sorted(self._folders.items()) if record.trouble]
            self.reason = " ".join([self._why_polling, *troubles[:3]]).strip()
            if len(troubles) > 3:
                self.reason += f" And {len(troubles) - 3} more folders."
        if self._told != (self.state, self.reason):
            self._told = (self.state, self.reason)
            self._changes.append(FolderChange(instrument=self.folder.name, state=self.state, reason=self.reason, at=time.time()))

    def _tell_link(self, path: str, target: str) -> None:
        if path not in self._links_told:
            self._links_told.add(path)
            self._changes.append(LinkIgnored(instrument=self.folder.name, path=PurePosixPath(path), target=target))
