"""A plain folder of movies that no known program marks: every movie suffix is a movie, gain and defects go by their names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import ClassVar

from passerelle.acquisition.metadata import Metadata
from passerelle.acquisition.naming import (
    MOVIE_SUFFIXES,
    PICTURE_SUFFIXES,
    folder_session,
    is_temporary,
    movie_key,
    reference_role,
)
from passerelle.acquisition.program import Place, Role
from passerelle.core.errors import UnsupportedFile


@dataclass(frozen=True, slots=True)
class Generic:
    """Movies without a known program."""

    name: ClassVar[str] = "generic"

    def place(self, path: PurePosixPath) -> Place | None:
        """Say what `path` means; nothing is foreign to a plain folder, so there is always an answer."""
        session = folder_session(path)
        suffix = path.suffix.lower()
        if is_temporary(path.name):
            return Place(session, Role.OTHER)
        reference = reference_role(path.name)
        if reference is not None:
            return Place(session, reference)
        if suffix in MOVIE_SUFFIXES:
            return Place(session, Role.MOVIE, movie_key(session, path))
        if suffix in PICTURE_SUFFIXES:
            return Place(session, Role.PREVIEW, movie_key(session, path))
        return Place(session, Role.OTHER)

    def read_sidecar(self, path: PurePosixPath, content: bytes) -> Metadata:
        """Refuse: no sidecar belongs to a movie of an unknown program.

        Raises:
            UnsupportedFile: always.
        """
        raise UnsupportedFile("is not read: no known program writes sidecar files here.", path=path)
