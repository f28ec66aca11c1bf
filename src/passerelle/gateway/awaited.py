"""The files that are not whole yet: found by path, by folder and by movie, and in the order in which to look into them."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Set
from pathlib import PurePosixPath

from passerelle.acquisition.program import Place, Role
from passerelle.gateway.records import Pending


class Awaited:
    """The files of one instrument's folder that are not whole yet, each with the time to look into it, on the monotonic clock.

    A file is planned anew by a second entry in the queue; the time that its record tells says which entry counts.
    """

    def __init__(self) -> None:
        self._files: dict[str, Pending] = {}
        self._names: dict[str, set[str]] = {}  # folder -> names of the files in it
        self._of_movie: dict[tuple[PurePosixPath, str], set[str]] = {}
        self._queue: list[tuple[float, str]] = []

    def __len__(self) -> int:
        return len(self._files)

    def add(self, path: str, pending: Pending) -> None:
        """Await a file; it is looked into at its `due_at`."""
        parent, _, name = path.rpartition("/")
        self._files[path] = pending
        self._names.setdefault(parent, set()).add(name)
        place = pending.place
        if place.role is Role.MOVIE and place.movie is not None:
            self._of_movie.setdefault((place.session, place.movie), set()).add(path)
        heapq.heappush(self._queue, (pending.due_at, path))

    def drop(self, path: str) -> Pending | None:
        """Await a file no more; return what was known of it, None where it was not awaited."""
        pending = self._files.pop(path, None)
        if pending is None:
            return None
        parent, _, name = path.rpartition("/")
        names = self._names[parent]
        names.discard(name)
        if not names:
            del self._names[parent]
        place = pending.place
        if place.movie is not None and (paths := self._of_movie.get((place.session, place.movie))) is not None:
            paths.discard(path)
            if not paths:
                del self._of_movie[place.session, place.movie]
        return pending

    def plan(self, path: str, due_at: float) -> None:
        """Look into an awaited file at `due_at`, whatever was planned before."""
        self._files[path].due_at = due_at
        heapq.heappush(self._queue, (due_at, path))

    def postpone(self, paths: Iterable[str], until: float) -> None:
        """Take in that files which were due could not be looked into now."""
        for path in paths:
            if path in self._files:
                self.plan(path, until)

    def sidecar_taken(self, place: Place, now: float) -> None:
        """Take in that a movie's sidecar was handed on: what is expected of the movie may be known now."""
        if place.movie is None:
            return
        for path in self._of_movie.get((place.session, place.movie), ()):
            self.plan(path, min(self._files[path].due_at, now))

    def due(self, now: float, limit: int) -> list[str]:
        """Return up to `limit` files to look into now; each must be `judged` by the tracker, or postponed."""
        paths: list[str] = []
        while self._queue and self._queue[0][0] <= now and len(paths) < limit:
            due_at, path = heapq.heappop(self._queue)
            pending = self._files.get(path)
            if pending is not None and pending.due_at == due_at:
                paths.append(path)
        return paths

    def next_due(self) -> float | None:
        """Return when the next file is due, None where none is awaited."""
        return self._queue[0][0] if self._queue else None

    def get(self, path: str) -> Pending | None:
        """Return what is known of an awaited file, None where it is not awaited."""
        return self._files.get(path)

    def names_in(self, parent: str) -> Set[str]:
        """Return the names of the awaited files of one folder."""
        return self._names.get(parent, frozenset())

    def count_in(self, parent: str) -> int:
        """Return how many files of one folder are awaited, but for those that were given up for now."""
        inside = f"{parent}/" if parent else ""
        return sum(not self._files[inside + name].notice_told for name in self._names.get(parent, ()))

    def folders(self) -> Set[str]:
        """Return the folders in which files are awaited."""
        return self._names.keys()
