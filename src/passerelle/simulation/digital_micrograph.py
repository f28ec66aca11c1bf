"""A session as DigitalMicrograph writes it with a K2: stacks without sidecars, the gain by Gatan's name beside them."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from numpy.typing import NDArray

from passerelle.simulation.detector import Detector, unturn
from passerelle.simulation.electrons import Events
from passerelle.simulation.movie_file import gain_writer, movie_writer
from passerelle.simulation.shot import Product, Shot


class DigitalMicrographLayout:
    """`<session>/<session>_<number>.dm4` (or .mrc): all that is known stands in the tags of the DM4."""

    def __init__(self, session: str, detector: Detector, pixel_size_angstrom: float, *, gain_orientation: str, kind: str) -> None:
        self._root = PurePosixPath(session)
        self._session = session
        self._detector = detector
        self._pixel = pixel_size_angstrom
        self._orientation = gain_orientation
        self._kind = kind

    def opening(self, at: float) -> list[Product]:
        gain = unturn(self._detector.gain, self._orientation)
        name = f"K2-0001 1 Gain Ref. x1.m2.kv[300].{self._kind}"
        return [Product(self._root / name, gain_writer(self._kind, gain, self._pixel), large=True)]

    def movie_name(self, shot: Shot) -> str:
        return f"{self._session}_{shot.number + 1:04d}"

    def exposure(self, shot: Shot, frames: NDArray[Any] | Events, picture: NDArray[Any]) -> list[Product]:
        path = self._root / f"{self.movie_name(shot)}.{self._kind}"
        return [Product(path, movie_writer(self._kind, shot, frames), large=True)]
