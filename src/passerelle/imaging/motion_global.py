"""The drift of the whole picture, frame by frame."""

# numpy, scipy and numba leave types unknown
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from passerelle.imaging import fft
from passerelle.imaging.kernels import Held, Kernels, Modes
from passerelle.imaging.motion_modes import echo_of, edge_window, mode_grid, reliability, without_echo
from passerelle.imaging.motion_search import coarse_shape, search_track

_COARSE_ANGSTROM = 24.0
_ROUGH_ANGSTROM, _ROUGH_PIXELS = 20.0, 512  # Nyquist and least side of frames that are halved for a rough drift
_UNCLEAR_SIGMA = 4.5
_CLEAR_SHARE = 0.2  # fewer clear frames than this: there is nothing to follow, and no drift is better than a made-up one


@dataclass(frozen=True, slots=True)
class Drift:
    """track_px (t, 2) as (dy, dx), mean zero. rejected (t,): not found, taken from the neighbours. clarity (t,): height of the
    peak in standard deviations."""

    track_px: NDArray[np.float64]
    rejected: NDArray[np.bool_]
    clarity: NDArray[np.float64]


def find_drift(
    binned: Held,
    *,
    usable: NDArray[np.bool_],
    binning: int,
    pixel_size_angstrom: float,
    bfactor_angstrom2: float,
    max_drift_px: float,
    kernels: Kernels,
    pattern: float = 0.0,
    rough: bool = False,
) -> Drift:
    """Find the drift of binned frames (t, y, x): pairs of frames first, then every frame against the sum of the others.

    rough: local motion is looked for next, and the drift with it; frames of half the size are good enough for a start.
    """
    count = binned.shape[0]
    if int(usable.sum()) < 2 or min(binned.shape[1:]) < 16:
        return Drift(np.zeros((count, 2)), ~usable, np.zeros(count))
    if rough and min(binned.shape[1:]) >= _ROUGH_PIXELS and 4 * binning * pixel_size_angstrom <= _ROUGH_ANGSTROM:
        binned = kernels.halve(binned)
        binning *= 2
    shape = fft.fast_shape((binned.shape[1], binned.shape[2]))
    grid = mode_grid(shape, binning, pixel_size_angstrom, bfactor_angstrom2)
    small = coarse_shape(shape, binning, pixel_size_angstrom, _COARSE_ANGSTROM)
    window = edge_window((binned.shape[1], binned.shape[2]), 0.06)
    modes, coarse = kernels.drift_modes(binned, usable, grid, window, small, binning)
    track, clarity = search_track(coarse, max_drift_px, usable, pattern)
    rejected = ~usable | (clarity < _UNCLEAR_SIGMA)
    if int((~rejected).sum()) < max(2, _CLEAR_SHARE * int(usable.sum())):
        return Drift(np.zeros((count, 2)), np.ones(count, np.bool_), clarity)
    track = refine_track(modes, track, ~rejected, bfactor_angstrom2, start_angstrom=0.35 * _COARSE_ANGSTROM, pattern=pattern)
    return Drift(track, rejected, clarity)


def refine_track(
    modes: Modes,
    track: NDArray[np.float64],
    usable: NDArray[np.bool_],
    bfactor_angstrom2: float,
    *,
    start_angstrom: float,
    pattern: float = 0.0,
) -> NDArray[np.float64]:
    """Climb to the best match of every frame with the sum of the others, from a wide peak (start_angstrom) to the B-factor's."""
    track = track.copy()
    wide = max(8 * np.pi**2 * start_angstrom**2, bfactor_angstrom2)
    frames = int(usable.sum())
    trusted: NDArray[np.float32] | None = None
    schedule = _schedule(wide, bfactor_angstrom2)
    for place, bfactor in enumerate([*schedule, schedule[-1]]):
        reach = np.sqrt(bfactor / (8 * np.pi**2))
        echo = echo_of(modes.grid, pattern, bfactor, trusted)
        for _ in range(3):
            match = without_echo(modes.match(track[None], bfactor, trusted)[0], echo, track, usable)
            stiffness = -match.curvature[usable].mean(axis=0) * frames / max(frames - 1, 1)
            if np.linalg.eigvalsh(stiffness)[0] <= 0:
                break
            step = np.linalg.solve(stiffness, match.slope.T).T
            length = np.hypot(step[:, 0], step[:, 1])
            pixel = float(modes.grid.ky[-1] ** 2 + modes.grid.kx[-1] ** 2) ** 0.5 / float(modes.grid.radius[-1])
            step *= np.minimum(1, reach / pixel / np.maximum(length, 1e-9))[:, None]
            step[~usable] = 0
            track += step - step[usable].mean(axis=0)
            if float(length[usable].max()) < 0.01:
                break
        if place == len(schedule) - 1:
            trusted = reliability(modes.grid, modes.power(track[None]), frames)
    return fill_between(track, usable)


def fill_between(track: NDArray[np.float64], usable: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Give frames that are not usable the place between their neighbours."""
    known, missing = np.flatnonzero(usable), np.flatnonzero(~usable)
    if len(known):
        for axis in range(2):
            track[missing, axis] = np.interp(missing, known, track[known, axis])
    return track


def _schedule(wide: float, final: float) -> list[float]:
    steps = max(1, int(np.ceil(np.log(max(wide / max(final, 1.0), 1.0)) / np.log(6.0))))
    return [float(b) for b in np.geomspace(wide, max(final, 1.0), steps + 1)]
