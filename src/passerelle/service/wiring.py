"""Configuration to objects: the one place where the parts of the service are put together."""

from __future__ import annotations

import fcntl
import os
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from passerelle.compute import InlineExecutor, PoolExecutor
from passerelle.compute.code_place import settle_code_place
from passerelle.compute.rehearse import Rehearsal
from passerelle.core.errors import Busy, StorageError, storage_errors
from passerelle.gateway import SettleRules, Watch
from passerelle.pipeline import Executor, Policy, Runner
from passerelle.service import tasks
from passerelle.service.alerts import Guard
from passerelle.service.arrivals import Arrivals
from passerelle.service.dispatcher import Dispatcher
from passerelle.service.instruments import Instrument, instrument_of
from passerelle.service.ledger import MovieLedger
from passerelle.service.places import Places
from passerelle.service.programs import Programs
from passerelle.service.reach import Reach
from passerelle.service.recompressor import Recompressor
from passerelle.service.samba_writers import samba_writers
from passerelle.service.sealer import sealer_of
from passerelle.service.settings import Settings, WorkSettings
from passerelle.service.status import StatusReader
from passerelle.store import Database, connect


@dataclass(frozen=True, slots=True)
class Parts:
    """What reading and the verbs need; no thread runs yet, nothing is watched."""

    settings: Settings
    database: Database
    instruments: dict[str, Instrument]
    places: Places
    status: StatusReader
    programs: Programs

    def close(self) -> None:
        """Give the database back."""
        self.database.close()


def assemble(settings: Settings) -> Parts:
    """Open the state of a facility: database, schema, folders.

    Raises:
        BadConfiguration, Busy, StorageError: as `store.connect`; a folder that cannot be made.
    """
    places = Places(settings.state.folder, settings.results)
    for folder in (places.state, places.results, places.outcomes, places.logs):
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
    instruments = {name: instrument_of(name, each) for name, each in settings.instruments.items()}
    database = connect(settings.database_url)
    return Parts(
        settings, database, instruments, places, StatusReader(database, instruments, places), Programs(settings.programs)
    )


def dispatcher(
    parts: Parts,
    *,
    watching: bool = True,
    rules: SettleRules | None = None,
    executor: Executor | None = None,
    guarded: bool = True,
) -> Dispatcher:
    """Make the loop that turns arrivals into results. The caller starts and stops it.

    Raises:
        BadConfiguration: an external program or a device that the configuration names is not here.
        StorageError: temporary files can be written nowhere.
    """
    settings = parts.settings
    _check_temporary_folder()
    settle_code_place(parts.places.kernels)  # before anything loads numerics
    parts.programs.uses(settings.processing)
    work = settings.work
    for device in work.devices:
        from passerelle.imaging.devices import kernels_for  # here: commands that only look need no numerics

        kernels_for(device)  # what is missing is said now, not of each movie
    reach = Reach()
    arrivals = Arrivals(
        parts.database, parts.instruments, recipe=settings.processing, thresholds=settings.thresholds, reach=reach
    )
    ledger = MovieLedger(
        parts.database,
        parts.instruments,
        parts.places,
        failed_limit=settings.alerts.failed_movies,
        threads=work.threads_per_worker,
        devices=work.devices,
        reach=reach,
        programs=parts.programs,
    )
    rehearsal = Rehearsal(tasks.REGISTRY) if executor is None else None
    executor = executor or executor_of(work, settings.workers(), parts.places)
    policy = Policy(max_attempts=work.max_attempts, retry_seconds=work.retry_seconds, lease_seconds=work.longest_seconds)
    runner = Runner(ledger, executor, parts.places.outcomes, policy=policy, order=work.order)
    watch = None
    if watching:
        asked = samba_writers(settings)
        folders = [
            replace(each.to_watch(), open_elsewhere=asked[name]) if name in asked else each.to_watch()
            for name, each in parts.instruments.items()
        ]
        watch = Watch(folders, arrivals.known, arrivals, rules=rules)
    guard = None
    if guarded:
        # the disks of gateway folders are the caretaker's, who sees them fill (service/caretaker.py)
        guard = Guard(parts.database, settings.alerts, parts.places.results, {}, parts.places.backup, parts.instruments)
    recompressor = Recompressor(parts.database, parts.instruments) if watching else None
    return Dispatcher(
        parts.database,
        arrivals,
        runner,
        executor,
        watch=watch,
        guard=guard,
        rehearsal=rehearsal,
        recompressor=recompressor,
        sealer=sealer_of(settings, parts.database) if watching else None,
    )


def _check_temporary_folder() -> None:
    try:
        tempfile.gettempdir()
    except FileNotFoundError as error:
        raise StorageError(
            "There is no folder for temporary files: neither TMPDIR nor /tmp or /var/tmp can be written to.",
            advice="Let TMPDIR name one; in a unit of systemd, say PrivateTmp=yes.",
        ) from error


def executor_of(work: WorkSettings, workers: int, places: Places) -> Executor:
    """Return the executor that the configuration names."""
    if work.executor == "inline":
        return InlineExecutor(tasks.REGISTRY)
    if work.executor == "parsl":
        from passerelle.compute.parsl_executor import ParslExecutor  # parsl takes a second to load

        return ParslExecutor(tasks.REGISTRY, workers=workers, threads=work.threads_per_worker, folder=places.logs / "parsl")
    return PoolExecutor(tasks.REGISTRY, workers=workers, threads=work.threads_per_worker)


class Claim:
    """The right to be the one service of a state folder. The kernel takes it back when the process dies, however it dies."""

    def __init__(self, state: Path) -> None:
        path = state / "service.lock"
        with storage_errors(path):
            state.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            # lockf, not flock: it is not inherited by workers that may outlive this process for a moment
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._descriptor)
            raise Busy(
                "another passerelle works with this state folder.", advice="Stop it first, or use another folder.", path=state
            ) from error

    def release(self) -> None:
        """Give the right back."""
        os.close(self._descriptor)
