"""Random schedules of writes, removals, lost events and restarts: the record ends up true, and each content is handed on once."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import pytest

from passerelle.core.states import FileState
from passerelle.gateway import (
    Arrival,
    Bad,
    Change,
    Gone,
    Growing,
    InstrumentFolder,
    KnownFile,
    Returned,
    SettleRules,
    Touched,
    Unfinished,
)
from passerelle.gateway.records import Look, Moment, Seen
from passerelle.gateway.settle import Incomplete, Whole, Writers
from passerelle.gateway.tracker import Tracker
from passerelle.testing.writers import ZooProgram

UTC = 1e6
NAMES = ("a.mrc", "b.mrc", "c.tif")
STATES: dict[type, FileState] = {
    Arrival: FileState.WHOLE,
    Touched: FileState.WHOLE,
    Returned: FileState.WHOLE,
    Growing: FileState.GROWING,
    Unfinished: FileState.UNFINISHED,
    Bad: FileState.BAD,
}


@dataclass
class File:
    seen: Seen
    content: int
    whole: bool
    open: bool = False


@dataclass
class World:
    """A pretended disk with one folder, the tracker, and the caller's record, which survives a restart."""

    rng: random.Random
    now: float = 10.0
    disk: dict[str, File] = field(default_factory=dict)
    away: dict[str, File] = field(default_factory=dict)
    record: dict[str, KnownFile] = field(default_factory=dict)
    handed: list[tuple[str, int, int, bool]] = field(default_factory=list)  # name, generation, content, whole
    contents: int = 0
    blind: bool = False  # after a restart or an overflow, nobody knows that a new time was but a touch
    touched: bool = False
    ever: dict[tuple[int, int, int], File] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.start()

    def moment(self) -> Moment:
        return Moment(self.now, UTC + self.now)

    def start(self) -> None:
        folder = InstrumentFolder("k", Path("/x"), ZooProgram())
        self.tracker = Tracker(folder, SettleRules(), list(self.record.values()))
        self.tracker.events_reliable_since = self.now

    def restart(self) -> None:
        self.tracker.drain()  # what was not recorded is lost
        self.blind = True
        self.start()
        self.poll()

    def stamp(self, size: int, inode: int) -> Seen:
        ns = int((UTC + self.now) * 1e9) + self.rng.randrange(1, 1000)
        return Seen(size, ns, inode, ns)

    def write(self, name: str) -> None:
        old = self.disk.get(name)
        self.contents += 1
        inode = old.seen.inode if old and self.rng.random() < 0.7 else self.rng.randrange(10**6)
        whole, still_open = self.rng.random() < 0.7, self.rng.random() < 0.2
        self.disk[name] = File(self.stamp(self.rng.randrange(1, 3), inode), self.contents, whole, still_open)
        if self.rng.random() < 0.8 or not still_open:
            self.event(name, closed=not still_open)

    def close(self, name: str) -> None:
        if name in self.disk and self.disk[name].open:
            self.disk[name].open = False
            self.event(name, closed=True)

    def touch(self, name: str) -> None:
        if name in self.disk and not self.disk[name].open:
            old = self.disk[name].seen
            self.touched = True
            fresh = self.stamp(old.size, old.inode)
            self.disk[name].seen = Seen(old.size, self.rng.randrange(10**15), old.inode, fresh.ctime_ns)

    def remove(self, name: str) -> None:
        if name in self.disk:
            self.away[name] = self.disk.pop(name)
            self.blind |= self.touched  # it may come back with a time that nobody has seen
            self.event(name, closed=False)

    def put_back(self, name: str) -> None:
        if name in self.away and name not in self.disk:
            self.disk[name] = self.away.pop(name)
            self.disk[name].open = False
            self.event(name, closed=True)

    def overflow(self) -> None:
        for name in NAMES:  # events of these were lost
            if name in self.disk and self.rng.random() < 0.5:
                self.contents += 1
                self.disk[name] = File(self.stamp(self.rng.randrange(1, 3), self.disk[name].seen.inode), self.contents, True)
        self.tracker.events_reliable_since = self.now
        self.blind = True
        self.poll()

    def event(self, name: str, *, closed: bool) -> None:
        if name in self.disk:
            self.tracker.saw(f"s/{name}", self.disk[name].seen, self.moment(), closed=closed)
        else:
            self.tracker.lost(f"s/{name}")

    def note(self) -> None:
        """Keep what each size, time and inode stood for."""
        for file in self.disk.values():
            self.ever[file.seen.size, file.seen.mtime_ns, file.seen.inode] = replace(file)

    def poll(self) -> None:
        self.tracker.listing("s", {name: file.seen for name, file in self.disk.items()}, self.moment())

    def look(self) -> None:
        for path in self.tracker.awaited.due(self.now, self.rng.randrange(1, 5)):
            file = self.disk.get(path.removeprefix("s/"))
            if file is None:
                self.tracker.judged(path, Look(None), self.moment())
            elif file.open:
                self.tracker.judged(path, Look(file.seen, Writers.SOME), self.moment())
            else:
                finding = None
                pending = self.tracker.awaited.get(path)
                if pending is not None and pending.finding is None:
                    finding = Whole(growable=path.endswith("tif")) if file.whole else Incomplete("short")
                self.tracker.judged(path, Look(file.seen, Writers.NONE, finding), self.moment())

    def commit(self) -> None:
        for change in self.tracker.drain():
            self.take(change)

    def take(self, change: Change) -> None:
        if isinstance(change, Gone):
            known = self.record[change.path.name]
            assert known.state is not FileState.GONE, "told twice that it is gone"
            self.record[change.path.name] = KnownFile(
                known.path, known.size, known.mtime_ns, known.inode, known.generation, FileState.GONE, known.handed_on
            )
            return
        assert isinstance(change, Arrival | Touched | Returned | Growing | Unfinished | Bad)
        name, state = change.path.name, STATES[type(change)]
        before = self.record.get(name)
        if isinstance(change, Arrival):
            file = self.ever[change.size, change.mtime_ns, change.inode]
            self.handed.append((name, change.generation, file.content, file.whole))
            assert before is None or not before.handed_on or change.generation == before.generation + 1
        elif isinstance(change, Touched | Returned):
            assert before is not None
            assert change.generation == before.generation
        self.record[name] = KnownFile(
            PurePosixPath(change.path),
            change.size,
            change.mtime_ns,
            change.inode,
            change.generation,
            state,
            state is FileState.WHOLE,
        )


