"""A camera with its faults: a gain pattern, dead columns, hot pixels, a counter that saturates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerelle.imaging.gain import orient
from passerelle.simulation.electrons import EFFICIENCY_ONE

_INVERSE = {"rotate_90": "rotate_270", "rotate_270": "rotate_90"}  # every other orientation undoes itself


def unturn(gain: NDArray[Any], name: str) -> NDArray[Any]:
    """Undo `imaging.gain.orient`: return the gain file that must be turned by `name` to fit.

    Raises:
        BadInput: no such orientation.
    """
    return orient(gain, _INVERSE.get(name, name))


@dataclass(frozen=True, slots=True)
class Detector:
    """One camera. gain: (y, x) float32, corrected = raw × gain, 0 where a pixel is dead, mean 1 elsewhere. defects: (y, x), True
    where a pixel is dead or hot. listed: the defects that the camera's own list knows. hot_rows, hot_columns, hot_counts:
    pixels that count this many in every frame, whatever falls on them.
    """

    gain: NDArray[np.float32]
    defects: NDArray[np.bool_]
    listed: NDArray[np.bool_]
    dead_columns: tuple[int, ...]
    hot_rows: NDArray[np.int64]
    hot_columns: NDArray[np.int64]
    hot_counts: NDArray[np.float64]

    def efficiency(self) -> NDArray[np.uint16]:
        """Return each pixel's response to an electron, 1/gain, in units of 1 / 16384."""
        response = np.zeros(self.gain.shape, np.float32)
        np.divide(EFFICIENCY_ONE, self.gain, out=response, where=self.gain > 0)
        return np.minimum(np.rint(response), 65535).astype(np.uint16)

    def event_efficiency(self) -> NDArray[np.uint16]:
        """Return the probability that each pixel sees an electron, in units of 1 / 16384, 1 for the best pixels (EER cameras)."""
        response = self.efficiency().astype(np.float64)
        return np.minimum(response * (EFFICIENCY_ONE / np.percentile(response, 99.5)), EFFICIENCY_ONE).astype(np.uint16)

    def add_hot_pixels(self, frames: NDArray[Any], seed: int, ceiling: int) -> None:
        """Overwrite the hot pixels of frames (t, y, x) in place."""
        if self.hot_rows.size == 0:
            return
        rng = np.random.default_rng(seed)
        counts = np.minimum(rng.poisson(self.hot_counts, (frames.shape[0], self.hot_counts.size)), ceiling)
        frames[:, self.hot_rows, self.hot_columns] = counts.astype(frames.dtype)


def make_detector(
    height: int,
    width: int,
    *,
    seed: int,
    column_sd: float = 0.02,
    row_sd: float = 0.005,
    pixel_sd: float = 0.03,
    shade: float = 0.05,
    dead_columns: int = 1,
    hot_pixels: int = 30,
    hot_counts_per_frame: float = 25.0,
    unlisted_share: float = 0.3,
) -> Detector:
    """Draw a camera.

    column_sd, row_sd, pixel_sd: standard deviations of the gain from column to column, row to row, pixel to pixel. shade: a
    slow slope across the picture, end to end, that is not symmetric, so that each of the eight orientations differs.
    unlisted_share: hot pixels that came after the camera's list was made.
    """
    rng = np.random.default_rng(seed)
    gain = np.ones((height, width), np.float32)
    gain *= rng.normal(1, column_sd, (1, width)).astype(np.float32)
    gain *= rng.normal(1, row_sd, (height, 1)).astype(np.float32)
    gain *= 1 + np.float32(pixel_sd) * rng.standard_normal((height, width), np.float32)
    gain *= np.linspace(1 - shade / 2, 1 + shade / 2, width, dtype=np.float32)[None, :]
    gain *= np.linspace(1 + shade / 4, 1 - shade / 4, height, dtype=np.float32)[:, None]
    np.clip(gain, 0.3, 3.0, out=gain)
    columns = tuple(sorted(int(c) for c in rng.choice(np.arange(1, width - 1), min(dead_columns, width - 2), replace=False)))
    places = rng.choice(height * width, min(hot_pixels, height * width // 100), replace=False)
    rows, cols = np.divmod(places, width)
    defects = np.zeros((height, width), bool)
    defects[:, list(columns)] = True
    listed = defects.copy()
    known = round(rows.size * (1 - unlisted_share))
    listed[rows[:known], cols[:known]] = True
    defects[rows, cols] = True
    gain /= gain[~defects].mean(dtype=np.float64).astype(np.float32)
    gain[:, list(columns)] = 0
    counts = hot_counts_per_frame * rng.uniform(0.6, 1.6, rows.size)
    return Detector(gain, defects, listed, columns, rows, cols, counts)


def perfect_detector(height: int, width: int) -> Detector:
    """Return a camera without faults."""
    none = np.zeros((height, width), bool)
    empty = np.zeros(0, np.int64)
    return Detector(np.ones((height, width), np.float32), none, none, (), empty, empty, np.zeros(0))
