"""One exposure as the writers of session files see it, and the files that they make of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from passerelle.simulation.electrons import Events
from passerelle.simulation.specimen import Specimen


@dataclass(frozen=True, slots=True)
class Camera:
    """The camera as sidecar files name it. dtype: of a raw frame; ceiling: its largest count."""

    name: str
    height: int
    width: int
    dtype: np.dtype[Any]
    ceiling: int
    exposure_seconds: float


@dataclass(frozen=True, slots=True)
class Shot:
    """One exposure. number counts from 0; at: UTC seconds when it was begun."""

    number: int
    at: float
    specimen: Specimen
    camera: Camera
    frames: int

    @property
    def dose_per_frame(self) -> float:
        return self.specimen.dose_e_per_angstrom2 / self.frames

    @property
    def defocus_micrometre(self) -> float:
        """Applied defocus as microscope programs count it: negative is underfocus."""
        return -(self.specimen.applied_defocus_angstrom or 0.0) * 1e-4


@dataclass(frozen=True, slots=True)
class Product:
    """A file that the acquisition program writes: where, relative to the instrument's folder, and how its content is made.

    write: makes the whole file at the path that it is given. large: a movie, delivered in many small pieces.
    """

    path: PurePosixPath
    write: Callable[[Path], object]
    large: bool = False


def file_of(path: PurePosixPath | str, content: bytes | str) -> Product:
    """Return a small file with this content."""
    data = content.encode() if isinstance(content, str) else content
    return Product(PurePosixPath(path), lambda target: target.write_bytes(data))


class Layout(Protocol):
    """How one acquisition program lays a session out."""

    def opening(self, at: float) -> list[Product]:
        """Return the files that are there before the first exposure."""
        ...

    def exposure(self, shot: Shot, frames: NDArray[Any] | Events, picture: NDArray[Any]) -> list[Product]:
        """Return the files of one exposure in the order in which they appear. picture: what their previews show."""
        ...

    def movie_name(self, shot: Shot) -> str:
        """Return the name that joins an exposure's files: its movie's stem."""
        ...
