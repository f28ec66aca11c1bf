"""All files of one instrument's folder, as values: what is known, what is awaited, and the changes that follow.

No disk and no clock in here. The shell (`patrol`) reports listings, events and looks into files; `awaited` says which files
to look at next, and when.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

from passerelle.acquisition.program import Place
from passerelle.core.states import FileState
from passerelle.gateway.admit import admit, ignored
from passerelle.gateway.awaited import Awaited
from passerelle.gateway.change import (
    Arrival,
    Bad,
    Change,
    Gone,
    Growing,
    InstrumentFolder,
    KnownFile,
    Returned,
    Touched,
    Unfinished,
)
from passerelle.gateway.file_clock import FileClock
from passerelle.gateway.records import Look, Moment, Pending, Seen, Settled
from passerelle.gateway.settle import (
    FileFacts,
    GiveNotice,
    HandOn,
    SetAside,
    SettleRules,
    Wait,
    Whole,
    Writers,
    settle,
)

_GROWING_TOLD_AFTER = 1.0
_RETRY_SECONDS = 30.0
_LOOK_AGAIN_SECONDS = 0.05


class Tracker:
    """The files of one instrument's folder. Paths are text relative to it, folders joined by "/"; "" is the folder itself.

    trust_inodes: inode numbers last (not on every network mount). same_clock: the file times are on this machine's clock.
    events_until: each event up to that instant was reported; a shell in which events wait for their turn keeps it up to date.
    """

    def __init__(
        self,
        folder: InstrumentFolder,
        rules: SettleRules,
        known: Iterable[KnownFile],
        *,
        trust_inodes: bool = True,
        same_clock: bool = True,
    ) -> None:
        self._folder = folder
        self._rules = rules
        self._trust_inodes = trust_inodes
        self._same_clock = same_clock
        self._clock = FileClock(same_clock=same_clock, believed_after_seconds=rules.unfinished_seconds)
        self.awaited = Awaited()
        self._settled: dict[str, dict[str, Settled]] = {}
        self._changes: list[Change] = []
        self.events_reliable_since: float | None = None
        self.events_until = math.inf
        for file in known:
            parent, _, name = str(file.path).rpartition("/")
            handed_on = file.state is FileState.WHOLE or (file.handed_on and file.state is FileState.GONE)
            record = Settled(file.size, file.mtime_ns, file.inode, file.generation, file.state, handed_on)
            self._settled.setdefault(parent, {})[name] = record

    # what the shell reports

    def listing(self, parent: str, entries: Mapping[str, Seen | None], now: Moment) -> None:
        """Take in all files of one folder; what is known and not listed is gone. None: there, but nobody can say more."""
        settled = self._settled.setdefault(parent, {})
        for name, seen in entries.items():
            record = settled.get(name)
            if seen is None or (record is not None and (record.state is None or self._as_settled(record, seen))):
                continue
            self.saw(f"{parent}/{name}" if parent else name, seen, now)
        for name in [name for name, record in settled.items() if name not in entries and record.state is not FileState.GONE]:
            self.lost(f"{parent}/{name}" if parent else name)
        for name in [name for name in self.awaited.names_in(parent) if name not in entries]:
            self.lost(f"{parent}/{name}" if parent else name)

    def saw(self, path: str, seen: Seen, now: Moment, *, closed: bool = False) -> None:
        """Take in one file; closed: it was just closed after writing, or renamed to this name."""
        parent, _, name = path.rpartition("/")
        pending = self.awaited.get(path)
        if pending is not None:
            self._saw_pending(path, pending, seen, now, closed)
            return
        record = self._settled.setdefault(parent, {}).get(name)
        if record is not None:
            if record.state is None:
                return
            if self._as_settled(record, seen):
                return
            record.written |= closed
        elif ignored(name):
            return
        place = admit(self._folder.program, path)
        if place is None:
            self._settled[parent][name] = Settled(0, 0, 0, 0, None, False)
            return
        self._start(path, place, seen, now, closed, record)

    def lost(self, path: str) -> None:
        """Take in that a file is not there any more."""
        parent, _, name = path.rpartition("/")
        pending = self.awaited.drop(path)
        settled = self._settled.get(parent, {})
        record = settled.get(name)
        if record is not None and record.state is None:
            del settled[name]
            return
        if pending is not None:
            before, seen = pending.before, pending.seen
            was_there = before is not None and before.state is not FileState.GONE
            record = before or Settled(seen.size, seen.mtime_ns, seen.inode, pending.generation, FileState.GONE, False)
            record.state = FileState.GONE
            if before is not None or pending.growing_told or pending.notice_told:
                self._settled.setdefault(parent, {})[name] = record
            if was_there or pending.growing_told or pending.notice_told:
                self._gone(path)
        elif record is not None and record.state is not FileState.GONE:
            record.state = FileState.GONE
            self._gone(path)

    def lost_folder(self, folder: str) -> None:
        """Take in that a folder is not there any more, with all that was in it."""
        inside = folder + "/"
        for parent in self._settled.keys() | self.awaited.folders():
            if parent != folder and not parent.startswith(inside):
                continue
            for name in self._settled.get(parent, {}).keys() | self.awaited.names_in(parent):
                self.lost(f"{parent}/{name}" if parent else name)

    def judged(self, path: str, look: Look, now: Moment) -> None:
        """Take in what a look into a file that was due has found."""
        pending = self.awaited.get(path)
        if pending is None:
            return
        if look.seen is None:
            self.lost(path)
            return
        if look.seen != pending.seen:
            self._saw_pending(path, pending, look.seen, now, closed=False)
            return
        if look.finding is not None:
            pending.finding = look.finding
        writers = look.writers
        if writers is Writers.UNKNOWN and self._same_clock and pending.closed_at is not None:
            writers = Writers.NONE  # the kernel would not say, but the close was seen, and no change since
        pending.quiet, pending.was_closed = now.mono - pending.changed_at, writers is Writers.NONE
        if pending.before is not None and writers is Writers.NONE and self._only_touched(pending):
            if pending.rested_at is None:
                pending.rested_at = now.mono
            if self.events_until <= pending.rested_at:  # that it was closed after a write may not have been reported yet
                self.awaited.plan(path, now.mono + _LOOK_AGAIN_SECONDS)
                return
            self._settle(path, pending, FileState.WHOLE, pending.before.generation, now)
            self._changes.append(Touched(**self._told(path, pending, pending.before.generation)))
            return
        finding = pending.finding
        if finding is None:
            finding = Whole()  # somebody has it open: whatever it holds, it waits
        expected = self._folder.expected_frames(pending.place) if isinstance(finding, Whole) and finding.header else None
        facts = FileFacts(pending.changed_at, pending.gap, writers, finding, expected)
        decision = settle(facts, now.mono, self._rules)
        match decision:
            case HandOn():
                header = finding.header if isinstance(finding, Whole) else None
                self._settle(path, pending, FileState.WHOLE, pending.generation, now)
                self._changes.append(
                    Arrival(
                        **self._told(path, pending, pending.generation),
                        header=header,
                        expected_frames=expected.count if expected else None,
                        closed_at=self._closed_at(pending),
                        whole_at=now.utc,
                    )
                )
            case SetAside(problem, passing):
                if not pending.notice_told:
                    self._changes.append(Bad(**self._told(path, pending, pending.generation), problem=problem))
                if passing:
                    pending.notice_told = True
                    pending.finding = None
                    self.awaited.plan(path, now.mono + _RETRY_SECONDS)
                else:
                    self._settle(path, pending, FileState.BAD, pending.generation, now)
            case GiveNotice(reason):
                if not pending.notice_told:
                    self._changes.append(Unfinished(**self._told(path, pending, pending.generation), reason=reason))
                    pending.notice_told = True
                self.awaited.plan(path, now.mono + _RETRY_SECONDS)
            case Wait(until):
                self._wait(path, pending, until, now)

    # what the shell asks

    def folders_known(self) -> set[str]:
        """Return all folders that hold, or held, files that count."""
        return {parent for parent, files in self._settled.items() if any(f.state is not FileState.GONE for f in files.values())}

    @property
    def present(self) -> int:
        """How many files are known that count and are not gone."""
        return sum(
            record.state is not None and record.state is not FileState.GONE
            for files in self._settled.values()
            for record in files.values()
        ) + len(self.awaited)

    def drain(self) -> list[Change]:
        """Return the changes since the last call, in order."""
        changes, self._changes = self._changes, []
        return changes

    # inside

    def _as_settled(self, record: Settled, seen: Seen) -> bool:
        return (
            record.state in {FileState.WHOLE, FileState.BAD}
            and record.size == seen.size
            and record.mtime_ns == seen.mtime_ns
            and (record.inode == seen.inode or not self._trust_inodes)
        )

    def _is_back(self, record: Settled, seen: Seen) -> bool:
        """A file put back from a copy has another inode, but its time to the nanosecond: whole seconds alone prove nothing."""
        if record.size != seen.size or record.mtime_ns != seen.mtime_ns:
            return False
        return record.inode == seen.inode or not self._trust_inodes or seen.mtime_ns % 1_000_000_000 != 0

    def _start(self, path: str, place: Place, seen: Seen, now: Moment, closed: bool, before: Settled | None) -> None:
        parent, _, name = path.rpartition("/")
        generation = 0
        if before is not None:
            if before.state is FileState.GONE and before.handed_on and self._is_back(before, seen):
                before.state, before.inode = FileState.WHOLE, seen.inode
                before.settled_at, before.written = now.mono, False
                pending = Pending(place, seen, before.generation, now.utc, now.mono, now.mono, now.mono)
                self._changes.append(Returned(**self._told(path, pending, before.generation)))
                return
            generation = before.generation + 1 if before.handed_on else before.generation
            del self._settled[parent][name]
        changed_at = self._clock.changed_at(seen, now)
        if closed:
            changed_at = now.mono
        self.awaited.add(
            path,
            Pending(
                place=place,
                seen=seen,
                generation=generation,
                seen_at=now.utc,
                since=now.mono,
                changed_at=changed_at,
                due_at=max(now.mono, changed_at + self._rules.settle_seconds),
                closed_at=now.utc if closed else None,
                before=before,
            ),
        )

    def _saw_pending(self, path: str, pending: Pending, seen: Seen, now: Moment, closed: bool) -> None:
        if seen == pending.seen and not closed:
            return
        if seen != pending.seen:
            changed_at = self._clock.changed_at(seen, now)
            # a pause of an open file is known from below only; of a closed one, whole
            pause = changed_at - pending.changed_at if pending.was_closed else pending.quiet
            pending.gap, pending.quiet = max(pending.gap, pause), 0.0
            pending.changed_at = max(pending.changed_at, changed_at)
            pending.seen = seen
            pending.notice_told = False
            pending.rested_at = None
        if closed:
            pending.closed_at = now.utc
            pending.changed_at = now.mono
            if pending.before is not None:
                pending.before.written = True
        elif pending.closed_at is not None and pending.closed_at < now.utc:
            pending.closed_at = None
        pending.finding = None
        self.awaited.plan(path, max(now.mono + _LOOK_AGAIN_SECONDS, pending.changed_at + self._rules.settle_seconds))

    def _wait(self, path: str, pending: Pending, until: float, now: Moment) -> None:
        told_at = pending.since + _GROWING_TOLD_AFTER
        if not pending.growing_told:
            if now.mono >= told_at:
                pending.growing_told = True
                self._changes.append(Growing(**self._told(path, pending, pending.generation)))
            else:
                until = min(until, told_at)
        self.awaited.plan(path, max(until, now.mono + _LOOK_AGAIN_SECONDS))

    def _only_touched(self, pending: Pending) -> bool:
        before, since = pending.before, self.events_reliable_since
        return (
            before is not None
            and before.handed_on
            and before.state is FileState.WHOLE
            and not before.written
            and before.settled_at is not None
            and since is not None
            and before.settled_at > since  # at the very instant, it may have been written by an event that was lost
            and before.size == pending.seen.size
            and before.inode == pending.seen.inode
        )

    def _settle(self, path: str, pending: Pending, state: FileState, generation: int, now: Moment) -> None:
        self.awaited.drop(path)
        parent, _, name = path.rpartition("/")
        seen, handed_on = pending.seen, state is FileState.WHOLE
        self._settled.setdefault(parent, {})[name] = Settled(
            seen.size, seen.mtime_ns, seen.inode, generation, state, handed_on, settled_at=now.mono
        )

    def _gone(self, path: str) -> None:
        self._changes.append(Gone(instrument=self._folder.name, path=PurePosixPath(path)))

    def _closed_at(self, pending: Pending) -> float | None:
        if pending.closed_at is not None:
            return pending.closed_at
        return pending.seen.changed_utc if self._same_clock else None

    def _told(self, path: str, pending: Pending, generation: int) -> dict[str, Any]:
        return {
            "instrument": self._folder.name,
            "path": PurePosixPath(path),
            "place": pending.place,
            "size": pending.seen.size,
            "mtime_ns": pending.seen.mtime_ns,
            "inode": pending.seen.inode,
            "generation": generation,
            "seen_at": pending.seen_at,
        }
