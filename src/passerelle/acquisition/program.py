"""What passerelle asks of its knowledge about an acquisition program: path -> role, sidecar -> values. Pure: no disk."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath
from typing import ClassVar, Protocol

from passerelle.acquisition.metadata import Metadata


class Role(StrEnum):
    """What a file is to the session that it belongs to."""

    MOVIE = "movie"
    FRAME = "frame"  # one frame of a movie that is stacked from single files
    GAIN = "gain"
    DEFECTS = "defects"
    MOVIE_METADATA = "movie_metadata"  # XML, mdoc: of one movie
    SESSION_METADATA = "session_metadata"  # EpuSession.dm
    ATLAS = "atlas"
    GRID_SQUARE = "grid_square"
    FOIL_HOLE = "foil_hole"
    PREVIEW = "preview"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Place:
    """What a path inside an instrument's folder means.

    session: the session's root, relative to the instrument's folder. movie: the key that joins a movie, its frames
    and its sidecars (None for files of the session). frame: the index of a single-frame file. expects: roles of companions
    that this program always writes beside a movie.
    """

    session: PurePosixPath
    role: Role
    movie: str | None = None
    frame: int | None = None
    expects: frozenset[Role] = frozenset()


class AcquisitionProgram(Protocol):
    """Knowledge of one acquisition program's names and sidecar files."""

    name: ClassVar[str]

    def place(self, path: PurePosixPath) -> Place | None:
        """Say what `path` (relative to the instrument's folder) means; None if this program would not write it."""
        ...

    def read_sidecar(self, path: PurePosixPath, content: bytes) -> Metadata:
        """Read a MOVIE_METADATA file.

        Raises:
            BadFile: not what its name says, hostile (entities, depth), or truncated.
        """
        ...
