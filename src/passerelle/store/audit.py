"""The audit log: who did what, when, from where, with what result. Rows are added, never changed: the database refuses that.

Each row carries the digest of itself and of the chain before it, so that a row changed or taken out with the database's own tools
is found by `broken_at`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from blake3 import blake3
from sqlalchemy import Connection, Row, insert, select

from passerelle.store.paths import storable
from passerelle.store.tables_people import audit

_BATCH = 5000


@dataclass(frozen=True, slots=True)
class Entry:
    """One act. result: done, refused or failed; words: why not. through: page, token, command or service."""

    id: int
    at: float
    person: str
    through: str
    address: str
    act: str
    subject: str
    result: str
    words: str
    data: Mapping[str, Any]
    chain: str


def add(
    connection: Connection,
    *,
    at: float,
    person: str,
    through: str,
    act: str,
    result: str,
    address: str = "",
    subject: str = "",
    words: str = "",
    data: Mapping[str, Any] | None = None,
) -> None:
    """Write one act down, in the transaction of the change that it tells of. Call it within `Database.write` only."""
    row: dict[str, Any] = {
        "at": at,
        "person": storable(person)[:80],
        "through": through,
        "address": storable(address)[:64],
        "act": act,
        "subject": storable(subject)[:1000],
        "result": result,
        "words": storable(words)[:2000],
        # through JSON and back: what is digested is what will be read
        "data": json.loads(storable(json.dumps(dict(data or {}), default=str))),
    }
    before = connection.execute(select(audit.c.chain).order_by(audit.c.id.desc()).limit(1)).scalar() or ""
    connection.execute(insert(audit).values(**row, chain=_link(before, row)))


def latest(
    connection: Connection,
    *,
    limit: int = 100,
    before: int | None = None,
    person: str | None = None,
    subject: str | None = None,
    act: str | None = None,
) -> list[Entry]:
    """Return the latest acts, newest first: those with an id below `before`, of one person, on one subject, of one kind."""
    query = select(audit).order_by(audit.c.id.desc()).limit(limit)
    for column, wanted in ((audit.c.person, person), (audit.c.subject, subject), (audit.c.act, act)):
        if wanted is not None:
            query = query.where(column == storable(wanted))
    if before is not None:
        query = query.where(audit.c.id < before)
    return [_entry(found) for found in connection.execute(query)]


def after(connection: Connection, last: int, *, limit: int) -> list[Entry]:
    """Return at most `limit` acts with an id above `last`, oldest first."""
    query = select(audit).where(audit.c.id > last).order_by(audit.c.id).limit(limit)
    return [_entry(found) for found in connection.execute(query)]


def broken_at(connection: Connection) -> int | None:
    """Return the id of the first row that is not what was written, or whose forerunner is missing; None where all are sound."""
    chain, after = "", 0
    while True:
        rows = connection.execute(select(audit).where(audit.c.id > after).order_by(audit.c.id).limit(_BATCH)).all()
        for found in rows:
            row: dict[str, Any] = dict(found._mapping)
            after, written = row.pop("id"), row.pop("chain")
            chain = _link(chain, row)
            if chain != written:
                return after
        if not rows:
            return None


def _entry(row: Row[Any]) -> Entry:
    fields: dict[str, Any] = dict(row._mapping)
    return Entry(**fields)


def _link(before: str, row: Mapping[str, Any]) -> str:
    canonical = json.dumps(row, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return blake3(f"{before}\n{canonical}".encode()).hexdigest()
