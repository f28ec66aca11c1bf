"""All files of one instrument's folder, as values: what is known, what is awaited, and the changes that follow.

No disk and no clock in here. The shell (`patrol`) reports listings, events and looks into files; the tracker says which
files to look at next, and when.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

from passerelle.acquisition.program import Place, Role
from passerelle.core.states import FileState
from passerelle.gateway.admit import admit, ignored
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
        self._settled: dict[str, dict[str, Settled]] = {}
        self._pending: dict[str, Pending] = {}
        self._pending_in: dict[str, set[str]] = {}
        self._heap: list[tuple[float, str]] = []
        self._waiting_for_sidecar: dict[tuple[PurePosixPath, str], set[str]] = {}
        self._changes: list[Change] = []
        self.events_reliable_since: float | None = None
        self._difference: float | None = None
        self._clock_set_at = float("-inf")
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
        for name in [name for name in self._pending_in.get(parent, ()) if name not in entries]:
            self.lost(f"{parent}/{name}" if parent else name)

    def saw(self, path: str, seen: Seen, now: Moment, *, closed: bool = False) -> None:
        """Take in one file; closed: it was just closed after writing, or renamed to this name."""
        parent, _, name = path.rpartition("/")
        pending = self._pending.get(path)
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
        pending = self._drop(path)
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
        for parent in [
            parent for parent in self._settled.keys() | self._pending_in.keys() if parent == folder or parent.startswith(inside)
        ]:
            names = set(self._settled.get(parent, ())) | self._pending_in.get(parent, set())
            for name in names:
                self.lost(f"{parent}/{name}" if parent else name)

    def judged(self, path: str, look: Look, now: Moment) -> None:
        """Take in what a look into a file that was due has found."""
        pending = self._pending.get(path)
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
                        closed_at=self._closed_at(pending, now),
                        whole_at=now.utc,
                    )
                )
            case SetAside(problem, passing):
                if not pending.notice_told:
                    self._changes.append(Bad(**self._told(path, pending, pending.generation), problem=problem))
                if passing:
                    pending.notice_told = True
                    pending.finding = None
                    self._plan(path, pending, now.mono + _RETRY_SECONDS)
                else:
                    self._settle(path, pending, FileState.BAD, pending.generation, now)
            case GiveNotice(reason):
                if not pending.notice_told:
                    self._changes.append(Unfinished(**self._told(path, pending, pending.generation), reason=reason))
                    pending.notice_told = True
                self._plan(path, pending, now.mono + _RETRY_SECONDS)
            case Wait(until):
                self._wait(path, pending, until, now)

    def sidecar_taken(self, place: Place, now: Moment) -> None:
        """Take in that a movie's sidecar was handed on: what is expected of the movie may be known now."""
        if place.movie is None:
            return
        for path in self._waiting_for_sidecar.get((place.session, place.movie), ()):
            if (pending := self._pending.get(path)) is not None:
                self._plan(path, pending, min(pending.due_at, now.mono))

    # what the shell asks

    def due(self, now: float, limit: int) -> list[str]:
        """Return up to `limit` files to look into now; each must be `judged`."""
        paths: list[str] = []
        while self._heap and self._heap[0][0] <= now and len(paths) < limit:
            due_at, path = heapq.heappop(self._heap)
            pending = self._pending.get(path)
            if pending is not None and pending.due_at == due_at:
                paths.append(path)
        return paths

    def next_due(self) -> float | None:
        """Return when the next file is due, None where none is awaited."""
        return self._heap[0][0] if self._heap else None

    def place_of(self, path: str) -> Place | None:
        """Return the place of an awaited file."""
        pending = self._pending.get(path)
        return pending.place if pending else None

    def needs_probe(self, path: str) -> bool:
        """Say whether the bytes of an awaited file must be looked at (again)."""
        pending = self._pending.get(path)
        return pending is not None and pending.finding is None

    def awaited_in(self, parent: str) -> int:
        """Return how many files of one folder are awaited, but for those that were given up for now."""
        inside = f"{parent}/" if parent else ""
        return sum(not self._pending[inside + name].notice_told for name in self._pending_in.get(parent, ()))

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
        ) + len(self._pending)

    def postpone(self, paths: Iterable[str], until: float) -> None:
        """Take in that files which were due could not be looked into now."""
        for path in paths:
            if (pending := self._pending.get(path)) is not None:
                self._plan(path, pending, until)

    @property
    def awaited(self) -> int:
        """How many files are not whole yet."""
        return len(self._pending)

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
        pending = Pending(
            place=place,
            seen=seen,
            generation=generation,
            seen_at=now.utc,
            since=now.mono,
            changed_at=self._last_change(seen, now),
            due_at=0.0,
            closed_at=now.utc if closed else None,
            before=before,
        )
        if closed:
            pending.changed_at = now.mono
        self._pending[path] = pending
        self._pending_in.setdefault(parent, set()).add(name)
        if place.role is Role.MOVIE and place.movie is not None:
            self._waiting_for_sidecar.setdefault((place.session, place.movie), set()).add(path)
        self._plan(path, pending, max(now.mono, pending.changed_at + self._rules.settle_seconds))

    def _last_change(self, seen: Seen, now: Moment) -> float:
        """When the file was last changed, on the monotonic clock. ctime counts: nobody can set it, as copiers set mtime.

        Times of another machine's clock are believed only where they are long past, and none from before this machine's clock
        was set anew.
        """
        difference = now.utc - now.mono
        if self._difference is not None and abs(difference - self._difference) > 1.0:
            self._clock_set_at = now.mono
        self._difference = difference
        age = now.utc - max(seen.mtime_ns, seen.ctime_ns) / 1e9
        if age <= 0:
            return now.mono
        if self._same_clock or age > self._rules.unfinished_seconds:
            return max(now.mono - age, self._clock_set_at)
        return now.mono

    def _saw_pending(self, path: str, pending: Pending, seen: Seen, now: Moment, closed: bool) -> None:
        if seen == pending.seen and not closed:
            return
        if seen != pending.seen:
            changed_at = self._last_change(seen, now)
            # a pause of an open file is known from below only; of a closed one, whole
            pause = changed_at - pending.changed_at if pending.was_closed else pending.quiet
            pending.gap, pending.quiet = max(pending.gap, pause), 0.0
            pending.changed_at = max(pending.changed_at, changed_at)
            pending.seen = seen
            pending.notice_told = False
        if closed:
            pending.closed_at = now.utc
            pending.changed_at = now.mono
            if pending.before is not None:
                pending.before.written = True
        elif pending.closed_at is not None and pending.closed_at < now.utc:
            pending.closed_at = None
        pending.finding = None
        self._plan(path, pending, max(now.mono + _LOOK_AGAIN_SECONDS, pending.changed_at + self._rules.settle_seconds))

    def _plan(self, path: str, pending: Pending, due_at: float) -> None:
        pending.due_at = due_at
        heapq.heappush(self._heap, (due_at, path))

    def _wait(self, path: str, pending: Pending, until: float, now: Moment) -> None:
        told_at = pending.since + _GROWING_TOLD_AFTER
        if not pending.growing_told:
            if now.mono >= told_at:
                pending.growing_told = True
                self._changes.append(Growing(**self._told(path, pending, pending.generation)))
            else:
                until = min(until, told_at)
        self._plan(path, pending, max(until, now.mono + _LOOK_AGAIN_SECONDS))

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
        self._drop(path)
        parent, _, name = path.rpartition("/")
        seen, handed_on = pending.seen, state is FileState.WHOLE
        self._settled.setdefault(parent, {})[name] = Settled(
            seen.size, seen.mtime_ns, seen.inode, generation, state, handed_on, settled_at=now.mono
        )

    def _drop(self, path: str) -> Pending | None:
        pending = self._pending.pop(path, None)
        if pending is None:
            return None
        parent, _, name = path.rpartition("/")
        names = self._pending_in.get(parent, set())
        names.discard(name)
        if not names:
            self._pending_in.pop(parent, None)
        place = pending.place
        if place.movie is not None and (waiting := self._waiting_for_sidecar.get((place.session, place.movie))) is not None:
            waiting.discard(path)
            if not waiting:
                del self._waiting_for_sidecar[place.session, place.movie]
        return pending

    def _gone(self, path: str) -> None:
        self._changes.append(Gone(instrument=self._folder.name, path=PurePosixPath(path)))

    def _closed_at(self, pending: Pending, now: Moment) -> float | None:
        if pending.closed_at is not None:
            return pending.closed_at
        return max(pending.seen.mtime_ns, pending.seen.ctime_ns) / 1e9 if self._same_clock else None

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
