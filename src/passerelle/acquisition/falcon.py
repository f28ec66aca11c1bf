"""Falcon 2 without fraction stacks: one file a frame, which passerelle joins to a movie.

The names differ between the ways in which frames were saved: `x_n0.mrc … x_n6.mrc` (EPU 1.x), `x_frames/…_0001.mrc`,
`x_frames/frame_12.raw`, and `x_0001.mrc` beside the sum `x.mrc`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, tzinfo
from pathlib import PurePosixPath
from typing import ClassVar

from passerelle.acquisition.epu import Epu
from passerelle.acquisition.metadata import Metadata
from passerelle.acquisition.naming import PICTURE_SUFFIXES, folder_session, is_temporary, reference_role
from passerelle.acquisition.program import Place, Role

_FRAME_SUFFIXES = frozenset({".mrc", ".raw", ".tif", ".tiff"})
_FOLDER = re.compile(r"(?P<key>.+)[-_.]frames", re.IGNORECASE | re.ASCII)
_IN_FOLDER = re.compile(r"(?:.*\D)?(?P<frame>\d{1,6})")
_NUMBERED = re.compile(r"(?P<key>.+?)(?:[-_.]frames?)?[-_.](?:n|frame[-_]?)(?P<frame>\d{1,5})", re.IGNORECASE | re.ASCII)
_PLAIN = re.compile(r"(?P<key>.+?)(?:[-_.]frames?)?_(?P<frame>\d{3,6})", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, slots=True)
class Falcon:
    """Single frames of a Falcon. plain_numbers: `x_0001.mrc` is a frame, too (not only where the name or folder says so)."""

    name: ClassVar[str] = "falcon"
    plain_numbers: bool = True
    time_zone: tzinfo = UTC

    def place(self, path: PurePosixPath) -> Place | None:
        """Say what `path` means; None where no Falcon frame saver would write such a file."""
        found = frame_of(path, plain_numbers=self.plain_numbers)
        suffix = path.suffix.lower()
        session = folder_session(path)
        if is_temporary(path.name):
            return Place(session, Role.OTHER)
        reference = reference_role(path.name)
        if reference is not None:
            return Place(session, reference)
        if found is not None:
            return found
        if suffix == ".xml":
            return Place(session, Role.MOVIE_METADATA, _key(session, path.parent, path.stem))
        if suffix in _FRAME_SUFFIXES or suffix in PICTURE_SUFFIXES:
            return Place(session, Role.PREVIEW, _key(session, path.parent, path.stem))  # the sum of the frames, or its picture
        return None

    def read_sidecar(self, path: PurePosixPath, content: bytes) -> Metadata:
        """Read the XML that Thermo Fisher's software writes beside the sum.

        Raises:
            IncompleteFile, BadFile: as `Epu.read_sidecar`.
        """
        return Epu(time_zone=self.time_zone).read_sidecar(path, content)


def frame_of(path: PurePosixPath, *, plain_numbers: bool) -> Place | None:
    """Return the place of a single-frame file, None where the name is not one.

    plain_numbers: whether `x_0001.mrc` is one; else only `_n0`, `_frame_1` and files in a folder `x_frames`.
    """
    if path.suffix.lower() not in _FRAME_SUFFIXES or is_temporary(path.name) or reference_role(path.name) is not None:
        return None
    folder = _FOLDER.fullmatch(path.parent.name)
    if folder is not None:
        name = _IN_FOLDER.fullmatch(path.stem)
        if name is None:
            return None
        above = path.parent.parent
        session = folder_session(above / "x")
        return Place(session, Role.FRAME, _key(session, above, folder["key"]), int(name["frame"]))
    name = _NUMBERED.fullmatch(path.stem) or (_PLAIN.fullmatch(path.stem) if plain_numbers else None)
    if name is None:
        return None
    session = folder_session(path)
    return Place(session, Role.FRAME, _key(session, path.parent, name["key"]), int(name["frame"]))


def _key(session: PurePosixPath, folder: PurePosixPath, name: str) -> str:
    return str((folder / name).relative_to(session))