@pytest.mark.parametrize("seed", range(150))
def test_the_record_ends_up_true_and_each_content_is_handed_on_once(seed: int) -> None:
    rng = random.Random(seed)
    world = World(rng)
    acts = [world.write, world.write, world.close, world.touch, world.remove, world.put_back]
    for _ in range(60):
        roll = rng.random()
        if roll < 0.55:
            rng.choice(acts)(rng.choice(NAMES))
        elif roll < 0.62:
            world.poll()
        elif roll < 0.66:
            world.restart()
        elif roll < 0.70:
            world.overflow()
        world.note()
        world.now += rng.choice([0.01, 0.2, 0.5, 2.0, 12.0, 40.0])
        for _ in range(3):
            world.look()
        if rng.random() < 0.9:
            world.commit()
    for name in NAMES:
        world.close(name)
    world.commit()
    for _ in range(300):  # quiet: everything has time to settle
        world.now += 3.0
        world.poll()
        world.look()
        world.commit()

    for name, generation, _, whole in world.handed:
        assert whole, (name, generation)
    for name, file in world.disk.items():
        known = world.record[name]
        assert known.state is (FileState.WHOLE if file.whole else FileState.UNFINISHED), (name, known)
        assert (known.size, known.mtime_ns) == (file.seen.size, file.seen.mtime_ns)
        if file.whole:
            latest = [content for each, _, content, _ in world.handed if each == name]
            assert latest[-1] == file.content
    for name, known in world.record.items():
        assert name in world.disk or known.state is FileState.GONE
    for name in NAMES:
        own = [(generation, content) for each, generation, content, _ in world.handed if each == name]
        assert own == sorted(own)
        if not world.blind:
            assert len({content for _, content in own}) == len(own), own
