"""From the gateway to a zone by a real transfer, and then out of the gateway: what goes is whole where it went."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from passerelle.core.states import TransferState
from passerelle.service.access import this_account
from passerelle.service.buffer import Buffer
from tests.send_place import Place, same

DAY = 86400.0


@pytest.fixture
def place(open_folder: Path) -> Iterator[Place]:
    made = Place(open_folder)
    yield made
    made.database.close()


def buffer(place: Place, *, days: float) -> Buffer:
    """The gateway's buffer as it is seen so many days from now."""
    state = Path(place.settings.state.folder)
    return Buffer(place.database, place.instruments, place.settings.buffer, state, clock=lambda: time.time() + days * DAY)


def sent(place: Place) -> Path:
    place.dataset(files=12)
    with place.running():
        done = place.ended(place.send().id)
    assert done.state is TransferState.DONE
    return place.target(done)


def test_what_a_transfer_brought_home_leaves_the_gateway_when_it_is_old_enough(place: Place, tmp_path: Path) -> None:
    target = sent(place)
    original = tmp_path / "original"
    shutil.copytree(place.gateway / "crystal", original)
    assert buffer(place, days=1).dry_run(this_account()).files == 0
    later = buffer(place, days=40)
    plan = later.dry_run(this_account())
    assert plan.files == 13
    assert later.purge(this_account(), plan.digest).files == 13
    assert not [path for path in place.gateway.rglob("*") if path.is_file()]
    same(original, target)


def test_what_was_changed_in_the_zone_stays_in_the_gateway(place: Place) -> None:
    target = sent(place)
    (target / "scan" / "0003.cbf").write_bytes(b"somebody's notes")
    later = buffer(place, days=40)
    plan = later.dry_run(this_account())
    later.purge(this_account(), plan.digest)
    assert [path.name for path in place.gateway.rglob("*") if path.is_file()] == ["0003.cbf"]


def test_what_came_after_the_transfer_stays_in_the_gateway(place: Place) -> None:
    sent(place)
    place.write("crystal/scan/9999.cbf")
    later = buffer(place, days=40)
    later.purge(this_account(), later.dry_run(this_account()).digest)
    assert [path.name for path in place.gateway.rglob("*") if path.is_file()] == ["9999.cbf"]
