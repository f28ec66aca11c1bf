"""The loop that runs transfers: it starts those whose turn it is, follows each, and records what it came to.

The rows say what is to be: a face moves a row, and this loop brings about what the row says. It keeps nothing that it could not
lose: after a kill the rows that say running are queued again, and the journal of each target knows what was verified.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from passerelle.core.errors import Busy, NotAllowed, NotFound, OutOfSpace, PasserelleError, Retry, printable
from passerelle.core.log import logger
from passerelle.core.states import PersonState, SessionState, TransferState
from passerelle.service.access import POWERS, Actor, PersonRole, Through
from passerelle.service.accounts import groups_of
from passerelle.service.carriage import Carriage, Outcome, start_courier
from passerelle.service.datasets import Dataset, Datasets
from passerelle.service.errands import hand_for, order_for
from passerelle.service.instrument_access import sight
from passerelle.service.instruments import Instrument
from passerelle.service.selections import SelectionKind
from passerelle.service.settings import Settings
from passerelle.service.transfer_queue import Waiting, next_ones
from passerelle.service.transfer_rules import check_room
from passerelle.service.transfers import bytes_there
from passerelle.service.zone_view import zone_of
from passerelle.store import Database, people, sessions, transfers, zones
from passerelle.store.transfers import Transfer
from passerelle.transfer.courier import Order
from passerelle.zones import Visitor, Zone, ZoneAct, require, room

_TICK_SECONDS = 0.5
_NOTE_SECONDS = 1.0  # how often progress is written down
_TRIES = 6  # failures in a row that may pass by themselves
_LONGEST_WAIT_SECONDS = 900.0
_STOP_SECONDS = 5.0


class TransferRunner:
    """Runs the transfers of a facility in processes of their own. One thread; `wake` may be called from any.

    ended: called within the transaction that records a transfer as done, incomplete or failed.
    """

    def __init__(
        self,
        database: Database,
        settings: Settings,
        instruments: Mapping[str, Instrument],
        datasets: Datasets,
        *,
        ended: Callable[[Connection, Transfer], object] = lambda connection, transfer: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database, self._settings, self._instruments, self._datasets = database, settings, instruments, datasets
        self._ended = ended
        self._clock = clock
        self._running: dict[int, Carriage] = {}
        self._preparing: dict[int, Preparation] = {}
        self._failures: dict[int, int] = {}
        self._noted_at = 0.0
        self._event = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="transfers", daemon=True)

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def stop(self, timeout_seconds: float = 10.0) -> None:
        """End what runs, and queue it for the next start."""
        self._stop.set()
        self._event.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_seconds + _STOP_SECONDS)

    def wake(self) -> None:
        """Have the loop look at once."""
        self._event.set()

    # -- the loop

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._event.clear()
                try:
                    self.step()
                except PasserelleError as error:  # the database: what runs goes on, and is recorded when it answers
                    logger.warning("transfers_wait", error=str(error))
                    self._stop.wait(1.0)
                    continue
                self._event.wait(_TICK_SECONDS)
        finally:
            self._end_all()

    def step(self) -> None:
        """Look once: record what was said, stop what must, start whose turn it is.

        Raises:
            Busy, OutOfSpace, StorageError: the database cannot be used now; call again.
        """
        now = self._clock()
        news = [each for each in self._running.values() if each.look()]
        self._record(news, now)
        with self._database.read() as connection:
            standing = {each.id: each for each in transfers.standing(connection)}
            known = {row.id: zone_of(row) for row in zones.every(connection)}
            starts = transfers.last_starts(connection)
        self._put_right(standing, known, now)
        for number in self._turn(standing, starts, now):
            self._preparing[number] = Preparation(standing[number], known[standing[number].zone_id], self._prepare)
        for number, prepared in list(self._preparing.items()):
            if number not in standing or standing[number].state is not TransferState.QUEUED:
                del self._preparing[number]  # meanwhile somebody holds it, or has ended it
            elif prepared.order is not None or prepared.error is not None:
                self._start(self._preparing.pop(number), now)

    def _record(self, news: list[Carriage], now: float) -> None:
        """Write down how far transfers are, and what those that ended have come to."""
        over = [each for each in news if each.outcome is not None]
        noting = now - self._noted_at >= _NOTE_SECONDS
        if not over and not (news and noting):
            return
        with self._database.write() as connection:
            for each in news:
                if each.values():
                    transfers.note(connection, each.transfer.id, **each.values())
            for each in over:
                assert each.outcome is not None
                row = transfers.get(connection, each.transfer.id)
                transfers.note(connection, row.id, **each.outcome.values)
                if row.state is TransferState.RUNNING:
                    self._conclude(connection, row, each.outcome, now)
        self._noted_at = now
        for each in over:
            del self._running[each.transfer.id]
            if each.outcome is not None and each.outcome.error is None:
                self._failures.pop(each.transfer.id, None)

    def _conclude(self, connection: Connection, row: Transfer, outcome: Outcome, now: float) -> None:
        """Move a row that ran to what it came to, or back into the queue where it may pass by itself."""
        moved = self._moved(connection, row, outcome, now)
        if moved.state is not TransferState.QUEUED:
            self._ended(connection, moved)

    def _moved(self, connection: Connection, row: Transfer, outcome: Outcome, now: float) -> Transfer:
        error = outcome.error
        values: dict[str, Any] = {} if error is None else {"error": error.message, "advice": error.advice}
        if outcome.state is None:  # it was stopped, and the row still says that it is to run
            return transfers.change_state(connection, row.id, TransferState.QUEUED, at=now)
        if "manifest_digest" in outcome.values:
            values["manifest_digest"] = outcome.values["manifest_digest"]
        if outcome.state is TransferState.FAILED and error is not None and _may_pass(error):
            failures = self._failures[row.id] = self._failures.get(row.id, 0) + 1
            if isinstance(error, Busy) or failures < _TRIES:
                wait = min(_LONGEST_WAIT_SECONDS, 5.0 * 2.0 ** min(failures - 1, 20))
                return transfers.change_state(connection, row.id, TransferState.QUEUED, at=now, not_before=now + wait, **values)
        return transfers.change_state(connection, row.id, outcome.state, at=now, **values)

    def _put_right(self, standing: Mapping[int, Transfer], known: Mapping[int, Zone], now: float) -> None:
        """Bring what runs to what the rows say, and the rows to what is true."""
        for number, carriage in self._running.items():
            row = standing.get(number)
            if row is None or row.state is not TransferState.RUNNING:
                carriage.stop()
                continue
            if carriage.stopping:
                continue
            try:
                self._check_rights(row, known[row.zone_id])
            except PasserelleError as error:
                self._fail(row, error, now)
                carriage.stop()
                continue
            if row.follow and self._source_closed(row):
                carriage.close_source()
        for number, row in standing.items():
            if row.state is TransferState.RUNNING and number not in self._running:
                with self._database.write() as connection:  # a service before this one ran it, and was killed
                    transfers.change_state(connection, number, TransferState.QUEUED, at=now)

    def _turn(self, standing: Mapping[int, Transfer], starts: Mapping[str, float], now: float) -> list[int]:
        settings = self._settings.transfers
        chosen: list[int] = []
        for follow, places in ((False, settings.at_a_time), (True, settings.following_at_a_time)):
            kind = [each for each in standing.values() if each.follow is follow]
            waiting = [
                Waiting(each.id, each.person, each.not_before)
                for each in kind
                if each.state is TransferState.QUEUED
                and each.id not in self._running  # else its last process still ends
                and each.id not in self._preparing
            ]
            running = [each.transfer.person for each in self._running.values() if each.transfer.follow is follow]
            running += [each.row.person for each in self._preparing.values() if each.row.follow is follow]
            chosen += next_ones(waiting, running, starts, places=places, now=now)
        return chosen

    def _prepare(self, row: Transfer, zone: Zone) -> tuple[Order, Path | None]:
        """Look whether a transfer can be done; return what its process is told, and by which hand. Takes as long as disks do."""
        self._check_rights(row, zone)
        dataset = self._dataset(row)
        self._check_room(row, dataset, zone)
        hand = hand_for(zone, self._settings.transfers)
        return order_for(row, dataset, zone, self._datasets, self._settings.transfers), hand

    def _start(self, prepared: Preparation, now: float) -> None:
        """Start a transfer, or say why that cannot be."""
        row = prepared.row
        if prepared.order is None:
            assert prepared.error is not None
            self._fail(row, prepared.error, now)
            return
        with self._database.write() as connection:
            current = transfers.get(connection, row.id)
            if current.state is not TransferState.QUEUED:
                return
            row = transfers.change_state(
                connection, row.id, TransferState.RUNNING, at=now, progress={}, problem_count=0, problems=[]
            )
        try:
            self._running[row.id] = Carriage(row, start_courier(prepared.order, prepared.hand))
        except PasserelleError as error:
            with self._database.write() as connection:
                self._conclude(connection, row, Outcome(TransferState.FAILED, {}, error), now)

    def _fail(self, row: Transfer, error: PasserelleError, now: float) -> None:
        with self._database.write() as connection:
            current = transfers.get(connection, row.id)
            if current.state not in {TransferState.QUEUED, TransferState.RUNNING}:
                return
            values = {"error": _sentence(error), "advice": error.advice}
            self._ended(connection, transfers.change_state(connection, row.id, TransferState.FAILED, at=now, **values))

    # -- what must be so

    def _check_rights(self, row: Transfer, zone: Zone) -> None:
        """Pass if the person may still see the instrument, and write to the zone.

        Raises:
            NotAllowed: says what is so no more.
        """
        with self._database.read() as connection:
            person = people.find(connection, row.person)
            places = [zone_of(each) for each in zones.every(connection)]
        if person is not None and person.state is PersonState.DISABLED:
            raise NotAllowed(f"The account of {row.person} was disabled.", advice="Ask an admin.")
        groups = frozenset(person.groups if person is not None else row.groups) | groups_of(row.person)
        try:
            require(Visitor(row.person, groups), ZoneAct.WRITE, zone)
        except NotFound as error:
            raise NotAllowed(
                f"{row.person} may not write to zone {zone.name} any more.", advice="Ask the zone's owner."
            ) from error
        if person is not None and self._settings.people.log_in and row.through != Through.COMMAND:
            role = PersonRole(person.role)
            now = Actor(row.person, role, POWERS[role], Through.SERVICE, groups)
            if not sight(now, {name: each.folder for name, each in self._instruments.items()}, places).has(row.instrument):
                raise NotAllowed(
                    f"{row.person} may not see what {row.instrument} writes any more.",
                    advice="Ask the people who keep this facility.",
                )

    def _dataset(self, row: Transfer) -> Dataset:
        instrument = self._instruments.get(row.instrument)
        if instrument is None:
            raise NotFound(f"There is no instrument {row.instrument} any more.", advice="Was it taken out of the configuration?")
        if row.session_id is None:
            return Dataset(instrument, row.source, None)
        with self._database.read() as connection:
            return Dataset(instrument, row.source, sessions.get(connection, row.session_id))

    def _check_room(self, row: Transfer, dataset: Dataset, zone: Zone) -> None:
        weight = self._datasets.weigh(dataset, SelectionKind(row.selection), row.squares)
        space = room(zone.root)
        free = space.free
        if zone.quota_bytes is not None:
            with self._database.read() as connection:
                usage = zones.usages(connection, row.zone_id, limit=1)
            free = min(free, max(0, zone.quota_bytes - (usage[0].bytes if usage else 0)))
        leave = self._settings.transfers.leave_free_percent
        check_room(weight, bytes_there(zone, row.folder), free, space.total, leave_free_percent=leave)

    def _source_closed(self, row: Transfer) -> bool:
        if row.session_id is None:
            return False
        with self._database.read() as connection:
            return sessions.get(connection, row.session_id).state is SessionState.CLOSED

    def _end_all(self) -> None:
        """End what runs; the rows stay as they are, and the next service takes them up."""
        for each in self._running.values():
            each.stop()
        deadline = time.monotonic() + _STOP_SECONDS
        while time.monotonic() < deadline and any(each.outcome is None for each in self._running.values()):
            time.sleep(0.05)
            for each in self._running.values():
                each.look()
        for each in self._running.values():
            each.kill()


class Preparation:
    """A transfer that is looked at before it starts, in a thread of its own: a disk that hangs holds up no other.

    order: what its process is told (hand: by whom it is started), or error: why it cannot start; neither, while not known.
    """

    def __init__(self, row: Transfer, zone: Zone, prepare: Callable[[Transfer, Zone], tuple[Order, Path | None]]) -> None:
        self.row = row
        self.order: Order | None = None
        self.hand: Path | None = None
        self.error: PasserelleError | None = None
        self._zone, self._prepare = zone, prepare
        threading.Thread(target=self._run, name=f"transfer-{row.id}", daemon=True).start()

    def _run(self) -> None:
        try:
            order, self.hand = self._prepare(self.row, self._zone)
            self.order = order
        except PasserelleError as error:
            self.error = error


def _may_pass(error: PasserelleError) -> bool:
    """Tell whether it is worth while to try again without being asked: a full disk does not empty itself."""
    return error.retry is not Retry.NEVER and not isinstance(error, OutOfSpace)


def _sentence(error: PasserelleError) -> str:
    return f"{printable(error.path)}: {error.message}" if error.path else error.message
