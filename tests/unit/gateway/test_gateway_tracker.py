"""All files of a folder as values: what is handed on, once, and what follows when files change, vanish and return."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import numpy as np

from passerelle.acquisition.program import Place
from passerelle.core.states import FileState
from passerelle.formats.reader import MovieHeader
from passerelle.gateway import (
    Arrival,
    Bad,
    Change,
    Expectations,
    ExpectedFrames,
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
from passerelle.gateway.settle import Broken, Finding, Incomplete, Whole, Writers
from passerelle.gateway.tracker import Tracker
from passerelle.testing.writers import ZooProgram

UTC = 1_000_000.0
FRAMES = MovieHeader("x", 10, 4, 4, np.dtype("u1"))
WHOLE = Whole(FRAMES)


def moment(t: float) -> Moment:
    return Moment(t, UTC + t)


def seen(t: float, size: int = 100, inode: int = 7) -> Seen:
    ns = int((UTC + t) * 1e9) + 1
    return Seen(size, ns, inode, ns)


class Driver:
    """Drives a tracker as the shell would, over a pretended disk."""

    def __init__(self, known: Iterable[KnownFile] = (), *, expect: Expectations | None = None, remote: bool = False) -> None:
        folder = InstrumentFolder("k", Path("/x"), ZooProgram(), expected_frames=expect or _nothing)
        self.tracker = Tracker(folder, SettleRules(), known, trust_inodes=not remote, same_clock=not remote)
        self.tracker.events_reliable_since = None if remote else 0.0
        self.disk: dict[str, Seen] = {}
        self.finding: dict[str, Finding] = {}
        self.writers: dict[str, Writers] = {}
        self.probes = 0
        self.default_writers = Writers.UNKNOWN if remote else Writers.NONE

    def write(self, path: str, t: float, size: int = 100, inode: int = 7, *, closed: bool = True) -> None:
        self.disk[path] = seen(t, size, inode)
        self.tracker.saw(path, self.disk[path], moment(t), closed=closed)

    def remove(self, path: str) -> None:
        del self.disk[path]
        self.tracker.lost(path)

    def run(self, until: float) -> list[Change]:
        """Let time pass up to `until`, looking into what is due; return the changes."""
        changes = self.tracker.drain()
        while (due_at := self.tracker.awaited.next_due()) is not None and due_at <= until:
            for path in self.tracker.awaited.due(due_at, 10):
                writers = self.writers.get(path, self.default_writers)
                finding = None
                pending = self.tracker.awaited.get(path)
                if pending is not None and pending.finding is None and writers is not Writers.SOME:
                    finding = self.finding.get(path, WHOLE)
                    self.probes += 1
                look = Look(self.disk.get(path), writers, finding)
                self.tracker.judged(path, look, moment(due_at))
            changes += self.tracker.drain()
        return changes


def _nothing(place: Place) -> ExpectedFrames | None:
    return None


def kinds(changes: list[Change]) -> list[str]:
    return [type(change).__name__ for change in changes]


def known(path: str, t: float, generation: int = 0, state: FileState = FileState.WHOLE, size: int = 100) -> KnownFile:
    facts = seen(t, size)
    return KnownFile(PurePosixPath(path), size, facts.mtime_ns, facts.inode, generation, state)


def test_a_file_is_handed_on_once_with_all_that_is_known_of_it() -> None:
    driver = Driver()
    driver.write("s/a.mrc", 10.0)
    changes = driver.run(until=100.0)
    assert kinds(changes) == ["Arrival"]
    arrival = changes[0]
    assert isinstance(arrival, Arrival)
    assert arrival.path == PurePosixPath("s/a.mrc")
    assert arrival.place.movie == "a"
    assert (arrival.generation, arrival.size, arrival.inode, arrival.header) == (0, 100, 7, FRAMES)
    assert arrival.closed_at == UTC + 10.0
    assert 0.29 < arrival.whole_at - arrival.closed_at < 0.5
    driver.tracker.listing("s", {"a.mrc": driver.disk["s/a.mrc"]}, moment(200.0))
    assert driver.run(until=1000.0) == []


def test_a_file_opened_again_is_taken_up_again_with_the_next_generation() -> None:
    driver = Driver()
    driver.write("s/a.mrc", 10.0)
    driver.run(until=20.0)
    for generation in (1, 2):
        driver.write("s/a.mrc", 10.0 + 20 * generation, size=200)
        changes = driver.run(until=25.0 + 20 * generation)
        assert kinds(changes) == ["Arrival"]
        assert isinstance(changes[0], Arrival)
        assert changes[0].generation == generation


def test_a_file_that_somebody_has_open_is_told_as_growing_once_and_waits() -> None:
    driver = Driver()
    driver.writers["s/a.mrc"] = Writers.SOME
    driver.write("s/a.mrc", 10.0, closed=False)
    assert kinds(driver.run(until=60.0)) == ["Growing"]
    assert driver.probes == 0
    driver.writers["s/a.mrc"] = Writers.NONE
    driver.write("s/a.mrc", 61.0)
    assert kinds(driver.run(until=62.0)) == ["Arrival"]


def test_a_change_between_two_looks_starts_the_quiet_time_anew() -> None:
    driver = Driver()
    driver.write("s/a.mrc", 10.0)
    driver.disk["s/a.mrc"] = seen(10.2, size=150)  # no event came
    assert driver.run(until=10.45) == []
    assert kinds(driver.run(until=11.0)) == ["Arrival"]


def test_what_the_record_knows_is_not_handed_on_again_after_a_restart() -> None:
    driver = Driver([known("s/a.mrc", 1.0), known("s/b.mrc", 1.0), known("s/c.mrc", 1.0, state=FileState.BAD)])
    listing = {"a.mrc": seen(1.0), "b.mrc": seen(1.0, size=300), "c.mrc": seen(1.0)}
    driver.disk = {f"s/{name}": facts for name, facts in listing.items()}
    driver.tracker.listing("s", listing, moment(100.0))
    changes = driver.run(until=200.0)
    assert [(type(c).__name__, str(c.path), c.generation) for c in changes if isinstance(c, Arrival)] == [
        ("Arrival", "s/b.mrc", 1)
    ]
    assert len(changes) == 1


def test_what_the_record_knows_as_growing_is_awaited_with_its_generation() -> None:
    driver = Driver([known("s/a.mrc", 1.0, generation=2, state=FileState.GROWING)])
    driver.disk["s/a.mrc"] = seen(1.0)
    driver.tracker.listing("s", {"a.mrc": seen(1.0)}, moment(100.0))
    changes = driver.run(until=200.0)
    assert kinds(changes) == ["Arrival"]
    assert isinstance(changes[0], Arrival)
    assert changes[0].generation == 2


def test_a_file_long_quiet_is_handed_on_at_once_after_a_restart() -> None:
    driver = Driver()
    driver.disk["s/a.mrc"] = seen(-5000.0)
    driver.finding["s/a.mrc"] = Whole(FRAMES, growable=True)
    driver.tracker.listing("s", dict.fromkeys(["a.mrc"], seen(-5000.0)), moment(0.0))
    assert kinds(driver.run(until=0.2)) == ["Arrival"]


def test_another_machines_clock_is_not_believed_for_recent_files() -> None:
    driver = Driver(remote=True)
    driver.disk["s/a.mrc"] = seen(-60.0)  # its server's clock may be a minute slow: it may be written right now
    driver.tracker.listing("s", dict.fromkeys(["a.mrc"], seen(-60.0)), moment(0.0))
    assert "Arrival" not in kinds(driver.run(until=3.9))
    assert "Arrival" in kinds(driver.run(until=5.0))


def test_a_removed_file_is_gone_and_one_never_told_leaves_no_trace() -> None:
    driver = Driver()
    driver.write("s/a.mrc", 10.0)
    driver.run(until=20.0)
    driver.remove("s/a.mrc")
    driver.write("s/b.mrc", 20.0)
    driver.remove("s/b.mrc")
    assert kinds(driver.run(until=100.0)) == ["Gone"]


def test_a_listing_tells_of_what_is_missing_in_it() -> None:
    driver = Driver([known("s/a.mrc", 1.0), known("s/b.mrc", 1.0), known("t/c.mrc", 1.0)])
    driver.tracker.listing("s", {"a.mrc": seen(1.0)}, moment(10.0))
    changes = driver.run(until=20.0)
    assert [(type(c).__name__, str(c.path)) for c in changes if isinstance(c, Gone)] == [("Gone", "s/b.mrc")]


def test_a_file_that_cannot_be_looked_at_is_not_gone() -> None:
    driver = Driver([known("s/a.mrc", 1.0)])
    driver.tracker.listing("s", {"a.mrc": None}, moment(10.0))
    assert driver.run(until=20.0) == []


def test_a_removed_folder_takes_its_files_with_it() -> None:
    driver = Driver([known("s/a.mrc", 1.0), known("s/d/b.mrc", 1.0), known("s2/c.mrc", 1.0)])
    driver.write("s/d/new.mrc", 5.0, closed=False)
    driver.tracker.lost_folder("s")
    changes = driver.run(until=20.0)
    assert sorted(str(c.path) for c in changes if isinstance(c, Gone)) == ["s/a.mrc", "s/d/b.mrc"]
    assert len(driver.tracker.awaited) == 0


def test_a_file_that_comes_back_as_it_was_is_not_processed_again() -> None:
    driver = Driver()
    driver.write("s/a.mrc", 10.0)
    driver.run(until=20.0)
    facts = driver.disk["s/a.mrc"]
    driver.remove("s/a.mrc")
    assert kinds(driver.run(until=30.0)) == ["Gone"]
    driver.disk["s/a.mrc"] = facts
    driver.tracker.saw("s/a.mrc", facts, moment(40.0), closed=True)
    changes = driver.run(until=60.0)
    assert kinds(changes) == ["Returned"]
    assert isinstance(changes[0], Returned)
    assert changes[0].generation == 0


def test_a_file_restored_from_a_copy_is_known_by_its_time_to_the_nanosecond() -> None:
    driver = Driver([known("s/a.mrc", 1.0, state=FileState.GONE)])
    back = Seen(100, seen(1.0).mtime_ns, 99, seen(50.0).ctime_ns)
    driver.disk["s/a.mrc"] = back
    driver.tracker.saw("s/a.mrc", back, moment(50.0), closed=True)
    assert kinds(driver.run(until=60.0)) == ["Returned"]


def test_a_file_that_comes_back_with_other_content_is_the_next_generation() -> None:
    driver = Driver([known("s/a.mrc", 1.0, state=FileState.GONE)])
    driver.write("s/a.mrc", 50.0, size=300, inode=8)
    changes = driver.run(until=60.0)
    assert kinds(changes) == ["Arrival"]
    assert isinstance(changes[0], Arrival)
    assert changes[0].generation == 1


def test_gone_is_told_once_although_the_file_came_and_went_again() -> None:
    driver = Driver([known("s/a.mrc", 1.0, state=FileState.GONE)])
    driver.write("s/a.mrc", 50.0, size=300)
    driver.remove("s/a.mrc")
    assert driver.run(until=60.0) == []


def test_another_time_without_a_write_is_a_touch_and_not_a_new_content() -> None:
    driver = Driver()
    driver.write("s/a.mrc", 10.0)
    driver.run(until=20.0)
    touched = Seen(100, 5_000_000_000, 7, seen(30.0).ctime_ns)
    driver.disk["s/a.mrc"] = touched
    driver.tracker.listing("s", {"a.mrc": touched}, moment(30.0))
    changes = driver.run(until=40.0)
    assert kinds(changes) == ["Touched"]
    assert isinstance(changes[0], Touched)
    assert (changes[0].mtime_ns, changes[0].generation) == (5_000_000_000, 0)
    driver.tracker.listing("s", {"a.mrc": touched}, moment(50.0))
    assert driver.run(until=60.0) == []


def test_another_time_is_a_new_content_where_a_write_may_have_been_missed() -> None:
    for happened in ("overflow", "written", "restart", "inode"):
        driver = Driver([known("s/a.mrc", 10.0)] if happened == "restart" else ())
        if happened != "restart":
            driver.write("s/a.mrc", 10.0)
            driver.run(until=20.0)
        if happened == "overflow":
            driver.tracker.events_reliable_since = 25.0
        facts = Seen(100, 5_000_000_001, 8 if happened == "inode" else 7, seen(30.0).ctime_ns)
        driver.disk["s/a.mrc"] = facts
        driver.tracker.saw("s/a.mrc", facts, moment(30.0), closed=happened == "written")
        changes = driver.run(until=40.0)
        assert kinds(changes) == ["Arrival"], happened
        assert isinstance(changes[0], Arrival)
        assert changes[0].generation == 1, happened


def test_a_close_that_comes_after_the_poll_saw_the_write_counts_as_a_write() -> None:
    driver = Driver()
    driver.write("s/a.mrc", 10.0)
    driver.run(until=20.0)
    driver.write("s/a.mrc", 30.0, closed=False)
    driver.tracker.saw("s/a.mrc", driver.disk["s/a.mrc"], moment(30.1), closed=True)
    assert kinds(driver.run(until=40.0)) == ["Arrival"]


def test_nothing_is_a_touch_while_a_close_may_wait_in_the_queue_of_events() -> None:
    driver = Driver()
    driver.write("s/a.mrc", 10.0)
    driver.run(until=20.0)
    driver.tracker.events_until = 29.0
    driver.write("s/a.mrc", 30.0, closed=False)
    assert driver.run(until=40.0) == []
    driver.tracker.saw("s/a.mrc", driver.disk["s/a.mrc"], moment(40.0), closed=True)
    driver.tracker.events_until = 41.0
    assert kinds(driver.run(until=50.0)) == ["Arrival"]


def test_a_bad_file_is_told_once_and_taken_up_when_it_changes() -> None:
    driver = Driver()
    driver.finding["s/a.mrc"] = Broken("It has the wrong magic.")
    driver.write("s/a.mrc", 10.0)
    changes = driver.run(until=500.0)
    assert kinds(changes) == ["Growing", "Bad"]
    assert isinstance(changes[1], Bad)
    assert changes[1].problem == "It has the wrong magic."
    driver.finding["s/a.mrc"] = WHOLE
    driver.write("s/a.mrc", 600.0, size=200)
    again = driver.run(until=700.0)
    assert kinds(again) == ["Arrival"]
    assert isinstance(again[0], Arrival)
    assert again[0].generation == 0


def test_a_problem_that_is_not_the_files_fault_is_told_once_and_tried_again() -> None:
    driver = Driver()
    driver.finding["s/a.mrc"] = Broken("It may not be opened.", passing=True)
    driver.write("s/a.mrc", 10.0)
    assert kinds(driver.run(until=300.0)) == ["Growing", "Bad"]
    driver.finding["s/a.mrc"] = WHOLE
    assert kinds(driver.run(until=340.0)) == ["Arrival"]


def test_an_unfinished_file_is_told_once_and_still_awaited() -> None:
    driver = Driver()
    driver.finding["s/a.mrc"] = Incomplete("It ends early.")
    driver.write("s/a.mrc", 10.0)
    changes = driver.run(until=2000.0)
    assert kinds(changes) == ["Growing", "Unfinished"]
    assert isinstance(changes[1], Unfinished)
    assert changes[1].reason == "It ends early."
    driver.finding["s/a.mrc"] = WHOLE
    driver.write("s/a.mrc", 2001.0, size=200)
    assert kinds(driver.run(until=2002.0)) == ["Arrival"]


def test_a_sidecar_that_comes_late_lets_its_movie_go_at_once() -> None:
    expect = Expectations()
    driver = Driver(expect=expect)
    driver.finding["s/a.tif"] = Whole(FRAMES, growable=True)
    driver.write("s/a.tif", 10.0)
    assert kinds(driver.run(until=13.0)) == ["Growing"]
    place = ZooProgram().place(PurePosixPath("s/a.xml"))
    assert place is not None
    expect.sidecar_says(place, 10)
    driver.tracker.awaited.sidecar_taken(place, 13.0)
    assert kinds(driver.run(until=13.2)) == ["Arrival"]


def test_a_closed_growable_file_that_once_paused_is_given_more_time() -> None:
    driver = Driver()
    driver.finding["s/a.tif"] = Whole(FRAMES, growable=True)
    driver.write("s/a.tif", 10.0)
    driver.run(until=16.0)
    driver.write("s/a.tif", 17.0, size=200)  # a gap of 7 s
    assert "Arrival" not in kinds(driver.run(until=17.0 + 27.0))
    assert "Arrival" in kinds(driver.run(until=17.0 + 29.0))


def test_files_of_no_meaning_are_passed_by_without_a_word() -> None:
    driver = Driver()
    for name in ("readme.txt", ".hidden.mrc", "a.mrc.tmp"):
        driver.write(f"s/{name}", 10.0)
    driver.tracker.listing("s", {"readme.txt": seen(10.0)}, moment(20.0))
    assert driver.run(until=100.0) == []
    driver.tracker.listing("s", {}, moment(30.0))
    assert driver.run(until=100.0) == []


def test_a_look_that_finds_nothing_is_as_good_as_an_event() -> None:
    driver = Driver()
    driver.write("s/a.mrc", 10.0)
    del driver.disk["s/a.mrc"]
    assert driver.run(until=100.0) == []
    assert len(driver.tracker.awaited) == 0


def test_what_could_not_be_looked_at_is_due_again() -> None:
    driver = Driver()
    driver.write("s/a.mrc", 10.0)
    due = driver.tracker.awaited.due(20.0, 10)
    assert due == ["s/a.mrc"]
    driver.tracker.awaited.postpone(due, 30.0)
    assert driver.tracker.awaited.due(29.0, 10) == []
    assert kinds(driver.run(until=31.0))[-1] == "Arrival"


def test_growing_changes_tell_the_generation_that_is_to_come() -> None:
    driver = Driver([known("s/a.mrc", 1.0)])
    driver.writers["s/a.mrc"] = Writers.SOME
    driver.write("s/a.mrc", 50.0, size=300, closed=False)
    changes = driver.run(until=60.0)
    assert kinds(changes) == ["Growing"]
    assert isinstance(changes[0], Growing)
    assert changes[0].generation == 1


def test_a_clock_set_forward_makes_no_file_look_quiet() -> None:
    driver = Driver()
    driver.finding["s/a.tif"] = Whole(FRAMES, growable=True)
    driver.disk["s/a.tif"] = seen(9.5)
    driver.tracker.saw("s/z.mrc", seen(9.0), moment(9.0))
    hour_on = Moment(10.0, UTC + 3610.0)
    driver.tracker.saw("s/a.tif", seen(9.5), hour_on)
    assert "s/a.tif" not in [str(c.path) for c in driver.run(until=19.0) if isinstance(c, Arrival)]
    assert "s/a.tif" in [str(c.path) for c in driver.run(until=21.0) if isinstance(c, Arrival)]
