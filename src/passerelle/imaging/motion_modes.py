"""The Fourier modes of a stack of pictures that tell about motion, sorted by frequency, and their correlation at given shifts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerelle.imaging import fft
from passerelle.imaging.kernels_align import common_power, correlate_modes, cut_windows, gather_modes
from passerelle.imaging.motion_pattern import PatternEcho, pattern_echo

_BATCH_PIXELS = 300_000
_LEAST_WEIGHT = 0.01
_BANDS, _RINGS = 12, 80


@dataclass(frozen=True, slots=True)
class ModeGrid:
    """Which modes of a picture `shape` (binned pixels) are used. ky, kx: cycles per pixel of the movie; radius: cycles per
    angstrom, roughly ascending; ring: rings of equal count, 0 the innermost. The lines ky = 0 and kx = 0 are left out: there
    live the rows and columns of a camera's read-out and the picture's edges."""

    shape: fft.Shape
    rows: NDArray[np.int32]
    columns: NDArray[np.int32]
    ky: NDArray[np.float32]
    kx: NDArray[np.float32]
    radius: NDArray[np.float32]
    ring: NDArray[np.intp]


@lru_cache(maxsize=4)
def mode_grid(shape: fft.Shape, binning: int, pixel_size_angstrom: float, bfactor_angstrom2: float) -> ModeGrid:
    """Choose the modes with a weight above 1 % and at least 3 periods in the picture.

    Every movie of a session asks for the same: the last ones are kept, and must not be written to.
    """
    ky, kx = fft.frequency_axes(shape)
    side = min(shape)
    radius_px = np.hypot(ky[:, None], kx[None, :])
    radius = radius_px / (binning * pixel_size_angstrom)
    use = (radius_px * side >= min(3.0, side / 8)) & (radius_px <= 0.5) & (ky[:, None] != 0) & (kx[None, :] > 0)
    use &= np.exp(-0.25 * bfactor_angstrom2 * radius**2) > _LEAST_WEIGHT
    rows, columns = np.nonzero(use)
    distance = radius[rows, columns]
    # sorted into a few bands of radius, so that low resolution comes first, but as they lie in memory within a band
    place = np.argsort(np.argsort(distance, kind="stable"), kind="stable")
    count = max(len(rows), 1)
    order = np.argsort(place * _BANDS // count, kind="stable")
    rows, columns, distance = rows[order], columns[order], distance[order]
    rings = max(1, min(_RINGS, count // 100))
    return ModeGrid(
        shape,
        rows.astype(np.int32),
        columns.astype(np.int32),
        (ky[rows] / binning).astype(np.float32),
        (kx[columns] / binning).astype(np.float32),
        distance.astype(np.float32),
        (place[order] * rings // count).astype(np.intp),
    )


@dataclass(frozen=True, slots=True)
class ModeStack:
    """The modes of all frames of one picture: values (modes, re/im, frames), whitened so that noise has power 1 in each."""

    grid: ModeGrid
    values: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Match:
    """How the frames match the sum of the others at given shifts. value (t,); slope (t, 2) per pixel; curvature (t, 2, 2) per
    pixel²."""

    value: NDArray[np.float64]
    slope: NDArray[np.float64]
    curvature: NDArray[np.float64]


def edge_window(shape: fft.Shape, share: float) -> NDArray[np.float32]:
    """Return a window (y, x) that falls to zero over `share` of each side by a cosine."""

    def side(n: int) -> NDArray[np.float32]:
        place = (np.arange(n) + 0.5) / n
        edge = np.clip(np.minimum(place, 1 - place) / max(share, 1e-6), 0, 1)
        return (0.5 - 0.5 * np.cos(np.pi * edge)).astype(np.float32)

    return side(shape[0])[:, None] * side(shape[1])[None, :]


def transform_frames(
    pictures: NDArray[np.float32],
    corners: NDArray[np.intp],
    window: NDArray[np.float32],
    shape: fft.Shape,
    workers: int,
) -> NDArray[np.complex64]:
    """Return half transforms of cuts of pictures (n, y, x), at corners (n, 2) and as large as the window, less their means,
    windowed, padded with zeros to `shape`."""
    padded = np.empty((pictures.shape[0], *shape), np.float32)
    tops, lefts = np.ascontiguousarray(corners[:, 0], np.int64), np.ascontiguousarray(corners[:, 1], np.int64)
    cut_windows(pictures, tops, lefts, window, padded)
    return fft.rfft2(padded, workers)


def whiten(grid: ModeGrid, values: NDArray[np.float32]) -> None:
    """Scale modes in place so that, ring by ring, the mean power over the frames is 1."""
    if not len(values):
        return
    values *= whitening(grid, np.einsum("mct,mct->m", values, values) / values.shape[2])[:, None, None]


def whitening(grid: ModeGrid, power: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the factor for each mode (m,) that makes the mean of the power (m,) 1 in every ring."""
    mean = _ring_means(grid, power)
    return np.where(mean > 0, 1 / np.sqrt(np.maximum(mean, 1e-30)), 0).astype(np.float32)[grid.ring]


