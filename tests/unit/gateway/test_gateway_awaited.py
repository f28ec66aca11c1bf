"""The files that are awaited: found in the order in which to look into them, whatever was planned before."""

from __future__ import annotations

from pathlib import PurePosixPath

from passerelle.gateway.awaited import Awaited
from passerelle.gateway.records import Pending, Seen
from passerelle.testing.writers import ZooProgram


def awaiting(**due_at: float) -> Awaited:
    """Movies of these names in the folder `s`."""
    awaited = Awaited()
    for name, at in due_at.items():
        place = ZooProgram().place(PurePosixPath(f"s/{name}.mrc"))
        assert place is not None
        awaited.add(f"s/{name}.mrc", Pending(place, Seen(1, 1, 1, 1), 0, 0.0, 0.0, 0.0, due_at=at))
    return awaited


def test_files_are_due_in_order_and_no_more_than_asked_for() -> None:
    awaited = awaiting(a=3.0, b=1.0, c=2.0)
    assert awaited.next_due() == 1.0
    assert awaited.due(2.5, 1) == ["s/b.mrc"]
    assert awaited.due(2.5, 10) == ["s/c.mrc"]
    assert awaited.due(2.5, 10) == []


def test_of_two_plans_for_a_file_the_later_made_counts() -> None:
    awaited = awaiting(a=1.0, b=8.0)
    awaited.plan("s/a.mrc", 5.0)
    awaited.plan("s/b.mrc", 2.0)
    assert awaited.due(4.0, 10) == ["s/b.mrc"]
    assert awaited.due(9.0, 10) == ["s/a.mrc"]


def test_a_file_that_was_dropped_is_not_due_and_not_found_by_its_folder() -> None:
    awaited = awaiting(a=1.0)
    assert awaited.drop("s/a.mrc") is not None
    assert awaited.drop("s/a.mrc") is None
    awaited.postpone(["s/a.mrc"], 1.0)
    assert awaited.due(9.0, 10) == []
    assert (len(awaited), set(awaited.folders()), set(awaited.names_in("s"))) == (0, set(), set())


def test_a_sidecar_makes_its_own_movie_due_and_no_other() -> None:
    awaited = awaiting(a=50.0, b=50.0)
    sidecar = ZooProgram().place(PurePosixPath("s/a.xml"))
    assert sidecar is not None
    awaited.sidecar_taken(sidecar, 10.0)
    assert awaited.due(10.0, 10) == ["s/a.mrc"]


def test_files_given_up_for_now_are_awaited_but_not_counted_in_their_folder() -> None:
    awaited = awaiting(a=1.0, b=1.0)
    pending = awaited.get("s/a.mrc")
    assert pending is not None
    pending.notice_told = True
    assert (len(awaited), awaited.count_in("s"), awaited.count_in("")) == (2, 1, 0)
