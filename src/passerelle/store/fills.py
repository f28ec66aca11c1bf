"""How full the disks of gateway folders were, sampled, so that forecasts outlive a restart."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select

from passerelle.store.tables_care import fills


@dataclass(frozen=True, slots=True)
class Fill:
    """The room on a disk at an instant."""

    at: float
    free_bytes: int
    total_bytes: int


def add(connection: Connection, place: str, fill: Fill, *, keep_seconds: float) -> None:
    """Write down a sample, and forget those that are older than `keep_seconds`."""
    row = {"place": place, "at": fill.at, "free_bytes": fill.free_bytes, "total_bytes": fill.total_bytes}
    connection.execute(insert(fills).values(row))
    connection.execute(delete(fills).where(fills.c.place == place, fills.c.at < fill.at - keep_seconds))


def since(connection: Connection, place: str, instant: float) -> list[Fill]:
    """Return the samples of a place since an instant, oldest first."""
    query = select(fills).where(fills.c.place == place, fills.c.at >= instant).order_by(fills.c.at)
    return [Fill(found.at, found.free_bytes, found.total_bytes) for found in connection.execute(query)]