def _ring_means(grid: ModeGrid, values: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.bincount(grid.ring, values) / np.maximum(np.bincount(grid.ring), 1)


def batches(count: int, shape: fft.Shape) -> list[slice]:
    """Split frames into batches that are transformed at once: few enough to stay in cache."""
    size = max(1, min(count, _BATCH_PIXELS // max(shape[0] * shape[1], 1)))
    return [slice(i, min(i + size, count)) for i in range(0, count, size)]


def gather(grid: ModeGrid, spectra: NDArray[np.complex64], first: int, values: NDArray[np.float32]) -> None:
    """Copy the modes of `spectra` (n, y, x) into values[:, :, first:first + n]."""
    gather_modes(spectra, grid.rows, grid.columns, first, values)


def mode_weights(
    grid: ModeGrid, bfactor_angstrom2: float, reliability: NDArray[np.float32] | None
) -> tuple[NDArray[np.float32], int]:
    """Return the weight of each mode (m,), and how many of the first ones need to be looked at."""
    weights = np.exp(np.float32(-0.25 * bfactor_angstrom2) * grid.radius**2)
    return (weights if reliability is None else weights * reliability), modes_used(grid, bfactor_angstrom2)


def modes_used(grid: ModeGrid, bfactor_angstrom2: float) -> int:
    """Return how many of the first modes hold all those with a weight above 1 %."""
    within = np.flatnonzero(grid.radius**2 < -4 * np.log(_LEAST_WEIGHT) / max(bfactor_angstrom2, 1e-9))
    return int(within[-1]) + 1 if len(within) else 0


def match_frames(
    stack: ModeStack,
    shifts_px: NDArray[np.float64],
    bfactor_angstrom2: float,
    reliability: NDArray[np.float32] | None = None,
) -> Match:
    """Correlate every frame with the sum of the others, the frames moved back by shifts_px (t, 2), in one pass over the modes."""
    grid = stack.grid
    weights, used = mode_weights(grid, bfactor_angstrom2, reliability)
    out = np.zeros((6, stack.values.shape[2]))
    turns_y, turns_x = _turns(grid, shifts_px)
    correlate_modes(
        stack.values[:used],
        grid.rows[:used],
        grid.columns[:used],
        grid.ky[:used],
        grid.kx[:used],
        weights[:used],
        turns_y,
        turns_x,
        out,
    )
    turn = 2 * np.pi
    curvature = np.stack([np.stack([out[3], out[4]], -1), np.stack([out[4], out[5]], -1)], -2)
    return Match(out[0], turn * out[1:3].T, turn**2 * curvature)


def _phases(frequency: NDArray[Any], shift_px: NDArray[np.float64]) -> NDArray[np.float32]:
    turns = np.asarray(frequency, np.float64)[:, None] * shift_px[None, :]
    angle = (2 * np.pi * (turns - np.rint(turns))).astype(np.float32)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _turns(grid: ModeGrid, shifts_px: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    ky, kx = fft.frequency_axes(grid.shape)
    scale = grid.ky[0] / ky[grid.rows[0]] if len(grid.rows) else np.float32(1)
    return _phases(ky * scale, shifts_px[:, 0]), _phases(kx * scale, shifts_px[:, 1])


def mode_power(stack: ModeStack, shifts_px: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return for each mode (m,) the power that the frames have in common at shifts_px (t, 2): noise-free on average."""
    out = np.zeros(len(stack.grid.rows), np.float32)
    if stack.values.shape[2] > 1:
        common_power(stack.values, stack.grid.rows, stack.grid.columns, *_turns(stack.grid, shifts_px), out)
    return out


def reliability(grid: ModeGrid, common: NDArray[np.float32], frames: int) -> NDArray[np.float32]:
    """Return how far each mode of the sum of `frames` frames can be trusted, 0 … 1: its Wiener weight.

    common: mode_power, a share of the whitened power of a frame; averaged over rings.
    """
    share = np.clip(_ring_means(grid, common), 0.0, 0.999)
    ratio = max(frames - 1, 1) * share / (1 - share)
    return np.maximum(ratio / (1 + ratio), 1e-3).astype(np.float32)[grid.ring]


def echo_of(
    grid: ModeGrid, strength: float, bfactor_angstrom2: float, reliability: NDArray[np.float32] | None
) -> PatternEcho | None:
    """Return what a fixed pattern of `strength` adds to the correlations of match_frames; None where there is no pattern."""
    if strength <= 0:
        return None
    weights, used = mode_weights(grid, bfactor_angstrom2, reliability)
    radius = np.hypot(grid.ky[:used], grid.kx[:used]).astype(np.float64)
    return pattern_echo(strength, radius, weights[:used].astype(np.float64))


def without_echo(match: Match, echo: PatternEcho | None, shifts_px: NDArray[np.float64], usable: NDArray[np.bool_]) -> Match:
    """Subtract the fixed pattern's mean share; shifts_px (t, 2) are the frames' whole shifts."""
    if echo is None:
        return match
    value, slope, curvature = echo.at(shifts_px, usable)
    return Match(match.value - value, match.slope - slope, match.curvature - curvature)
