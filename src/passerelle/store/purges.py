"""What was purged from gateway folders: each row is written, and on the disk, before its file is deleted; never after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from passerelle.store.paths import storable
from passerelle.store.tables_care import purge_lists, purged

_CHUNK = 300


class PurgeState(StrEnum):
    """A file that was to be deleted."""

    INTENDED = "intended"  # written down; what became of it is not known yet
    DELETED = "deleted"
    KEPT = "kept"  # it was something else at the last look; `words` say what


@dataclass(frozen=True, slots=True)
class Intent:
    """What is about to be deleted. Paths are relative to the instrument's folder, as `paths.to_text` writes them.

    digest: BLAKE3, as read from the medium. aside: the name that it bears between the last look and its end.
    copies: where its verified copies lie. rule: by which it may go.
    """

    instrument: str
    dataset: str
    path: str
    kind: str
    size: int
    digest: str
    mtime_ns: int
    aside: str
    copies: Sequence[Mapping[str, Any]]
    rule: str
    person: str


@dataclass(frozen=True, slots=True)
class Purged:
    """A row of the record. ended_at: when its end was known."""

    id: int
    intent: Intent
    intended_at: float
    state: PurgeState
    ended_at: float | None
    words: str


def intend(connection: Connection, intents: Sequence[Intent], *, at: float) -> list[int]:
    """Write down what is about to be deleted; return the ids of the rows, in order."""
    ids: list[int] = []
    for each in intents:
        row = asdict(each) | {
            "intended_at": at,
            "state": PurgeState.INTENDED,
            "words": "",
            "copies": [dict(c) for c in each.copies],
        }
        ids.append(connection.execute(insert(purged).values(row).returning(purged.c.id)).scalar_one())
    return ids


def end(connection: Connection, row_id: int, state: PurgeState, *, words: str = "", at: float) -> None:
    """Write down what became of a file that was to be deleted; a row that has ended is left as it is."""
    open_one = (purged.c.id == row_id) & (purged.c.state == PurgeState.INTENDED)
    connection.execute(update(purged).where(open_one).values(state=state, words=storable(words), ended_at=at))


def intended(connection: Connection) -> list[Purged]:
    """Return the rows whose end is not known: what a run that was killed has left."""
    query = select(purged).where(purged.c.state == PurgeState.INTENDED).order_by(purged.c.id)
    return [_purged(found) for found in connection.execute(query)]


def latest(connection: Connection, *, limit: int, dataset: tuple[str, str] | None = None) -> list[Purged]:
    """Return the latest rows, newest first. dataset: of this instrument and dataset only."""
    query = select(purged).order_by(purged.c.id.desc()).limit(limit)
    if dataset is not None:
        query = query.where(purged.c.instrument == dataset[0], purged.c.dataset == dataset[1])
    return [_purged(found) for found in connection.execute(query)]


def of_paths(connection: Connection, instrument: str, wanted: Sequence[str]) -> dict[str, Purged]:
    """Return the latest deletion of each of these paths, where there was one."""
    found: dict[str, Purged] = {}
    for start in range(0, len(wanted), _CHUNK):
        chunk = list(wanted[start : start + _CHUNK])
        query = (
            select(purged)
            .where(purged.c.instrument == instrument, purged.c.path.in_(chunk), purged.c.state == PurgeState.DELETED)
            .order_by(purged.c.id)
        )
        found |= {row.path: _purged(row) for row in connection.execute(query)}
    return found


def bytes_since(connection: Connection, instrument: str, instant: float) -> int:
    """Return how many bytes were deleted in an instrument's folder since an instant."""
    query = select(func.sum(purged.c.size)).where(
        purged.c.instrument == instrument, purged.c.state == PurgeState.DELETED, purged.c.ended_at > instant
    )
    return int(connection.execute(query).scalar() or 0)


def totals(connection: Connection) -> tuple[int, int]:
    """Return how many files, and bytes, were ever deleted."""
    query = select(func.count(), func.sum(purged.c.size)).where(purged.c.state == PurgeState.DELETED, purged.c.kind != "folder")
    count, size = connection.execute(query).one()
    return count, int(size or 0)


def show_list(connection: Connection, digest: str, *, person: str, files: int, size: int, at: float) -> None:
    """Write down that somebody was shown what would be deleted."""
    row = {"digest": digest, "at": at, "person": storable(person), "files": files, "bytes": size}
    connection.execute(insert(purge_lists).values(row))


def shown_at(connection: Connection, digest: str, *, person: str) -> float | None:
    """Return when a person was last shown this very list; None where never."""
    shown = purge_lists.c.digest == storable(digest)
    query = select(func.max(purge_lists.c.at)).where(shown, purge_lists.c.person == storable(person))
    return connection.execute(query).scalar()


def _purged(row: Row[Any]) -> Purged:
    fields = dict(row._mapping)
    own = {name: fields.pop(name) for name in ("id", "intended_at", "state", "ended_at", "words")}
    return Purged(own["id"], Intent(**fields), own["intended_at"], PurgeState(own["state"]), own["ended_at"], own["words"])
