"""DigitalMicrograph (Gatan) with a K2 or K3: dose-fractionated stacks as DM4, MRC or TIFF, references by Gatan's names.

It writes no sidecars: what is known of an exposure stands in the tags of the DM4 file, which `formats` reads.
"""

from __future__ import annotations

import re
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

_FRAME = re.compile(r"(?P<key>.+?)[-_. ](?:frame[-_ ]?)(?P<frame>\d{1,6})", re.IGNORECASE | re.ASCII)
# DigitalMicrograph's own alignment writes its sum beside the stack
_SUM = re.compile(r".+[-_ ](sum|sumcorr|aligned|motion ?corrected)", re.IGNORECASE | re.ASCII)
_OTHER_SUFFIXES = frozenset({".gtg", ".txt", ".log", ".xml", ".s", ".bin"})


@dataclass(frozen=True, slots=True)
class DigitalMicrograph:
    """Gatan's DigitalMicrograph 2 and 3, also as EPU, Latitude or a person drives it."""

    name: ClassVar[str] = "digital_micrograph"

    def place(self, path: PurePosixPath) -> Place | None:
        """Say what `path` means; None where DigitalMicrograph would not write such a file."""
        session = folder_session(path)
        suffix = path.suffix.lower()
        if is_temporary(path.name):
            return Place(session, Role.OTHER)
        reference = reference_role(path.name)
        if reference is not None:
            return Place(session, reference)
        if suffix in PICTURE_SUFFIXES:
            return Place(session, Role.PREVIEW, movie_key(session, path))
        if suffix not in MOVIE_SUFFIXES:
            return Place(session, Role.OTHER) if suffix in _OTHER_SUFFIXES else None
        frame = _FRAME.fullmatch(path.stem)
        if frame is not None:
            return Place(session, Role.FRAME, movie_key(session, path.with_name(frame["key"] + suffix)), int(frame["frame"]))
        if _SUM.fullmatch(path.stem):
            return Place(session, Role.PREVIEW, movie_key(session, path))
        return Place(session, Role.MOVIE, movie_key(session, path))

    def read_sidecar(self, path: PurePosixPath, content: bytes) -> Metadata:
        """Refuse: DigitalMicrograph writes no sidecar files.

        Raises:
            UnsupportedFile: always.
        """
        raise UnsupportedFile("is not read: DigitalMicrograph keeps its values inside the movie.", path=path)
