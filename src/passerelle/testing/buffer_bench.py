"""A gateway with real files, real verified copies in zones and their transfers on record, for tests of the buffer.

`python -m passerelle.testing.buffer_bench ROOT` purges what may go there, as a person after a dry run would; to be killed.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from passerelle.core.states import SessionState, TransferState
from passerelle.service.access import this_account
from passerelle.service.buffer import Buffer
from passerelle.service.instruments import instrument_of
from passerelle.service.settings import InstrumentSettings
from passerelle.service.settings_care import BufferSettings
from passerelle.store import Alert, Database, alerts, connect, purges, sessions, transfers, zones
from passerelle.store.purges import Purged
from passerelle.transfer import copy_dataset

DAY = 86400.0
SESSION = "s1"


class BufferBench:
    """One instrument, krios, with one session that was closed 30 days ago."""

    def __init__(self, root: Path, *, elsewhere: Any = None, clock: Callable[[], float] = time.time, **rule: Any) -> None:
        self.root, self.folder = root, root / "gateway"
        self.session = self.folder / SESSION
        (root / "state").mkdir(parents=True, exist_ok=True)
        self.folder.mkdir(exist_ok=True)
        self.database: Database = connect(f"sqlite:///{root / 'state' / 'passerelle.sqlite'}")
        self.settings = BufferSettings(**rule)
        instruments = {"krios": instrument_of("krios", InstrumentSettings(folder=self.folder))}
        self.buffer = Buffer(self.database, instruments, self.settings, root / "state", elsewhere=elsewhere, clock=clock)

    def fill(self, files: dict[str, bytes], *, days: float = 30.0, closed: bool = True) -> int:
        """Write files into the session, all of an age, and put the session on record; return its id."""
        at = time.time() - days * DAY
        for name, content in files.items():
            path = self.session / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            os.utime(path, (at, at))
        with self.database.write() as connection:
            made = sessions.create(
                connection, instrument="krios", root=SESSION, name=SESSION, program="epu", recipe={}, thresholds={}, at=at
            )
            sessions.touch(connection, made.id, last_file_at=at)
            if closed:
                sessions.change_state(connection, made.id, SessionState.CLOSED, at=at)
        return made.id

    def send(self, zone: str, *, source: str = SESSION, selection: str = "whole") -> Path:
        """Copy a folder of the gateway into a zone, verified, and put the transfer on record; return the copy's folder."""
        place = self.root / "zones" / zone
        place.mkdir(parents=True, exist_ok=True)
        target = place / (source or "all")
        done = copy_dataset(self.folder / source, target, leg=f"gateway to {zone}", processes=1)
        assert done.whole, done.problems
        now = time.time()
        with self.database.write() as connection:
            row = zones.find(connection, zone) or zones.create(
                connection,
                name=zone,
                kind="personal",
                root=str(place),
                owner="anna",
                readers={"people": [], "groups": []},
                writers={"people": [], "groups": []},
                at=now,
            )
            made = transfers.create(
                connection,
                person="anna",
                groups=[],
                through="page",
                instrument="krios",
                source=source,
                session_id=None,
                name=source,
                selection=selection,
                zone_id=row.id,
                folder=target.name,
                at=now,
            )
            transfers.change_state(connection, made.id, TransferState.RUNNING, at=now)
            transfers.change_state(connection, made.id, TransferState.DONE, at=now, manifest_digest=done.manifest_digest)
        return target

    def purge(self) -> Any:
        """Purge all that may go, after a dry run."""
        actor = this_account()
        return self.buffer.purge(actor, self.buffer.dry_run(actor).digest)

    def left(self) -> dict[str, bytes]:
        """Return the files that lie in the gateway, whatever their names."""
        return {
            str(path.relative_to(self.session)): path.read_bytes()
            for path in sorted(self.session.rglob("*"))
            if path.is_file() and not path.is_symlink()
        }

    def rows(self) -> list[Purged]:
        """Return the record of what was deleted, oldest first."""
        with self.database.read() as connection:
            return purges.latest(connection, limit=100_000)[::-1]

    def alerts(self) -> list[Alert]:
        """Return what stands."""
        with self.database.read() as connection:
            return alerts.standing(connection)


def main() -> None:
    """Purge; say so before the first file goes."""
    bench = BufferBench(Path(sys.argv[1]))
    actor = this_account()
    digest = bench.buffer.dry_run(actor).digest
    (bench.root / "ready").touch()
    bench.buffer.purge(actor, digest)


if __name__ == "__main__":
    main()
