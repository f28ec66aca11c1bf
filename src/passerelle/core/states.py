"""The states of things that live through time, and the only moves they may make."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, TypeVar

from passerelle.core.errors import IllegalMove


class FileState(StrEnum):
    """A file in a gateway folder, as the watch knows it."""

    GROWING = "growing"  # seen, not yet whole
    WHOLE = "whole"  # closed, complete by its header, quiet: taken up
    UNFINISHED = "unfinished"  # has not become whole for a long time; shown to the operator
    BAD = "bad"  # will never be whole: wrong magic, corrupt header
    GONE = "gone"  # was there, is not any more


class MovieState(StrEnum):
    """A movie on its way from the gateway to a judged micrograph."""

    FOUND = "found"  # known, but its file (or frames, or gain) is not whole yet
    QUEUED = "queued"  # waits for a worker
    RUNNING = "running"  # a worker has it
    DONE = "done"  # processed and judged
    FAILED = "failed"  # set aside after its last retry, with its error in words
    GONE = "gone"  # its file was removed before it was processed


class SessionState(StrEnum):
    """A stay at the microscope: one folder tree of one acquisition program."""

    OPEN = "open"
    CLOSED = "closed"


class Verdict(StrEnum):
    """What the thresholds say of a micrograph."""

    ACCEPT = "accept"
    WARN = "warn"
    REJECT = "reject"


class ZoneState(StrEnum):
    """A place on central storage."""

    ACTIVE = "active"  # may be read and written by those who may
    ARCHIVED = "archived"  # kept as it is: read by those who might, written by nobody


class PersonState(StrEnum):
    """An account."""

    ENABLED = "enabled"
    DISABLED = "disabled"  # may not log in; what it owns stays


class TransferState(StrEnum):
    """A dataset on its way to a zone."""

    QUEUED = "queued"  # waits for its turn
    RUNNING = "running"  # a process copies it
    PAUSED = "paused"  # a person holds it; what is verified stays
    DONE = "done"  # everything is there and verified; the certificate says so
    INCOMPLETE = "incomplete"  # it came to its end, and some files are not there: a retry copies these
    FAILED = "failed"  # it could not go on, with its reason in words; what is verified stays
    CANCELLED = "cancelled"  # a person has ended it; what is verified stays


_State = TypeVar("_State", FileState, MovieState, SessionState, ZoneState, PersonState, TransferState)


def _table(rows: dict[_State, set[_State]]) -> dict[_State, frozenset[_State]]:
    return {state: frozenset(targets) for state, targets in rows.items()}


_FILE = FileState
_MOVIE = MovieState

FILE_MOVES = _table(
    {
        _FILE.GROWING: {_FILE.WHOLE, _FILE.UNFINISHED, _FILE.BAD, _FILE.GONE},
        _FILE.WHOLE: {_FILE.GROWING, _FILE.GONE},
        _FILE.UNFINISHED: {_FILE.GROWING, _FILE.WHOLE, _FILE.BAD, _FILE.GONE},
        _FILE.BAD: {_FILE.GROWING, _FILE.WHOLE, _FILE.GONE},
        _FILE.GONE: {_FILE.GROWING, _FILE.WHOLE},
    }
)

MOVIE_MOVES = _table(
    {
        _MOVIE.FOUND: {_MOVIE.QUEUED, _MOVIE.FAILED, _MOVIE.GONE},
        _MOVIE.QUEUED: {_MOVIE.RUNNING, _MOVIE.FOUND, _MOVIE.FAILED, _MOVIE.GONE},
        # back to QUEUED: the worker or the service died, or a retry; to FOUND: the file was opened again
        _MOVIE.RUNNING: {_MOVIE.DONE, _MOVIE.QUEUED, _MOVIE.FAILED, _MOVIE.FOUND, _MOVIE.GONE},
        _MOVIE.DONE: {_MOVIE.QUEUED, _MOVIE.FOUND},
        _MOVIE.FAILED: {_MOVIE.QUEUED, _MOVIE.FOUND, _MOVIE.GONE},
        _MOVIE.GONE: {_MOVIE.FOUND, _MOVIE.QUEUED},
    }
)

SESSION_MOVES = _table({SessionState.OPEN: {SessionState.CLOSED}, SessionState.CLOSED: {SessionState.OPEN}})
ZONE_MOVES = _table({ZoneState.ACTIVE: {ZoneState.ARCHIVED}, ZoneState.ARCHIVED: {ZoneState.ACTIVE}})
PERSON_MOVES = _table({PersonState.ENABLED: {PersonState.DISABLED}, PersonState.DISABLED: {PersonState.ENABLED}})

_TRANSFER = TransferState

TRANSFER_MOVES = _table(
    {
        _TRANSFER.QUEUED: {_TRANSFER.RUNNING, _TRANSFER.PAUSED, _TRANSFER.FAILED, _TRANSFER.CANCELLED},
        # back to QUEUED: its process or the service died, or the target was busy
        _TRANSFER.RUNNING: {
            _TRANSFER.DONE,
            _TRANSFER.INCOMPLETE,
            _TRANSFER.FAILED,
            _TRANSFER.PAUSED,
            _TRANSFER.CANCELLED,
            _TRANSFER.QUEUED,
        },
        _TRANSFER.PAUSED: {_TRANSFER.QUEUED, _TRANSFER.CANCELLED},
        _TRANSFER.DONE: set(),  # what is sent again is a transfer of its own: the certificate of this one stands
        _TRANSFER.INCOMPLETE: {_TRANSFER.QUEUED},
        _TRANSFER.FAILED: {_TRANSFER.QUEUED},
        _TRANSFER.CANCELLED: {_TRANSFER.QUEUED},
    }
)

# A table a kind: equal words of two kinds ("gone") are equal strings and would share one row.
_TABLES: dict[type[StrEnum], Any] = {
    FileState: FILE_MOVES,
    MovieState: MOVIE_MOVES,
    SessionState: SESSION_MOVES,
    ZoneState: ZONE_MOVES,
    PersonState: PERSON_MOVES,
    TransferState: TRANSFER_MOVES,
}


def moves(state: _State) -> frozenset[_State]:
    """Return the states that `state` may become."""
    return _TABLES[type(state)][state]


def move(current: _State, target: _State, *, what: str) -> _State:
    """Return `target` if the table permits the move from `current`.

    Raises:
        IllegalMove: with the whole story: what, from where, to where, what would be permitted.
    """
    permitted = moves(current)
    if target not in permitted:
        choices = ", ".join(sorted(permitted)) or "nothing"
        raise IllegalMove(f"{what} is {current.value} and cannot become {target.value}; from there it may become: {choices}.")
    return target
