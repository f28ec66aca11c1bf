"""One transfer on its way: the process that brings it, what that said last, and what it has come to."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from passerelle.core import errors
from passerelle.core.errors import PasserelleError, ProgramFailed, printable
from passerelle.core.states import TransferState
from passerelle.programs import Conversation
from passerelle.store.transfers import Transfer
from passerelle.transfer.courier import COMMAND, MOST_TOLD, Order
from passerelle.transfer.handed import Handed

_STOP_SECONDS = 20.0  # a courier that was asked to stop and hangs, perhaps in a dead mount, is killed
_LATEST = 12
_STOPS = frozenset({"OutOfSpace", "Unreachable"})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a transfer has come to. error: why it did not come to an end; values: of its row."""

    state: TransferState | None  # None: it was asked to stop, and has
    values: Mapping[str, Any] = field(default_factory=dict[str, Any])
    error: PasserelleError | None = None


class Courier(Protocol):
    """A process that brings a dataset, as a carriage speaks with it; `Conversation` says what each does."""

    def say(self, line: str) -> None: ...
    def heard(self) -> list[str]: ...
    def code(self) -> int | None: ...
    def last_words(self) -> str: ...
    def close(self) -> None: ...


def start_courier(order: Order, hand: Path | None = None) -> Courier:
    """Start the process that brings what is ordered; by root's hand, which listens at `hand`, where that is given.

    Raises:
        StorageError: it cannot be started. Busy, NotAllowed: as `Handed`.
    """
    if hand is not None:
        return Handed(hand, order)
    courier = Conversation([sys.executable, *COMMAND])
    courier.say(order.line())
    return courier


class Carriage:
    """A transfer that runs. Used by one thread, which must be the one that made it."""

    def __init__(self, transfer: Transfer, courier: Courier, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Take a courier on its way."""
        self.transfer = transfer
        self.outcome: Outcome | None = None
        self._before = (transfer.moved_bytes, transfer.seconds)
        self._clock = clock
        self._values: dict[str, Any] = {}
        self._latest: list[list[Any]] = []
        self._problems: list[dict[str, str]] = []
        self._last: dict[str, Any] = {}
        self._stopped_at: float | None = None
        self._closed = False
        self._courier = courier

    @property
    def stopping(self) -> bool:
        """Whether it was asked to stop."""
        return self._stopped_at is not None

    def stop(self) -> None:
        """Ask it to end as soon as can be; what is verified stays."""
        if self._stopped_at is None:
            self._stopped_at = self._clock()
            self._courier.say(json.dumps({"word": "stop"}))

    def close_source(self) -> None:
        """Tell it that nothing more comes to the source."""
        if not self._closed:
            self._closed = True
            self._courier.say(json.dumps({"word": "close"}))

    def look(self) -> bool:
        """Take in what was said; return whether there is anything new to write down."""
        if self.outcome is not None:
            return True
        ended = self._courier.code()
        lines = self._courier.heard()
        for line in lines:
            self._take(json.loads(line))
        if ended is not None:
            self.outcome = self._came_to(ended)
            self._courier.close()
        elif self._stopped_at is not None and self._clock() - self._stopped_at > _STOP_SECONDS:
            self._courier.close()
            self.outcome = Outcome(None)
        return bool(lines) or self.outcome is not None

    def kill(self) -> None:
        """End it at once."""
        self._courier.close()

    def values(self) -> Mapping[str, Any]:
        """Return how far it is, as columns of its row."""
        return self._values

    def _take(self, said: dict[str, Any]) -> None:
        if "progress" in said:
            self._latest = [*self._latest, *([printable(path), size] for path, size in said["latest"])][-_LATEST:]
            self._problems += [_problem(each) for each in said["problems"]]
            del self._problems[MOST_TOLD:]
            self._count(said["progress"])
        else:
            self._last = said

    def _count(self, progress: dict[str, Any]) -> None:
        moved, seconds = self._before
        self._values |= {
            "files": progress["files"],
            "bytes": progress["bytes"],
            "known_files": progress["known_files"],
            "known_bytes": progress["known_bytes"],
            "moved_bytes": moved + progress["moved"],
            "seconds": seconds + progress["seconds"],
            "problem_count": progress["problems"],
            "problems": self._problems,
            "progress": {
                "listing": progress["listing"],
                "bytes_per_second": progress["bytes_per_second"],
                "latest": self._latest,
            },
        }

    def _came_to(self, code: int) -> Outcome:
        if "error" in self._last:
            kind, message, advice = self._last["error"]
            return Outcome(TransferState.FAILED, {}, _error(kind, message, advice))
        if "ended" not in self._last:
            if self.stopping:
                return Outcome(None)
            how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
            words = self._courier.last_words() or "it gave no reason"
            return Outcome(TransferState.FAILED, {}, ProgramFailed(f"The process of this transfer {how}: {words}"))
        return self._ended(self._last["ended"])

    def _ended(self, done: dict[str, Any]) -> Outcome:
        moved, seconds = self._before
        problems = [_problem(each) for each in done["problems"]]
        values = {
            "files": done["files"],
            "bytes": done["bytes"],
            "moved_bytes": moved + done["copied_bytes"],
            "seconds": seconds + done["seconds"],
            "problem_count": done["problem_count"],
            "problems": problems,
            "note_count": done["note_count"],
            "notes": [{"path": printable(path), "note": printable(note)} for path, note in done["notes"]],
        }
        if done["cancelled"]:
            return Outcome(None, values)
        values["known_files"], values["known_bytes"] = (
            done["files"] + done["problem_count"],
            max(done["bytes"], self._values.get("known_bytes", 0)),
        )
        if not done["problem_count"]:
            return Outcome(TransferState.DONE, values | {"manifest_digest": done["manifest_digest"] or None})
        grave = next((each for each in problems if each["error"] in _STOPS), None)
        if grave is not None:
            return Outcome(TransferState.FAILED, values, _error(grave["error"], grave["message"], grave["advice"]))
        return Outcome(TransferState.INCOMPLETE, values)


def _problem(fields: list[str]) -> dict[str, str]:
    path, kind, message, advice = fields
    return {"path": printable(path), "error": kind, "message": printable(message, 1000), "advice": advice}


def _error(kind: str, message: str, advice: str) -> PasserelleError:
    made: type[PasserelleError] = getattr(errors, kind, PasserelleError)
    return made(printable(message, 1000), advice=advice)
