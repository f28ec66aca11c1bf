"""The verbs on transfers: send a dataset to a zone, look, pause, resume, cancel, retry, certify."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

import passerelle
from passerelle.core.errors import BadInput, Conflict, IllegalMove, NotFound, PasserelleError
from passerelle.core.states import TransferState
from passerelle.service import access
from passerelle.service.access import Actor, Power
from passerelle.service.audit import acting
from passerelle.service.datasets import Dataset, Datasets, is_open
from passerelle.service.errands import account_for, leg_of
from passerelle.service.selections import SelectionKind
from passerelle.service.settings import Settings
from passerelle.service.transfer_queue import Waiting, place_in_line
from passerelle.service.transfer_rules import check_folder, check_place, check_room
from passerelle.service.transfer_view import Certificate, EstimateView, TransferView, transfer_view
from passerelle.service.zone_view import zone_of
from passerelle.service.zones import Zones
from passerelle.store import Database, transfers, zones
from passerelle.store.paths import from_text, to_text
from passerelle.store.transfers import Transfer
from passerelle.transfer import Weight
from passerelle.zones import Content, Zone, ZoneAct, dataset_place, linux_path, measure, relative_path, windows_path

_MOST = 1000
_RATES = 20  # transfers from which the time of the next is estimated


class Transfers:
    """The transfers of a facility. May be called from any thread: rows are changed, and the runner brings about what they say."""

    def __init__(self, database: Database, settings: Settings, datasets: Datasets, zones: Zones) -> None:
        self._database, self._settings = database, settings
        self._datasets, self._zones = datasets, zones

    # -- read --

    def list(
        self, actor: Actor, *, person: str | None = None, states: Sequence[TransferState] = (), limit: int = 100
    ) -> list[TransferView]:
        """Return the latest transfers, newest first: one's own; those of all, or of one person, for who keeps zones.

        Raises:
            NotAllowed: they are another's.
        """
        access.require(actor, Power.LOOK)
        if not _sees_all(actor):
            person = actor.name
        with self._database.read() as connection:
            found = transfers.latest(connection, limit=min(max(limit, 1), _MOST), person=person, states=states or None)
        return self._views(actor, found)

    def get(self, actor: Actor, transfer_id: int) -> TransferView:
        """Return a transfer.

        Raises:
            NotFound: there is none, or it is another's.
        """
        return self._views(actor, [self._own(actor, transfer_id, Power.LOOK)])[0]

    def certificate(self, actor: Actor, transfer_id: int) -> Certificate:
        """Return what a transfer has verified.

        Raises:
            NotFound: as `get`. Conflict: it is not done.
        """
        transfer = self._own(actor, transfer_id, Power.LOOK)
        if transfer.state is not TransferState.DONE:
            raise Conflict(
                f"Transfer {transfer_id} is {transfer.state}: there is no certificate of it.",
                advice="One is given when every file is there and verified.",
            )
        view = self._views(actor, [transfer])[0]
        return Certificate(
            facility=self._settings.facility,
            transfer=view,
            leg=leg_of(transfer),
            source=view.label,
            target=view.linux,
            version=passerelle.__version__,
        )

    def estimate(
        self,
        actor: Actor,
        dataset: Dataset,
        zone: str,
        *,
        folder: str = "",
        kind: SelectionKind = SelectionKind.WHOLE,
        squares: Sequence[str] = (),
    ) -> EstimateView:
        """Say what a transfer would bring, how long it may take, and what stands against it.

        Raises:
            NotFound, NotAllowed: the person may not send, or not there. BadInput, Conflict: of the selection.
        """
        place = self._zone(actor, zone)
        text = self._folder(place, dataset, folder)
        weight = self._datasets.weigh(dataset, kind, squares)
        view = self._zones.get(actor, zone)
        try:
            self._check(actor, place, dataset, text, weight)
            problem = ""
        except PasserelleError as error:
            problem = str(error)
        within = from_text(text)
        return EstimateView(
            files=weight.files,
            bytes=weight.bytes,
            free_bytes=view.free_bytes,
            seconds=self._seconds(weight, zone),
            folder=text,
            linux=str(linux_path(place, within)),
            windows=windows_path(self._server, place, within),
            problem=problem,
        )

    # -- change --

    def send(
        self,
        actor: Actor,
        dataset: Dataset,
        zone: str,
        *,
        folder: str = "",
        kind: SelectionKind = SelectionKind.WHOLE,
        squares: Sequence[str] = (),
        follow: bool = False,
        at: float | None = None,
    ) -> TransferView:
        """Have a dataset copied to a zone. folder: relative to the zone; else one by instrument, date and name.

        follow: copy what comes for as long as its session is open.

        Raises:
            NotFound, NotAllowed: the person does not see the dataset, or may not write to the zone.
            BadInput: a folder or selection that cannot be. Conflict: it is on its way there already, or another lies there.
            OutOfSpace: it would not fit.
        """
        now = time.time() if at is None else at
        with acting(self._database, actor, "send", f"zone:{zone}", at=now) as deed:
            deed.data = {"dataset": f"{dataset.instrument.name}/{dataset.source}", "selection": kind, "follow": follow}
            place = self._zone(actor, zone)
            if follow and kind is not SelectionKind.WHOLE:
                raise BadInput(
                    "What an acquisition still writes can only be sent as a whole: verdicts come later.",
                    advice="Send the whole, or send the selection when the session is closed.",
                )
            text = self._folder(place, dataset, folder)
            self._check(actor, place, dataset, text, self._datasets.weigh(dataset, kind, squares))
            with self._database.write() as connection:
                row = zones.get(connection, zone)
                check_place(text, dataset.instrument.name, dataset.source, transfers.in_zone(connection, row.id))
                made = transfers.create(
                    connection,
                    person=actor.name,
                    groups=actor.groups,
                    through=actor.through,
                    instrument=dataset.instrument.name,
                    source=dataset.source,
                    session_id=dataset.session.id if dataset.session else None,
                    name=dataset.name,
                    selection=kind,
                    squares=sorted(set(squares)) if kind is SelectionKind.SQUARES else (),
                    follow=follow and (is_open(dataset) or dataset.session is None),
                    zone_id=row.id,
                    folder=text,
                    at=now,
                )
                deed.done(connection, transfer=made.id, folder=text)
        return self.get(actor, made.id)

    def pause(self, actor: Actor, transfer_id: int, *, at: float | None = None) -> TransferView:
        """Hold a transfer; what is verified stays, and its place among those that run goes to another.

        Raises:
            NotFound, NotAllowed: it is another's. IllegalMove: it has ended, or is held.
        """
        return self._move(actor, transfer_id, "transfer_pause", {TransferState.QUEUED, TransferState.RUNNING}, at)

    def resume(self, actor: Actor, transfer_id: int, *, at: float | None = None) -> TransferView:
        """Let a held transfer go on when its turn comes.

        Raises:
            NotFound, NotAllowed, IllegalMove: as `pause`.
        """
        return self._move(actor, transfer_id, "transfer_resume", {TransferState.PAUSED}, at)

    def cancel(self, actor: Actor, transfer_id: int, *, at: float | None = None) -> TransferView:
        """End a transfer; what is verified stays in the zone.

        Raises:
            NotFound, NotAllowed, IllegalMove: as `pause`.
        """
        return self._move(actor, transfer_id, "transfer_cancel", transfers.STANDING, at)

    def retry(self, actor: Actor, transfer_id: int, *, at: float | None = None) -> TransferView:
        """Send again what is not there yet.

        Raises:
            NotFound, NotAllowed, IllegalMove: as `pause`; it is done or on its way.
            Conflict: meanwhile another dataset is on its way to the same folder.
        """
        ends = {TransferState.INCOMPLETE, TransferState.FAILED, TransferState.CANCELLED}
        return self._move(actor, transfer_id, "transfer_retry", ends, at)

    # -- within --

    @property
    def _server(self) -> str:
        return self._settings.zones.server or os.uname().nodename

    def _zone(self, actor: Actor, name: str) -> Zone:
        access.require(actor, Power.SEND)
        return self._zones.zone(actor, ZoneAct.WRITE, name)

    def _folder(self, zone: Zone, dataset: Dataset, folder: str) -> str:
        """Return where a dataset is to lie in a zone."""
        opened = dataset.session.opened_at if dataset.session else time.time()
        usual = dataset_place(zone, Content.DATASET, instrument=dataset.instrument.name, name=dataset.name, at=opened)
        if not folder.strip("/") and dataset.session is None:
            usual = usual.parent / usual.name.partition("_")[2]  # the day of sending says nothing of the data
        text = to_text(relative_path(str(from_text(folder)))) if folder.strip("/") else to_text(usual)
        check_folder(text)
        return text

    def _check(self, actor: Actor, zone: Zone, dataset: Dataset, folder: str, weight: Weight) -> None:
        """Look whether a transfer could be done now; raises what stands against it."""
        account_for(zone)
        with self._database.read() as connection:
            row = zones.get(connection, zone.name)
            check_place(folder, dataset.instrument.name, dataset.source, transfers.in_zone(connection, row.id))
        view = self._zones.get(actor, zone.name)
        there = bytes_there(zone, folder)
        check_room(
            weight, there, view.free_bytes, view.total_bytes, leave_free_percent=self._settings.transfers.leave_free_percent
        )

    def _seconds(self, weight: Weight, zone: str) -> float | None:
        with self._database.read() as connection:
            done = transfers.latest(connection, limit=_RATES, states={TransferState.DONE})
        rates = [each.mean_bytes_per_second for each in done if each.zone == zone and each.moved_bytes]
        return weight.bytes / (sum(rates) / len(rates)) if rates and weight.bytes else None

    def _own(self, actor: Actor, transfer_id: int, power: Power) -> Transfer:
        access.require(actor, power)
        with self._database.read() as connection:
            transfer = transfers.get(connection, transfer_id)
        if transfer.person != actor.name and not _sees_all(actor):
            raise NotFound(f"There is no transfer {transfer_id}.")
        return transfer

    def _move(
        self, actor: Actor, transfer_id: int, act: str, known: set[TransferState] | frozenset[TransferState], at: float | None
    ) -> TransferView:
        now = time.time() if at is None else at
        with acting(self._database, actor, act, f"transfer:{transfer_id}", at=now) as deed:
            self._own(actor, transfer_id, Power.SEND)
            with self._database.write() as connection:
                transfer = transfers.get(connection, transfer_id)
                if transfer.state not in known:
                    verb = act.removeprefix("transfer_")
                    raise IllegalMove(f"Transfer {transfer_id} is {transfer.state}: there is nothing to {verb}.")
                if act == "transfer_retry":
                    others = [each for each in transfers.in_zone(connection, transfer.zone_id) if each.id != transfer_id]
                    check_place(transfer.folder, transfer.instrument, transfer.source, others)
                transfers.change_state(connection, transfer_id, _TARGETS[act], at=now)
                deed.done(connection)
        return self.get(actor, transfer_id)

    def _views(self, actor: Actor, found: Sequence[Transfer]) -> list[TransferView]:
        with self._database.read() as connection:
            rows = {row.id: zone_of(row) for row in zones.every(connection)}
            standing = transfers.standing(connection)
            starts = transfers.last_starts(connection)
        waiting = [Waiting(each.id, each.person) for each in standing if each.state is TransferState.QUEUED and not each.follow]
        running = [each.person for each in standing if each.state is TransferState.RUNNING and not each.follow]
        numbers = {each.number for each in waiting}
        may_act = Power.SEND in actor.powers
        return [
            transfer_view(
                self._server,
                each,
                rows[each.zone_id],
                allowed=may_act and (each.person == actor.name or _sees_all(actor)),
                ahead=place_in_line(each.id, waiting, running, starts) if each.id in numbers else None,
            )
            for each in found
        ]


_TARGETS: Mapping[str, TransferState] = {
    "transfer_pause": TransferState.PAUSED,
    "transfer_resume": TransferState.QUEUED,
    "transfer_cancel": TransferState.CANCELLED,
    "transfer_retry": TransferState.QUEUED,
}


def bytes_there(zone: Zone, folder: str) -> int:
    """Return how much lies in a folder of a zone already; 0 where it is not there."""
    try:
        return measure(zone.root, PurePosixPath(from_text(folder))).bytes
    except NotFound:
        return 0


def _sees_all(actor: Actor) -> bool:
    return Power.KEEP_ZONES in actor.powers
