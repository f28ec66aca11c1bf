"""Movies made with a configured gain or defect map that is another now: counted and told, done again only when asked.

What lies with a session is watched, and its movies follow it. What the configuration names is a file of the facility that may be
replaced in the midst of many sessions: a person decides whether finished movies are made again with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from passerelle.service.instruments import Instrument
from passerelle.store import Movie, Session, movies

_SEEN = {"gain": "gain_seen", "defects": "defects_seen"}


def configured(instrument: Instrument) -> dict[str, Path]:
    """Return the references that the configuration names for an instrument."""
    named = {"gain": instrument.settings.gain, "defects": instrument.settings.defects}
    return {kind: path for kind, path in named.items() if path is not None}


def seen_now(instrument: Instrument) -> dict[str, str]:
    """Return what tells the content of the configured references, to be kept with a movie's inputs; of one away, nothing."""
    seen: dict[str, str] = {}
    for kind, path in configured(instrument).items():
        try:
            status = path.stat()
        except OSError:
            continue
        seen[_SEEN[kind]] = f"{status.st_size} {status.st_mtime_ns}"
    return seen


def watched_inputs(inputs: Mapping[str, Any], instrument: Instrument, *, finished: bool) -> dict[str, Any]:
    """Return of a movie's inputs what has it done again by itself when it changes."""
    left_out = {*_SEEN.values(), *(configured(instrument) if finished else ())}
    return {name: inner for name, inner in inputs.items() if name not in left_out}


def former(inputs: Mapping[str, Any], instrument: Instrument, now: Mapping[str, str]) -> bool:
    """Say whether a movie with these inputs was made with another gain or defect map than `now` (`seen_now`) would be."""
    for kind, path in configured(instrument).items():
        if not inputs:
            continue  # made before inputs were kept
        before, after = inputs.get(_SEEN[kind]), now.get(_SEEN[kind])
        if inputs.get(kind) != str(path) or (before is not None and after is not None and before != after):
            return True
    return False


def made_with_former(connection: Connection, session: Session, instrument: Instrument) -> list[int]:
    """Return the finished movies of a session that were made with another gain or defect map than is configured now."""
    if not configured(instrument):
        return []
    now = seen_now(instrument)
    return [movie_id for movie_id, inputs in movies.inputs_of_done(connection, session.id) if former(inputs, instrument, now)]


def note(movie: Movie, instrument: Instrument | None) -> str:
    """Return what the page of a movie should say of its references; empty while they are the present ones."""
    if instrument is None or not movie.steps or not former(movie.inputs, instrument, seen_now(instrument)):
        return ""
    return (
        "It was made with another gain reference or defect map than is configured now. Process it again to use the present one."
    )
