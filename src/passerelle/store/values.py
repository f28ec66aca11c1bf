"""The rows of the tables as frozen values; paths as text (`store.paths`), instants as UTC seconds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Row

from passerelle.core.states import FileState, MovieState, SessionState, Verdict


@dataclass(frozen=True, slots=True)
class Session:
    """A stay at the microscope. root: in the instrument's folder. recipe, thresholds: as `processing.recipe` dumps them."""

    id: int
    instrument: str
    root: str
    name: str
    program: str
    state: SessionState
    opened_at: float
    last_file_at: float | None
    closed_at: float | None
    expected_frames: int | None
    recipe: Mapping[str, Any]
    thresholds: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class File:
    """A file of a session. path: relative to the instrument's folder."""

    id: int
    session_id: int
    path: str
    role: str
    movie_key: str | None
    frame: int | None
    state: FileState
    size: int
    mtime_ns: int
    inode: int
    generation: int
    seen_at: float
    closed_at: float | None
    whole_at: float | None
    problem: str | None


@dataclass(frozen=True, slots=True)
class Movie:
    """A movie on its way to a judged micrograph. said: what each source says; metadata: the same, reconciled."""

    id: int
    session_id: int
    key: str
    path: str
    state: MovieState
    generation: int
    attempts: int
    not_before: float | None
    lease_until: float | None
    found_at: float
    acquired_at: float | None
    closed_at: float | None
    whole_at: float | None
    queued_at: float | None
    started_at: float | None
    finished_at: float | None
    fingerprint: str | None
    metrics: Mapping[str, float | None]  # None: it could not be measured
    verdict: Verdict | None
    reasons: tuple[str, ...]
    chosen: Verdict | None
    error: str | None
    advice: str | None
    said: Mapping[str, Mapping[str, Any]]
    metadata: Mapping[str, Any]
    inputs: Mapping[str, Any]
    recipe: Mapping[str, Any] | None
    steps: tuple[Mapping[str, Any], ...]
    grid_square: str | None
    foil_hole: str | None
    interruptions: int


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened, in the order in which it was recorded."""

    id: int
    at: float
    kind: str
    session_id: int | None
    movie_id: int | None
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Alert:
    """Something that a person should look at; open while closed_at is None."""

    id: int
    session_id: int | None
    kind: str
    level: str
    message: str
    advice: str
    opened_at: float
    closed_at: float | None
    instrument: str | None = None


def _numbers(metrics: Mapping[str, float | None]) -> dict[str, float]:
    # JSON has no "not a number": it was stored as null, and means that measuring failed
    return {name: math.nan if inner is None else inner for name, inner in metrics.items()}


_CONVERT: dict[type, dict[str, Any]] = {
    Session: {"state": SessionState},
    File: {"state": FileState},
    Movie: {"metrics": _numbers, "state": MovieState, "verdict": Verdict, "chosen": Verdict, "reasons": tuple, "steps": tuple},
}

_Value = TypeVar("_Value", Session, File, Movie, Event, Alert)


def value(kind: type[_Value], row: Row[Any]) -> _Value:
    """Make a value of a row that was selected with all columns of its table."""
    fields = dict(row._mapping)
    for name, convert in _CONVERT.get(kind, {}).items():
        if fields[name] is not None:
            fields[name] = convert(fields[name])
    return kind(**fields)
