"""What became of one name of a dataset, as a value that also passes between processes."""

from __future__ import annotations

from typing import Any, NamedTuple

from passerelle.core import errors
from passerelle.core.errors import PasserelleError
from passerelle.transfer.manifest import Row

# what is said of a file that was copied more than once
CHANGED = "It changed while it was copied; it was copied again."
NOT_SYNCED = "Its bytes did not reach the medium; it was copied again."
BATCH_NOT_SYNCED = "The batch could not be synced; each file was copied again."


class Problem(NamedTuple):
    """Why a file is not there: the class of the error, its sentence, and what to do. path: beneath the dataset."""

    path: str
    kind: str
    message: str
    advice: str = ""

    @property
    def error(self) -> PasserelleError:
        """The error itself, to be raised."""
        kind: type[PasserelleError] = getattr(errors, self.kind)
        return kind(self.message, advice=self.advice)


class Outcome(NamedTuple):
    """What became of one file. row: of a verified copy; problem: why there is none. notes: what a person should know of it."""

    path: str
    row: Row | None = None
    problem: Problem | None = None
    notes: tuple[str, ...] = ()
    bytes: int = 0


def differed(blocks: str) -> str:
    """Say which blocks of a copy came back from the medium other than they were written."""
    return f"On the medium {blocks} differed from what was written; it was copied again."


def problem_of(path: str, error: PasserelleError) -> Problem:
    """Return an error as a value; the file that it names stands in its message."""
    where = f"{errors.printable(error.path)}: " if error.path else ""
    return Problem(path, type(error).__name__, where + error.message, error.advice)


def row_from(fields: list[Any] | None) -> Row | None:
    """Read a row that came as JSON."""
    if not fields:
        return None
    fields[-1] = tuple((name, digest) for name, digest in fields[-1]) if fields[-1] else ()
    return Row._make(fields)


def outcome_from(fields: list[Any]) -> Outcome:
    """Read an outcome that came as JSON from a worker process."""
    path, row, problem, notes, size = fields
    return Outcome(path, row_from(row), Problem(*problem) if problem else None, tuple(notes), size)
