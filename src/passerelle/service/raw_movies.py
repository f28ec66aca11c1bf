"""Movies whose raw files lie in the gateway no more: they keep their results, and cannot be done again from here."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection

from passerelle.core.errors import printable
from passerelle.core.states import FileState
from passerelle.service.flow import main_files
from passerelle.store import Movie, Session, files, purges
from passerelle.store.paths import from_text
from passerelle.store.purges import Purged


def gone_raw(connection: Connection, session: Session, wanted: Iterable[Movie]) -> set[int]:
    """Return those of these movies, of one session, of which no raw file is left in the gateway."""
    movies = list(wanted)
    companions = files.of_movies(connection, session.id, [movie.key for movie in movies])
    gone: set[int] = set()
    for movie in movies:
        main = main_files(companions[movie.key])
        if main and all(file.state is FileState.GONE for file in main):
            gone.add(movie.id)
    return gone


def raw_note(connection: Connection, session: Session, movie: Movie) -> str:
    """Say where the raw movie is, if it lies in the gateway no more; else nothing."""
    if movie.id not in gone_raw(connection, session, [movie]):
        return ""
    main = main_files(files.of_movies(connection, session.id, [movie.key])[movie.key])
    found = purges.of_paths(connection, session.instrument, [file.path for file in main])
    if not found:
        return "Its raw movie is gone: it was removed from the gateway."
    latest = max(found.values(), key=lambda row: row.id)
    day = datetime.fromtimestamp(latest.ended_at or latest.intended_at, UTC).strftime("%Y-%m-%d")
    return f"Its raw movie was purged from the gateway on {day}, by rule. {' '.join(_copies(latest))}"


def _copies(row: Purged) -> Collection[str]:
    """Say of each copy where it lies, and whether it can be seen from here."""
    words: list[str] = []
    for copy in row.intent.copies:
        source = str(row.intent.path)[len(row.intent.dataset) :].lstrip("/") if row.intent.dataset else row.intent.path
        within = f"{copy['within']}/{source}" if copy["within"] else source
        path = Path(from_text(str(copy["folder"]))) / from_text(within)
        seen = "" if os.access(path, os.F_OK) else " (which cannot be seen from here now)"
        words.append(f"A verified copy lies in zone {copy['zone']}: {printable(str(path), 600)}{seen}.")
    return words
