"""What a person is to be told of a copy: problems and notes, from many threads."""

from __future__ import annotations

import threading

from passerelle.core.errors import PasserelleError
from passerelle.transfer.outcome import Problem, problem_of

_MOST_LISTED = 1000  # problems and notes that are named; all are counted


class Report:
    """Keeps the last problem of each path, and each note once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._problems: dict[str, Problem] = {}
        self._notes: dict[tuple[str, str], None] = {}
        self._note_count = 0

    def problem(self, problem: Problem) -> None:
        """Say why a file is not there."""
        with self._lock:
            self._problems[problem.path] = problem

    def trouble(self, path: str, error: PasserelleError) -> None:
        """Say what went wrong with a path."""
        self.problem(problem_of(path, error))

    def note(self, path: str, note: str) -> None:
        """Say what a person should know of a file that is there."""
        with self._lock:
            if (path, note) in self._notes:
                return
            self._note_count += 1
            if len(self._notes) < _MOST_LISTED:
                self._notes[path, note] = None

    def forget_problems(self) -> None:
        """Begin anew with what is wrong: every file is looked at again."""
        with self._lock:
            self._problems.clear()

    @property
    def troubled(self) -> frozenset[str]:
        """The paths that have a problem."""
        with self._lock:
            return frozenset(self._problems)

    @property
    def problem_count(self) -> int:
        """How many paths have one."""
        return len(self._problems)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The first thousand."""
        with self._lock:
            return tuple(self._problems.values())[:_MOST_LISTED]

    @property
    def note_count(self) -> int:
        """How many notes there were."""
        return self._note_count

    @property
    def notes(self) -> tuple[tuple[str, str], ...]:
        """Path and words of the first thousand."""
        with self._lock:
            return tuple(self._notes)
