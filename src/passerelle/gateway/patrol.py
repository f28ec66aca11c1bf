"""The round that one instrument's folder is walked: events as wake-ups, a poll as the truth, looks into files that are due."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from passerelle.acquisition.program import Role
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
from passerelle.gateway.events import Hints
from passerelle.gateway.folders import Folders
from passerelle.gateway.mounts import is_remote, mount_kind
from passerelle.gateway.pace import Pace
from passerelle.gateway.records import Moment
from passerelle.gateway.root import Root, RootIsAnother, RootIsEmpty, why_unreachable
from passerelle.gateway.settle import SettleRules, Writers
from passerelle.gateway.tracker import Tracker
from passerelle.gateway.tree import ABSENT, list_folder, look_into, opened_folder, stat_file

_HOLES_MEAN_UNWRITTEN = {"ext2", "ext3", "ext4", "xfs", "tmpfs", "f2fs"}
_SLICE_SECONDS = 0.05
_LOOKS_AT_ONCE = 64


def _now() -> Moment:
    return Moment(time.monotonic(), time.time())


def _polled(folder: InstrumentFolder) -> bool:
    """Say whether only a poll sees what others write, now: another kind of mount may come under our feet."""
    return folder.polling if folder.polling is not None else is_remote(folder.path)


class Patrol:
    """Walks one instrument's folder. Not a thread: call `step` again and again, and record what it returns."""

    def __init__(self, folder: InstrumentFolder, known: Iterable[KnownFile], rules: SettleRules, pace: Pace) -> None:
        self.folder = folder
        self.state = FolderState.UNREACHABLE
        self.reason = "not looked at yet"
        self.beat = time.monotonic()
        self._rules, self._pace = rules, pace
        # who says that events cannot be had means that others write here: then nothing but the files themselves is believed
        self._remote = _polled(folder)
        self._trust_holes = not self._remote and mount_kind(folder.path) in _HOLES_MEAN_UNWRITTEN
        self._tracker = Tracker(folder, rules, known, trust_inodes=not self._remote, same_clock=not self._remote)
        self._root = Root(folder.path, lambda: self._tracker.present)
        self._folders = Folders(folder.path, pace.active_seconds)
        self._todo: deque[str] = deque()
        self._sweeping = False
        self._next_poll = self._next_sweep = self._asked_at = 0.0
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
        except RootIsAnother:
            self._next_poll = 0.0
        except RootIsEmpty as news:
            self._unreachable(FolderState.UNREACHABLE, str(news))
        except OSError as error:
            self._unreachable(*why_unreachable(error))
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
        self._folders.close()

    # waiting

    def _wait(self, wait: Callable[[float], object]) -> Hints:
        now = self.beat = self._asked_at = time.monotonic()
        until = [now + self._pace.idle_seconds, self._next_poll]
        if self._reachable and (due := self._tracker.awaited.next_due()) is not None:
            until.append(due)
        seconds = 0.0 if self._todo and self._reachable else max(0.0, min(until) - now)
        hints = self._folders.wait(seconds, wait)
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
        if hints.overflow:
            self._tracker.events_reliable_since = time.monotonic()
            self._start_sweep()
        for folder in hints.folders_out:
            # its record stays until the listing above it tells what became of it
            self._folders.unwatch(folder)
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
        self._tracker.events_until = self._asked_at

    def _stat_files(self, parent: str, names: list[tuple[str, bool]]) -> None:
        try:
            with opened_folder(self.folder.path, parent) as descriptor:
                for name, closed in names:
                    path = f"{parent}/{name}" if parent else name
                    seen = stat_file(descriptor, name)
                    if seen is None:
                        self._root.must_be_same()
                        self._tracker.lost(path)
                    else:
                        self._root.held_files = True
                        self._tracker.saw(path, seen, _now(), closed=closed)
        except OSError as error:
            self._root.must_be_same()
            if self._folders.watched:
                self._tracker.events_reliable_since = time.monotonic()  # a close that they told of was not taken in
            self._todo.append(parent if error.errno not in ABSENT else parent.rpartition("/")[0])  # the listing tells more
            return
        self._folders.used(parent, time.monotonic())

    # the poll

    def _poll(self) -> None:
        now = time.monotonic()
        if now >= self._next_poll:
            self._check_root()
            if now >= self._next_sweep:
                self._start_sweep()
            elif not self._todo:
                last_cost, self._round_cost = self._round_cost, 0.0
                for folder in self._folders:
                    self.beat = time.monotonic()
                    if (
                        self._folders.in_use(folder, now)
                        or self._tracker.awaited.count_in(folder)
                        or self._folders.changed(folder)
                    ):
                        self._todo.append(folder)
                self._round_cost = time.monotonic() - now
                self._next_poll = now + 20 * max(last_cost, self._round_cost)
            every = self._pace.watched_seconds if self._folders.watched else self._pace.polled_seconds
            self._next_poll = max(self._next_poll, now + every)
        started = time.monotonic()
        while self._todo and time.monotonic() < started + _SLICE_SECONDS:
            self.beat = time.monotonic()
            self._visit(self._todo.popleft())
        self._round_cost += time.monotonic() - started
        if self._sweeping and not self._todo:
            self._end_sweep()

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
        troubled = self._folders.troubled()
        for folder in self._tracker.folders_known():
            if folder not in self._folders and not any(folder.startswith(f"{above}/") for above in troubled):
                self._tracker.lost_folder(folder)
        self._tell()
        self._present = self._tracker.present
        self.listed = True

    def _visit(self, folder: str) -> None:
        try:
            if self._folders.needs_watch(folder):
                with opened_folder(self.folder.path, folder) as descriptor:
                    self._folders.watch(folder, descriptor)
                if not self._folders.watched:
                    self.state, self._tracker.events_reliable_since = FolderState.POLLING, None
            listing = list_folder(self.folder.path, folder)
        except OSError as error:
            self._not_listed(folder, error)
            return
        now = _now()
        if folder == "":
            self._root.must_be(listing.identity)
            self._root.believe(bool(listing.files or listing.folders))
        else:
            self._root.held_files = True
        had_trouble = self._folders.has_trouble(folder)
        gone = self._folders.take(folder, listing, now)
        self._tracker.listing(folder, listing.files, now)
        for each in gone:
            self._tracker.lost_folder(each)
        inside = f"{folder}/" if folder else ""
        self._todo.extendleft(path for name in listing.folders if self._folders.needs_watch(path := inside + name))
        for name, target in listing.links:
            self._tell_link(inside + name, target)
        if had_trouble:
            self._tell()

    def _not_listed(self, folder: str, error: OSError) -> None:
        if folder == "":
            raise error
        self._root.must_be_same()
        if error.errno in ABSENT:
            self._folders.lost(folder)
            self._tracker.lost_folder(folder)
            return
        self._folders.not_listed(folder, error)
        if not self._sweeping:
            self._tell()

    # the root

    def _check_root(self) -> None:
        """Find out whether the root is there and the same as before; if not, begin anew. Raises: as `Root.look` does."""
        another = self._root.look()
        if another or not self._reachable:
            self._folders.begin(polling=_polled(self.folder))
            self._tracker.events_reliable_since = time.monotonic() if self._folders.watched else None
            self.state = FolderState.WATCHING if self._folders.watched else FolderState.POLLING
            self._start_sweep()

    def _unreachable(self, state: FolderState, reason: str) -> None:
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
                        self._root.must_be_same()
                    elif look.writers is Writers.UNKNOWN:
                        look = replace(look, writers=self._elsewhere(path, look.seen.mtime_ns))
                except (OSError, RootIsAnother):
                    self._tracker.awaited.postpone(due[done:], time.monotonic() + self._pace.polled_seconds)
                    self._root.must_be_same()
                    return
                self._tracker.judged(path, look, _now())

    def _elsewhere(self, path: str, mtime_ns: int) -> Writers:
        told = self.folder.open_elsewhere(self.folder.path / path, mtime_ns)
        return Writers.UNKNOWN if told is None else Writers.SOME if told else Writers.NONE

    # telling

    def _tell(self) -> None:
        if self._reachable:
            self.reason = self._folders.reason()
        if self._told != (self.state, self.reason):
            self._told = (self.state, self.reason)
            self._changes.append(FolderChange(instrument=self.folder.name, state=self.state, reason=self.reason, at=time.time()))

    def _tell_link(self, path: str, target: str) -> None:
        if path not in self._links_told:
            self._links_told.add(path)
            self._changes.append(LinkIgnored(instrument=self.folder.name, path=PurePosixPath(path), target=target))
