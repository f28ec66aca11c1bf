"""A facility in a folder, with one instrument and one zone, whose datasets are sent: for tests of transfers."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from blake3 import blake3

from passerelle.core.states import TransferState
from passerelle.service.access import this_account
from passerelle.service.datasets import Datasets
from passerelle.service.instruments import instrument_of
from passerelle.service.settings import Settings, read_settings
from passerelle.service.transfer_runner import TransferRunner
from passerelle.service.transfer_view import TransferView
from passerelle.service.transfers import Transfers
from passerelle.service.zones import Zones
from passerelle.store import Database, connect
from passerelle.store.transfers import Transfer
from passerelle.zones import Who, ZoneKind

ROOT = os.getuid() == 0
ME = this_account().name
OWNER = "games" if ROOT else ME  # an account that every Debian has
ENDS = {TransferState.DONE, TransferState.INCOMPLETE, TransferState.FAILED, TransferState.CANCELLED}
CONFIG = """
[state]
folder = "state"
[zones]
folder = "zones"
server = "zones"
[transfers]
leave_free_percent = 0
[instruments.xrd]
folder = "gateway"
processing = false
"""


class Place:
    """A facility in a folder, with one instrument and one zone; `run` has its transfers run in this process."""

    def __init__(self, folder: Path, zone: Path | None = None, *, config: str = "", busy_seconds: float = 60.0) -> None:
        """busy_seconds: how long a locked database is waited for; long, as disks are slow while other tests run."""
        self.folder = folder
        self.gateway = folder / "gateway"
        self.gateway.mkdir()
        (folder / "passerelle.toml").write_text(CONFIG + config)
        self.settings: Settings = read_settings(folder / "passerelle.toml")
        self.database: Database = connect(self.settings.database_url, busy_seconds=busy_seconds)
        instruments = {name: instrument_of(name, each) for name, each in self.settings.instruments.items()}
        zones = self.zones = Zones(self.database, self.settings)
        self.datasets = Datasets(self.database, instruments)
        self.transfers = Transfers(self.database, self.settings, self.datasets, zones)
        writers = Who.of([ME]) if ME != OWNER else Who()
        zones.create(this_account(), "home", kind=ZoneKind.PLATFORM, owner=OWNER, root=zone, writers=writers)
        self.root = Path(zones.get(this_account(), "home").linux)
        self.told: list[Transfer] = []
        self.instruments = instruments

    @contextlib.contextmanager
    def running(self) -> Iterator[TransferRunner]:
        runner = TransferRunner(
            self.database,
            self.settings,
            self.instruments,
            self.datasets,
            ended=lambda connection, transfer: self.told.append(transfer),
        )
        runner.start()
        try:
            yield runner
        finally:
            runner.stop()

    def write(self, name: str, size: int = 3000) -> Path:
        path = self.gateway / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(size))
        return path

    def dataset(self, name: str = "crystal", files: int = 40, size: int = 3000) -> None:
        for number in range(files):
            self.write(f"{name}/scan/{number:04}.cbf", size + number)
        self.write(f"{name}/log.txt", 10)

    def send(self, name: str = "crystal", **options: Any) -> TransferView:
        return self.transfers.send(this_account(), self.datasets.named(this_account(), f"xrd/{name}"), "home", **options)

    def get(self, number: int) -> TransferView:
        return self.transfers.get(this_account(), number)

    def until(self, number: int, reached: Callable[[TransferView], bool], seconds: float = 240.0) -> TransferView:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            view = self.get(number)
            if reached(view):
                return view
            time.sleep(0.05)
        raise AssertionError(f"after {seconds} s: {self.get(number)}")

    def under_way(self, number: int) -> None:
        """Wait until its first files have their final names."""
        target = self.target(self.get(number))
        wait(lambda: any(target.rglob("*.cbf")), pause=0.01)
        assert self.get(number).state is TransferState.RUNNING

    def at_rest(self, number: int) -> TransferView:
        """Wait until nothing more is written down of a transfer whose process has ended."""
        seen = self.get(number)
        for _ in range(30):
            time.sleep(2.0)  # the runner looks every half second
            before, seen = seen, self.get(number)
            if seen == before:
                return seen
        raise AssertionError(f"it goes on: {seen}")

    def ended(self, number: int, seconds: float = 240.0) -> TransferView:
        return self.until(number, lambda view: view.state in ENDS, seconds)

    def target(self, view: TransferView) -> Path:
        return Path(view.linux)


def same(source: Path, target: Path) -> None:
    """Hold two folders against each other with cmp, and the manifest against digests of our own."""
    names = {str(path.relative_to(source)) for path in source.rglob("*") if path.is_file()}
    there = {str(path.relative_to(target)) for path in target.rglob("*") if path.is_file() and ".passerelle" not in path.parts}
    assert there == names
    for name in names:
        assert subprocess.run(["cmp", "--silent", source / name, target / name]).returncode == 0, name
    rows = [json.loads(line) for line in (target / ".passerelle" / "manifest.jsonl").read_bytes().splitlines()[1:-1]]
    assert {row["path"]: row["blake3"] for row in rows} == {
        name: blake3((source / name).read_bytes()).hexdigest() for name in names
    }


def give(folder: Path) -> None:
    account = pwd.getpwnam(OWNER)
    for path in (folder, *folder.rglob("*")):
        os.chown(path, account.pw_uid, -1)


def wait(reached: Callable[[], object], seconds: float = 180.0, pause: float = 0.05) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(pause)
