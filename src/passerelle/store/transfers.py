"""Transfers of datasets to zones as rows; when one may run, and who may ask for it, is decided elsewhere."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Select, func, insert, select, update

from passerelle.core.errors import NotFound
from passerelle.core.states import TransferState, move
from passerelle.store import events
from passerelle.store.paths import storable
from passerelle.store.tables_people import zones
from passerelle.store.tables_transfers import transfers

STANDING = frozenset({TransferState.QUEUED, TransferState.RUNNING, TransferState.PAUSED})  # its folder is taken
_ENDS = frozenset({TransferState.DONE, TransferState.INCOMPLETE, TransferState.FAILED, TransferState.CANCELLED})


@dataclass(frozen=True, slots=True)
class Transfer:
    """A transfer. source: relative to the instrument's folder; folder: to the zone's root (both as `store.paths` writes them).

    files, bytes: verified in the target. moved_bytes, seconds: of all attempts. problems, notes: the first of so many.
    started_at: for the first time; begun_at: the latest attempt, whose progress `progress` is.
    """

    id: int
    person: str
    groups: tuple[str, ...]
    through: str
    made_at: float
    started_at: float | None
    begun_at: float | None
    ended_at: float | None
    not_before: float | None
    instrument: str
    source: str
    session_id: int | None
    name: str
    selection: str
    squares: tuple[str, ...]
    follow: bool
    zone_id: int
    zone: str
    zone_root: str
    folder: str
    state: TransferState
    attempts: int
    files: int
    bytes: int
    known_files: int
    known_bytes: int
    moved_bytes: int
    seconds: float
    problem_count: int
    problems: tuple[Mapping[str, str], ...]
    note_count: int
    notes: tuple[Mapping[str, str], ...]
    progress: Mapping[str, Any]
    manifest_digest: str | None
    error: str | None
    advice: str | None

    @property
    def mean_bytes_per_second(self) -> float:
        return self.moved_bytes / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True, slots=True)
class VerifiedCopy:
    """A copy on record: every file of it was read back from the medium when it ended.

    folder: of the whole transfer, relative to the zone's root. within: where in it the source that was asked for lies.
    started_at: what came to the source after that instant may be missing in the copy.
    """

    transfer_id: int
    zone: str
    zone_root: str
    folder: str
    within: str
    manifest_digest: str
    selection: str
    squares: tuple[str, ...]
    started_at: float
    ended_at: float

    @property
    def whole(self) -> bool:
        """Nothing was left out on purpose."""
        return self.selection == "whole"


def create(
    connection: Connection,
    *,
    person: str,
    groups: Collection[str],
    through: str,
    instrument: str,
    source: str,
    session_id: int | None,
    name: str,
    selection: str,
    squares: Sequence[str] = (),
    follow: bool = False,
    zone_id: int,
    folder: str,
    at: float,
) -> Transfer:
    """Write a new transfer, queued, with its event."""
    row = {
        "person": storable(person),
        "groups": [storable(each) for each in sorted(groups)],
        "through": through,
        "made_at": at,
        "instrument": instrument,
        "source": source,
        "session_id": session_id,
        "name": storable(name),
        "selection": selection,
        "squares": [storable(each) for each in squares],
        "follow": follow,
        "zone_id": zone_id,
        "folder": folder,
        "state": TransferState.QUEUED,
    }
    number = connection.execute(insert(transfers).values(row).returning(transfers.c.id)).scalar_one()
    made = get(connection, number)
    _tell(connection, made, "queued", at, {"person": made.person, "zone": made.zone, "folder": made.folder})
    return made


def get(connection: Connection, transfer_id: int) -> Transfer:
    """Return a transfer.

    Raises:
        NotFound: there is none with this id.
    """
    found = connection.execute(_SELECT.where(transfers.c.id == transfer_id)).one_or_none()
    if found is None:
        raise NotFound(f"There is no transfer {transfer_id}.")
    return _transfer(found)


def latest(
    connection: Connection,
    *,
    limit: int,
    person: str | None = None,
    states: Collection[TransferState] | None = None,
    session_id: int | None = None,
) -> list[Transfer]:
    """Return the latest transfers, newest first: of one person, in some states, or of one session, where given."""
    query = _SELECT.order_by(transfers.c.id.desc()).limit(limit)
    if person is not None:
        query = query.where(transfers.c.person == person)
    if states is not None:
        query = query.where(transfers.c.state.in_(states))
    if session_id is not None:
        query = query.where(transfers.c.session_id == session_id)
    return [_transfer(found) for found in connection.execute(query)]


def standing(connection: Connection) -> list[Transfer]:
    """Return all that wait, run or are held, oldest first."""
    query = _SELECT.where(transfers.c.state.in_(STANDING)).order_by(transfers.c.id)
    return [_transfer(found) for found in connection.execute(query)]


def in_zone(connection: Connection, zone_id: int) -> list[Transfer]:
    """Return all transfers to a zone, oldest first."""
    return [
        _transfer(found) for found in connection.execute(_SELECT.where(transfers.c.zone_id == zone_id).order_by(transfers.c.id))
    ]


def last_starts(connection: Connection) -> dict[str, float]:
    """Return when a transfer of each person was started last, by person; of those who had any."""
    query = select(transfers.c.person, func.max(transfers.c.begun_at)).where(transfers.c.begun_at.is_not(None))
    found = connection.execute(query.group_by(transfers.c.person))
    return {row[0]: row[1] for row in found}


def change_state(connection: Connection, transfer_id: int, target: TransferState, *, at: float, **values: Any) -> Transfer:
    """Move a transfer, with other values that change with it, and write its event.

    Raises:
        NotFound: there is none. IllegalMove: it cannot become that from where it is.
    """
    transfer = get(connection, transfer_id)
    move(transfer.state, target, what=f"transfer {transfer_id}")
    fields: dict[str, Any] = {"error": None, "advice": None, "not_before": None} | _safe(values)
    fields |= {"state": target, "ended_at": at if target in _ENDS else None}
    if target is TransferState.RUNNING:
        fields |= {"attempts": transfer.attempts + 1, "begun_at": at, "started_at": transfer.started_at or at}
    connection.execute(update(transfers).where(transfers.c.id == transfer_id).values(**fields))
    _tell(connection, transfer, target.value, at, {"error": fields["error"]} if fields["error"] else {})
    return get(connection, transfer_id)


def note(connection: Connection, transfer_id: int, **values: Any) -> None:
    """Write down values that are not a state (progress, counts), if there are any; no event."""
    if not values:
        return
    connection.execute(update(transfers).where(transfers.c.id == transfer_id).values(**_safe(values)))


def copies_of(connection: Connection, instrument: str, source: str) -> list[VerifiedCopy]:
    """Return the verified copies on record of a folder of an instrument, latest first; those of folders around it count, too.

    source: relative to the instrument's folder, as `store.paths` writes it. What a copy must be, so that something may be
    deleted, is the caller's to decide (`whole`, `started_at`, `zone` are for that); and the source is read again before, against
    the manifest of the copy.
    """
    source = "" if source == "." else source  # as the root of a session is written that is its instrument's whole folder
    parts = source.split("/") if source else []
    around = ["/".join(parts[:count]) for count in range(len(parts) + 1)]
    query = (
        _SELECT.where(transfers.c.instrument == instrument, transfers.c.source.in_(around))
        .where(transfers.c.state == TransferState.DONE, transfers.c.manifest_digest.is_not(None))
        .order_by(transfers.c.ended_at.desc())
    )
    return [_copy(_transfer(found), source) for found in connection.execute(query)]


_SELECT: Select[Any] = select(transfers, zones.c.name.label("zone"), zones.c.root.label("zone_root")).join_from(
    transfers, zones, transfers.c.zone_id == zones.c.id
)


def _copy(transfer: Transfer, source: str) -> VerifiedCopy:
    within = source[len(transfer.source) :].lstrip("/")
    return VerifiedCopy(
        transfer.id,
        transfer.zone,
        transfer.zone_root,
        transfer.folder,
        within,
        transfer.manifest_digest or "",
        transfer.selection,
        transfer.squares,
        transfer.started_at or transfer.made_at,
        transfer.ended_at or transfer.made_at,
    )


def _transfer(row: Row[Any]) -> Transfer:
    fields: dict[str, Any] = dict(row._mapping)
    fields["state"] = TransferState(fields["state"])
    for name in ("groups", "squares", "problems", "notes"):
        fields[name] = tuple(fields[name])
    return Transfer(**fields)


def _safe(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: storable(inner) if isinstance(inner, str) else inner for name, inner in values.items()}


def _tell(connection: Connection, transfer: Transfer, what: str, at: float, data: Mapping[str, Any]) -> None:
    events.add(connection, f"transfer_{what}", at=at, session_id=transfer.session_id, data={"transfer": transfer.id, **data})
