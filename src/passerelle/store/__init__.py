"""Rows <-> values, on SQLite and PostgreSQL alike. Plain functions that take a connection; decides nothing."""

from passerelle.store import alerts, events, files, movies, paths, sessions, statistics
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
    "connect",
    "events",
    "files",
    "movies",
    "paths",
    "sessions",
    "statistics",
]
