"""Which files of a dataset are sent where that is not all of it: decided from names and verdicts, without looking at a disk."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from enum import StrEnum
from pathlib import PurePosixPath

from passerelle.acquisition import AcquisitionProgram
from passerelle.core.errors import BadInput
from passerelle.service.export import accepted
from passerelle.store import Movie
from passerelle.store.paths import to_text

Key = tuple[str, str]  # a session's root and a movie's key, as `store.paths` writes them


class SelectionKind(StrEnum):
    """What of a dataset is sent."""

    WHOLE = "whole"
    ACCEPTED = "accepted"  # accepted movies, their sidecars, and everything that is no movie
    SQUARES = "squares"  # the movies of chosen grid squares, likewise


def selected(kind: SelectionKind, squares: Collection[str], movies: Sequence[Movie]) -> list[Movie]:
    """Return the movies that are sent. A mark (warn) does not exclude; a person's choice counts before the thresholds.

    Raises:
        BadInput: squares were chosen, and none is named.
    """
    if kind is SelectionKind.ACCEPTED:
        return accepted(movies)
    if kind is SelectionKind.SQUARES:
        if not squares:
            raise BadInput("No grid square is named.", advice="Name at least one, or send the whole dataset.")
        return [movie for movie in movies if movie.grid_square in squares]
    return list(movies)


def words(kind: SelectionKind, squares: Collection[str]) -> str:
    """Return a selection as the manifest and the certificate say it; empty for the whole."""
    if kind is SelectionKind.ACCEPTED:
        return "accepted movies, their sidecars, and all files that are no movie"
    if kind is SelectionKind.SQUARES:
        return f"movies of grid squares {', '.join(sorted(squares))}, their sidecars, and all files that are no movie"
    return ""


def left_out(paths: Iterable[str], program: AcquisitionProgram, source: PurePosixPath, chosen: Collection[Key]) -> frozenset[str]:
    """Return the paths that are not sent: files of movies that are not chosen, with their frames, sidecars and previews.

    paths: beneath the dataset. source: of the dataset, in the instrument's folder. What belongs to no movie is always sent:
    references, atlas, pictures of squares and holes, files of the session, and whatever nobody knows.
    """
    wanted = frozenset(chosen)
    out: set[str] = set()
    for path in paths:
        place = program.place(source / path)
        if place is None or place.movie is None:
            continue
        if (root_text(place.session), to_text(place.movie)) not in wanted:
            out.add(path)
    return frozenset(out)


def root_text(session: PurePosixPath | str) -> str:
    """Return a session's root as a source is written: "" for the instrument's folder itself."""
    text = to_text(session)
    return "" if text == "." else text
