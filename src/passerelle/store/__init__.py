"""Rows <-> values, on SQLite and PostgreSQL alike. Plain functions that take a connection; decides nothing."""

from passerelle.store import (
    alerts,
    audit,
    events,
    files,
    fills,
    movies,
    mutes,
    notices,
    paths,
    people,
    purges,
    sessions,
    statistics,
    tokens,
    transfers,
    zones,
)
from passerelle.store.database import Database, connect
from passerelle.store.values import Alert, Event, File, Movie, Session

__all__ = [
    "Alert",
    "Database",
    "Event",
    "File",
    "Movie",
    "Session",
    "alerts",
    "audit",
    "connect",
    "events",
    "files",
    "fills",
    "movies",
    "mutes",
    "notices",
    "paths",
    "people",
    "purges",
    "sessions",
    "statistics",
    "tokens",
    "transfers",
    "zones",
]
