"""Not all of a session goes home: accepted movies, or chosen squares, by a real transfer of what the service has judged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from passerelle.core.states import TransferState, Verdict
from passerelle.service.access import this_account
from passerelle.service.datasets import Datasets
from passerelle.service.movies import choose
from passerelle.service.selections import SelectionKind
from passerelle.service.settings_transfers import TransferSettings
from passerelle.service.settings_zones import ZoneSettings
from passerelle.service.transfer_runner import TransferRunner
from passerelle.service.transfers import Transfers
from passerelle.service.zones import Zones
from passerelle.testing.bench import Bench, sidecar
from passerelle.zones import Who, ZoneKind
from tests.send_place import ENDS, ME, OWNER, wait

NOTES = "s1/EpuSession.dm"


def exposure(square: int, hole: int) -> str:
    return f"s1/Images-Disc1/GridSquare_{square}/Data/FoilHole_{hole}_Data_12_13_20261122_1010{hole}"


@pytest.fixture
def bench(open_folder: Path) -> Iterator[Bench]:
    """A session with an accepted and a rejected movie of square 1, one of square 2 that nobody judged otherwise, and notes."""
    made = Bench(open_folder)
    for square, hole in ((1, 11), (1, 12), (2, 13)):
        stem = exposure(square, hole)
        made.take(made.whole(f"{stem}.xml", sidecar()), made.whole(f"{stem}_Fractions.mrc", content=b"movie %d" % hole))
    made.work()
    (made.folder / NOTES).write_bytes(b"notes")
    for movie, verdict in zip(
        sorted(made.movies(), key=lambda each: each.key), (Verdict.ACCEPT, Verdict.REJECT, Verdict.REJECT), strict=True
    ):
        choose(made.database, movie.id, verdict)
    yield made
    made.parts.close()


def send(bench: Bench, **what: Any) -> dict[str, bytes]:
    """Send the session home; return what lies there."""
    zones = ZoneSettings(folder=bench.folder.parent / "zones", server="zones")
    settings = bench.parts.settings.model_copy(update={"zones": zones, "transfers": TransferSettings(leave_free_percent=0)})
    datasets = Datasets(bench.database, bench.parts.instruments)
    home = Zones(bench.database, settings)
    transfers = Transfers(bench.database, settings, datasets, home)
    home.create(
        this_account(), "home", kind=ZoneKind.PLATFORM, owner=OWNER, root=None, writers=Who.of([ME]) if ME != OWNER else Who()
    )
    number = transfers.send(this_account(), datasets.named(this_account(), "krios/s1"), "home", **what).id
    runner = TransferRunner(bench.database, settings, bench.parts.instruments, datasets, ended=lambda connection, transfer: None)
    runner.start()
    try:
        wait(lambda: transfers.get(this_account(), number).state in ENDS)
    finally:
        runner.stop()
    done = transfers.get(this_account(), number)
    assert done.state is TransferState.DONE
    there = Path(done.linux)
    return {
        f"s1/{path.relative_to(there)}": path.read_bytes()
        for path in there.rglob("*")
        if path.is_file() and ".passerelle" not in path.parts
    }


def files(bench: Bench, *stems: str) -> dict[str, bytes]:
    names = [NOTES, *(f"{stem}{ending}" for stem in stems for ending in (".xml", "_Fractions.mrc"))]
    return {name: (bench.folder / name).read_bytes() for name in names}


def test_accepted_movies_go_with_their_sidecars_and_what_is_of_no_movie(bench: Bench) -> None:
    assert send(bench, kind=SelectionKind.ACCEPTED) == files(bench, exposure(1, 11))


def test_the_movies_of_chosen_squares_go_whatever_the_verdict(bench: Bench) -> None:
    assert send(bench, kind=SelectionKind.SQUARES, squares=["2"]) == files(bench, exposure(2, 13))


def test_all_goes_where_nothing_is_chosen(bench: Bench) -> None:
    assert send(bench) == files(bench, exposure(1, 11), exposure(1, 12), exposure(2, 13))
