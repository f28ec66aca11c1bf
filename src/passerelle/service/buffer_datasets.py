"""Which datasets lie in gateway folders, what still goes on with each, and which verified copies are on record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from passerelle.core.states import MovieState, SessionState, TransferState
from passerelle.store import Session, sessions, statistics, transfers
from passerelle.store.transfers import STANDING, Transfer, VerifiedCopy

_TO_DO = (MovieState.QUEUED, MovieState.RUNNING)


@dataclass(frozen=True, slots=True)
class Dataset:
    """A folder of an instrument that is looked at as one: a session, or what somebody sent home beside sessions.

    source: relative to the instrument's folder, as `store.paths` writes it. within: other datasets that lie in it.
    arrived_at: when its latest file came, by our own clock (times of files may be those of where they were made).
    busy: what still goes on with it, in sentences. copies: the latest on record of each folder.
    """

    instrument: str
    source: str
    name: str
    session_id: int | None
    closed_at: float | None
    arrived_at: float
    busy: tuple[str, ...]
    copies: tuple[VerifiedCopy, ...]
    within: tuple[str, ...] = ()


def datasets(connection: Connection, instruments: Iterable[str]) -> list[Dataset]:
    """Return all datasets of these instruments, those that were closed first before others."""
    totals = statistics.totals(connection, since=0.0)
    known = [session for session in sessions.every(connection) if session.instrument in set(instruments)]
    standing = transfers.standing(connection)
    places = {(session.instrument, session.root): session for session in known}
    loose = [each for each in _sent(connection) if each.instrument in set(instruments) and not _overlaps(each, places)]
    found = [_of_session(connection, session, totals, standing) for session in known]
    seen: set[tuple[str, str]] = set()
    for each in loose:
        if (each.instrument, each.source) not in seen:
            seen.add((each.instrument, each.source))
            found.append(_dataset(connection, each.instrument, each.source, each.name, standing, ()))
    every = {(each.instrument, each.source) for each in found}
    complete = [_with_inner(each, every) for each in found]
    return sorted(complete, key=lambda each: (each.closed_at is None, each.closed_at or 0.0, each.instrument, each.source))


def find(connection: Connection, instruments: Iterable[str], instrument: str, source: str) -> Dataset | None:
    """Return one dataset, as it is on record now."""
    found = datasets(connection, instruments)
    return next((each for each in found if (each.instrument, each.source) == (instrument, source)), None)


def lies_in(path: str, folder: str) -> bool:
    """Say whether a path is a folder, or lies in it; "" is around everything."""
    return not folder or path == folder or path.startswith(f"{folder}/")


def _of_session(
    connection: Connection, session: Session, totals: Mapping[int, statistics.Totals], standing: list[Transfer]
) -> Dataset:
    count = totals[session.id].count if session.id in totals else {}
    waiting = sum(number for (state, _), number in count.items() if state in _TO_DO)
    busy = (f"{waiting} movies are still to be processed.",) if waiting else ()
    closed_at = session.closed_at if session.state is SessionState.CLOSED else None
    made = _dataset(connection, session.instrument, session.root, session.name, standing, busy)
    return replace(made, session_id=session.id, closed_at=closed_at, arrived_at=session.last_file_at or session.opened_at)


def _dataset(
    connection: Connection, instrument: str, source: str, name: str, standing: list[Transfer], busy: tuple[str, ...]
) -> Dataset:
    under_way = [
        each.id
        for each in standing
        if each.instrument == instrument and (lies_in(source, each.source) or lies_in(each.source, source))
    ]
    if under_way:
        busy = (*busy, f"Transfer {', '.join(map(str, under_way))} of it is under way.")
    latest: dict[tuple[str, str], VerifiedCopy] = {}
    for copy in transfers.copies_of(connection, instrument, source):
        latest.setdefault((copy.zone_root, copy.folder), copy)  # the manifest there is that of the latest
    arrived_at = max((copy.ended_at for copy in latest.values()), default=0.0)
    return Dataset(instrument, source, name, None, None, arrived_at, busy, tuple(latest.values()))


def _sent(connection: Connection) -> list[Transfer]:
    return transfers.latest(connection, limit=10_000, states=[TransferState.DONE, *STANDING])


def _overlaps(transfer: Transfer, places: Mapping[tuple[str, str], Session]) -> bool:
    return any(
        instrument == transfer.instrument and (lies_in(root, transfer.source) or lies_in(transfer.source, root))
        for instrument, root in places
    )


def _with_inner(dataset: Dataset, every: set[tuple[str, str]]) -> Dataset:
    inner = sorted(
        source
        for instrument, source in every
        if instrument == dataset.instrument and source != dataset.source and lies_in(source, dataset.source)
    )
    return replace(dataset, within=tuple(inner))
