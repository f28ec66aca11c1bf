"""How many frames a movie should have: from its own sidecar, else as its session's earlier movies had."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import PurePosixPath
from threading import Lock

from passerelle.acquisition.program import Place, Role
from passerelle.gateway.change import ExpectedFrames

_SIDECARS_KEPT = 100_000


class Expectations:
    """What is known so far of frame counts. Safe to use from several threads.

    An instance is a callback for `InstrumentFolder.expected_frames`; the caller feeds it as sidecars and movies come in,
    and at the start from its record.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._of_movie: OrderedDict[tuple[PurePosixPath, str], int] = OrderedDict()
        self._of_session: dict[PurePosixPath, tuple[int, int | None]] = {}
        self._contradicted: set[PurePosixPath] = set()

    def sidecar_says(self, place: Place, frames: int) -> None:
        """Note what the sidecar of one movie says; it holds for that movie whatever earlier movies had."""
        if place.movie is None or frames < 1:
            return
        with self._lock:
            self._of_movie[place.session, place.movie] = frames
            self._of_movie.move_to_end((place.session, place.movie))
            if len(self._of_movie) > _SIDECARS_KEPT:
                self._of_movie.popitem(last=False)
            if place.session not in self._of_session:
                self._of_session[place.session] = frames, None

    def movie_had(self, place: Place, frames: int) -> None:
        """Note how many frames a movie had that was handed on.

        More than expected is believed at once; fewer only when two movies in a row agree: the first may have been cut short.
        A movie that differs from its own sidecar shows that the sidecars of its session count something else (fractions, say):
        from then on they are not asked.
        """
        if place.role is not Role.MOVIE or frames < 1:
            return
        with self._lock:
            own = self._of_movie.get((place.session, place.movie)) if place.movie is not None else None
            if own is not None and own != frames and place.session not in self._contradicted:
                self._contradicted.add(place.session)
                self._of_session[place.session] = frames, None
                return
            held, candidate = self._of_session.get(place.session, (0, None))
            if frames >= held or frames == candidate:
                self._of_session[place.session] = frames, None
            else:
                self._of_session[place.session] = held, frames

    def __call__(self, place: Place) -> ExpectedFrames | None:
        """Return what is expected of the movie at `place`; None before anything was learnt, and for what is no movie."""
        if place.role is not Role.MOVIE:
            return None
        with self._lock:
            own = self._of_movie.get((place.session, place.movie)) if place.movie is not None else None
            if own is not None and place.session not in self._contradicted:
                return ExpectedFrames(own, certain=True)
            held = self._of_session.get(place.session)
        return ExpectedFrames(held[0]) if held else None
