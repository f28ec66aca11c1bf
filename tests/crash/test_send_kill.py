"""kill -9 of `passerelle serve` at random moments, while it starts and while it carries several transfers: nothing is lost.

Each service is the real one, of this account (root: with a process a transfer that is the zone owner's). It is killed alone, with
all its processes, or after one of them. `PASSERELLE_SOAK_SERVICE_KILLS`: so many times.
"""

from __future__ import annotations

import contextlib
import glob
import http.client
import json
import os
import random
import shutil
import time
from pathlib import Path

import psutil
import pytest
from blake3 import blake3

from passerelle.core.states import SessionState, TransferState
from passerelle.service.transfer_view import TransferView
from passerelle.store import connect, sessions
from passerelle.testing.kill_service import service
from passerelle.testing.ports import kept_port
from passerelle.transfer.beneath import Root
from passerelle.transfer.ledger import read_manifest
from passerelle.transfer.manifest import Row
from passerelle.transfer.plan import LARGE_BYTES
from tests.send_place import CONFIG, Place, wait

KILLS = int(os.environ.get("PASSERELLE_SOAK_SERVICE_KILLS", "6"))
SEED = int(os.environ.get("PASSERELLE_FUZZ_SEED", "5"))
_PORT = '\n[web]\nport = {port}\n[work]\nexecutor = "inline"\n'
_GOING_ON = {TransferState.QUEUED, TransferState.RUNNING, TransferState.DONE}


@pytest.fixture
def folder(open_folder: Path) -> Path:
    return open_folder


def answers(port: int) -> bool:
    with (
        contextlib.suppress(OSError, http.client.HTTPException),
        contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as asked,
    ):
        asked.request("GET", "/alive", headers={"host": "localhost"})
        return asked.getresponse().status == 200
    return False


def holders(folder: Path) -> list[str]:
    """Return what processes other than this one hold beneath a folder."""
    held: list[str] = []
    for place in glob.glob("/proc/[0-9]*/fd/*"):
        if place.split("/")[2] != str(os.getpid()):
            with contextlib.suppress(OSError):
                held.append(os.readlink(place))
    return [name for name in held if name.startswith(f"{folder}/") and not name.endswith("/log")]


class Storm:
    """A facility, its transfers, and what was verified of each before the latest kill."""

    def __init__(self, folder: Path, dice: random.Random) -> None:
        self.keeper, self.port = kept_port()
        self.dice = dice
        self.place = Place(folder, config=_PORT.format(port=self.port))
        self.verified: dict[int, dict[str, tuple[Row, int]]] = {}
        self.compared: dict[Path, tuple[int, int, int]] = {}
        self.started = self.answered = 0

    def strike(self) -> None:
        """Start the service, and kill it after a moment; wait until nothing of it is left."""
        place = self.place
        made = service("serve", "--config", str(place.folder / "passerelle.toml"), log=str(place.folder / "log"))
        self.started += 1
        if self.dice.random() < 0.3:  # while it starts
            time.sleep(self.dice.uniform(0.0, 1.0))
        else:
            wait(lambda: answers(self.port) or made.exitcode is not None)
            time.sleep(self.dice.uniform(0.0, 2.5))
            self.answered += 1
        assert made.exitcode is None, (place.folder / "log").read_text()[-2000:]
        assert made.pid is not None
        children = psutil.Process(made.pid).children(recursive=True)
        how = self.dice.choice(["alone", "alone", "with all", "after one"])
        if how == "after one" and children:
            self.kill([self.dice.choice(children)])
            time.sleep(self.dice.uniform(0.0, 0.3))
        made.kill()
        if how == "with all":
            self.kill(children)
        made.join()
        wait(lambda: not holders(place.folder), pause=0.02)

    @staticmethod
    def kill(processes: list[psutil.Process]) -> None:
        for each in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()

    def look(self, number: int, source: Path) -> TransferView:
        """Hold a transfer to what may be between two kills."""
        view = self.place.get(number)
        assert view.state in _GOING_ON and not view.problem_count, view
        target = self.place.target(view)
        if not target.exists():
            assert number not in self.verified and view.state is not TransferState.DONE
            return view
        there = {str(path.relative_to(target)): path for path in target.rglob("*") if path.is_file()}
        final = {name: path for name, path in there.items() if not path.name.startswith(".p-") and ".passerelle" not in name}
        for name, path in final.items():
            status = path.stat()
            identity = status.st_ino, status.st_mtime_ns, status.st_size
            if self.compared.get(path) != identity:
                assert path.read_bytes() == (source / name).read_bytes(), f"{name} is not whole under its final name"
                self.compared[path] = identity
        with Root(target) as root:
            rows = read_manifest(root).rows
        assert rows.keys() <= final.keys(), "verified and not there"
        now = {name: (row, final[name].stat().st_ino) for name, row in rows.items()}
        before = self.verified.get(number, {})
        assert {name: now.get(name) for name in before} == before, "what was verified was copied again, or forgotten"
        self.verified[number] = now
        assert view.files <= len(rows), "the table says more than the disk"
        if view.state is TransferState.DONE:
            lines = (target / ".passerelle" / "manifest.jsonl").read_bytes().splitlines(keepends=True)
            assert view.manifest_digest == json.loads(lines[-1])["blake3"] == blake3(b"".join(lines[:-1])).hexdigest()
            assert final.keys() == {str(path.relative_to(source)) for path in source.rglob("*") if path.is_file()}
            assert final.keys() == rows.keys() and view.files == len(rows)
            assert there.keys() - final.keys() == {".passerelle/manifest.jsonl", ".passerelle/lock"}
        return view


@pytest.mark.timeout(900 + 15 * KILLS)
def test_a_service_that_is_killed_at_any_moment_goes_on_and_loses_nothing(folder: Path) -> None:
    dice = random.Random(SEED)
    storm = Storm(folder, dice)
    place = storm.place
    place.dataset("crystal", files=700, size=20_000)
    place.dataset("frames", files=20, size=300_000)
    place.write("frames/large.h5", LARGE_BYTES + 5_000_000)
    place.write("visit/s1/0.cbf")
    with place.database.write() as connection:
        session = sessions.create(
            connection, instrument="xrd", root="visit/s1", name="s1", program="generic", recipe={}, thresholds={}, at=1.0
        )
    followed = place.send("visit/s1", follow=True).id
    sent = {name: place.send(name, folder=f"{name} 0").id for name in ("crystal", "frames")}
    every = {number: place.gateway / name for name, number in sent.items()} | {followed: place.gateway / "visit" / "s1"}
    done = 0
    for kill in range(KILLS):
        place.write(f"visit/s1/{kill + 1}.cbf", 3000 + kill)
        storm.strike()
        storm.look(followed, every[followed])
        for name, number in list(sent.items()):
            if storm.look(number, every[number]).state is TransferState.DONE:
                done += 1
                shutil.rmtree(place.target(place.get(number)))
                del every[number], storm.verified[number]
                sent[name] = place.send(name, folder=f"{name} {kill + 1}").id
                every[sent[name]] = place.gateway / name
    with place.database.write() as connection:
        sessions.change_state(connection, session.id, SessionState.CLOSED, at=2.0)
    last = service("serve", "--config", str(folder / "passerelle.toml"), log=str(folder / "log"))
    try:
        wait(lambda: all(place.get(number).state is TransferState.DONE for number in every), seconds=400)
    finally:
        last.terminate()
        last.join()
    assert last.exitcode == 0
    wait(lambda: not holders(folder))
    views = [storm.look(number, source) for number, source in every.items()]
    attempts = sum(view.attempts for view in views)
    place.database.close()
    storm.keeper.close()
    print(f"\n{KILLS} kills, {storm.answered} of them of a service that answered; {done + len(views)} transfers whole")
    assert attempts > len(views), "no transfer was killed"


def test_a_first_start_that_is_killed_stands_in_no_ones_way(folder: Path) -> None:
    """While it makes its folders, its lock and its schema: the next start finds a state that it can use, or none."""
    dice, answered = random.Random(6), 0
    for number in range(-(-KILLS // 4)):
        (keeper, port), facility = kept_port(), folder / f"{number}"
        (facility / "gateway").mkdir(parents=True)
        config = facility / "passerelle.toml"
        config.write_text(CONFIG + _PORT.format(port=port))
        for longest in (0.15, 0.6, 0.6):
            begun = service("serve", "--config", str(config), log=str(facility / "log"))
            time.sleep(dice.uniform(0.0, longest))
            begun.kill()
            begun.join()
        begun = service("serve", "--config", str(config), log=str(facility / "log"))
        wait(lambda port=port, begun=begun: answers(port) or begun.exitcode is not None)
        assert begun.exitcode is None, (facility / "log").read_text()[-2000:]
        answered += 1
        begun.terminate()
        begun.join()
        assert begun.exitcode == 0
        database = connect(f"sqlite:///{facility / 'state' / 'passerelle.sqlite'}")
        assert database.durability().safe
        database.close()
        keeper.close()
        wait(lambda facility=facility: not holders(facility))
    assert answered
