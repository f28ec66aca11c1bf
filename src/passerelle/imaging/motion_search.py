"""The first guess of the drift: frames are correlated in pairs at low resolution, and the pairs are brought into one track."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from passerelle.imaging import fft
from passerelle.imaging.kernels import CoarseFrames, Pair

_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class CoarseStack:
    """Low-resolution half transforms of all frames (t, y, x // 2 + 1), whitened and weighted; step_px: size of one of their
    pixels in pixels of the movie along y and x."""

    spectra: NDArray[np.complex64]
    shape: fft.Shape
    step_px: tuple[float, float]
    weight: NDArray[np.float32]  # (y, x // 2 + 1), amplitude

    def pair_peaks(self, first: NDArray[np.intp], second: NDArray[np.intp], echo: NDArray[np.complex64], reach_px: float) -> Pair:
        """See CoarseFrames."""
        shifts, clear = np.empty((len(first), 2)), np.empty(len(first))
        for i, (a, b) in enumerate(zip(first, second, strict=True)):
            shifts[i], clear[i] = _peak(self, self.spectra[b] * np.conj(self.spectra[a]) - echo, reach_px)
        return shifts, clear

    def sum_peaks(
        self, frames: NDArray[np.intp], places_px: NDArray[np.float64], echo: NDArray[np.complex64], reach_px: float
    ) -> Pair:
        """See CoarseFrames."""
        ky, kx = fft.frequency_axes(self.shape)
        ky, kx = ky / np.float32(self.step_px[0]), kx / np.float32(self.step_px[1])
        total = np.zeros(self.spectra.shape[1:], np.complex64)
        still = np.zeros_like(total)
        for frame, place in zip(frames, places_px, strict=True):
            still += _moved_back(echo, place, ky, kx)
            total += _moved_back(self.spectra[frame], place, ky, kx)
        steps, found = np.empty_like(places_px), np.empty(len(frames))
        for i, frame in enumerate(frames):
            own = _moved_back(self.spectra[frame], places_px[i], ky, kx)
            alike = own * np.conj(total - own)
            if echo.any():
                here = _moved_back(np.ones_like(echo), places_px[i], ky, kx)
                alike -= here * np.conj(still - _moved_back(echo, places_px[i], ky, kx))
            steps[i], found[i] = _peak(self, alike, reach_px)
        return steps, found


def coarse_shape(shape: fft.Shape, binning: int, pixel_size_angstrom: float, resolution_angstrom: float) -> fft.Shape:
    """Return the cropped size of half transforms of `shape` that reaches `resolution_angstrom`, but at least 32 px where there
    are as many."""

    def side(n: int) -> int:
        wanted = int(np.ceil(n * binning * pixel_size_angstrom * 2 / resolution_angstrom))
        return min(n, fft.fast_length(max(wanted, 32)))

    return side(shape[0]), side(shape[1])


def crop(spectra: NDArray[np.complex64], shape: fft.Shape, cropped: fft.Shape) -> NDArray[np.complex64]:
    """Keep the low frequencies of half transforms (n, …) of `shape`, as half transforms of `cropped`."""
    low = (cropped[0] + 1) // 2
    high = cropped[0] - low
    columns = cropped[1] // 2 + 1
    if cropped == shape:
        return spectra.copy()
    return np.concatenate([spectra[:, :low, :columns], spectra[:, shape[0] - high :, :columns]], axis=1)


def prepare(spectra: NDArray[np.complex64], shape: fft.Shape, full: fft.Shape, binning: int) -> CoarseStack:
    """Whiten cropped half transforms ring by ring, leave out the axes and the lowest frequencies, and let the highest fade
    out."""
    weight, white = coarse_weights(np.mean(spectra.real**2 + spectra.imag**2, axis=0), shape)
    return CoarseStack((spectra * weight).astype(np.complex64), shape, coarse_step_px(shape, full, binning), white)


def coarse_weights(power: NDArray[np.float32], shape: fft.Shape) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the factors of half transforms (y, x // 2 + 1) whose mean power is given, and what they are once white."""
    ky, kx = fft.frequency_axes(shape)
    radius = np.hypot(ky[:, None], kx[None, :])
    ring = np.minimum((radius * 2 * 32).astype(np.intp), 45)
    mean = np.bincount(ring.ravel(), power.ravel(), 46) / np.maximum(np.bincount(ring.ravel(), minlength=46), 1)
    weight = np.where(mean[ring] > 0, 1 / np.maximum(np.sqrt(mean[ring]), 1e-30), 0)
    weight *= np.exp(-((radius / 0.3) ** 2)) * (radius * min(shape) >= min(3.0, min(shape) / 8))
    weight[0, :] = 0
    weight[:, 0] = 0
    return weight.astype(np.float32), np.where(mean[ring] > 0, weight * np.sqrt(mean[ring]), 0).astype(np.float32)


def coarse_step_px(shape: fft.Shape, full: fft.Shape, binning: int) -> tuple[float, float]:
    """Return the size along y and x of a pixel of the cropped pictures in pixels of the movie."""
    return full[0] * binning / shape[0], full[1] * binning / shape[1]


def search_track(
    stack: CoarseFrames, max_drift_px: float, usable: NDArray[np.bool_], pattern: float = 0.0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the drift of every frame (t, 2) in pixels of the movie, mean zero, and how clear its peak is in standard
    deviations (t,).

    pattern: strength of the camera's fixed pattern, whose mean share is taken out of every correlation.
    Frames that are not usable get the place between their neighbours, clarity 0.
    """
    frames = np.flatnonzero(usable)
    clarity = np.zeros(len(usable))
    track = np.zeros((len(usable), 2))
    if len(frames) < 2:
        return track, clarity
    first, second = _pairs(len(frames))
    echo = (stack.weight**2 * np.float32(pattern / (1 + pattern))).astype(np.complex64)
    shifts, clear = stack.pair_peaks(frames[first], frames[second], echo, max_drift_px)
    places = _one_track(len(frames), first, second, shifts, np.maximum(clear - 3.5, 0.05) ** 2, 0.5 * max(stack.step_px))
    places, found = _against_sum(stack, frames, places, max_drift_px, echo)
    track[frames], clarity[frames] = places, found
    missing = np.flatnonzero(~usable)
    for axis in range(2):
        track[missing, axis] = np.interp(missing, frames, track[frames, axis])
    return track - track[frames].mean(axis=0), clarity


def _pairs(count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    lags = [lag for lag in (1, 2, 3, 5, 8, 13, 21, 34, 55) if lag < count]
    first = np.concatenate([np.arange(count - lag) for lag in lags])
    second = np.concatenate([np.arange(lag, count) for lag in lags])
    return first, second


def _peak(stack: CoarseStack, product: NDArray[np.complex64], reach_px: float) -> tuple[NDArray[np.float64], float]:
    """Return the highest place of a correlation within ± reach_px, in pixels of the movie, and its height in standard
    deviations."""
    height, width = stack.shape
    correlation = fft.irfft2(product, stack.shape)
    ry, rx = reach = reach_pixels(stack, reach_px)
    rows, columns = np.arange(-ry - 1, ry + 2) % height, np.arange(-rx - 1, rx + 2) % width
    window = correlation[rows[:, None], columns[None, :]]
    inner = window[1:-1, 1:-1]
    y, x = (int(v) for v in np.unravel_index(int(np.argmax(inner)), inner.shape))
    spread = float(correlation.std())
    return peak_px(stack, y, x, window[y : y + 3, x : x + 3], reach), float(inner[y, x]) / spread if spread > 0 else 0.0


def reach_pixels(stack: CoarseFrames, reach_px: float) -> tuple[int, int]:
    """Return how many coarse pixels along y and x lie within reach_px, leaving room for a neighbour."""
    height, width = stack.shape
    return (
        min(int(np.ceil(reach_px / stack.step_px[0])), height // 2 - 1),
        min(int(np.ceil(reach_px / stack.step_px[1])), width // 2 - 1),
    )


def peak_px(stack: CoarseFrames, y: int, x: int, around: NDArray[np.float32], reach: tuple[int, int]) -> NDArray[np.float64]:
    """Return the place of a peak in pixels of the movie, given the 3 × 3 values `around` its highest, at (y, x) of the window
    that begins at -reach."""
    offset = (_vertex(around[:, 1]), _vertex(around[1, :]))
    return np.array([(y - reach[0] + offset[0]) * stack.step_px[0], (x - reach[1] + offset[1]) * stack.step_px[1]])


def _vertex(three: NDArray[np.float32]) -> float:
    left, middle, right = (float(v) for v in three)
    bend = left - 2 * middle + right
    return float(np.clip(0.5 * (left - right) / bend, -0.5, 0.5)) if bend < 0 else 0.0


def _one_track(
    count: int,
    first: NDArray[np.intp],
    second: NDArray[np.intp],
    shifts: NDArray[np.float64],
    trust: NDArray[np.float64],
    scale_px: float,
) -> NDArray[np.float64]:
    """Solve places[second] - places[first] = shifts by least squares, pairs that contradict the others losing their weight
    (Cauchy)."""
    places = np.zeros((count, 2))
    weight = trust.copy()
    for _ in range(12):
        normal = np.zeros((count, count))
        np.add.at(normal, (first, first), weight)
        np.add.at(normal, (second, second), weight)
        np.add.at(normal, (first, second), -weight)
        np.add.at(normal, (second, first), -weight)
        right = np.zeros((count, 2))
        np.add.at(right, second, weight[:, None] * shifts)
        np.add.at(right, first, -weight[:, None] * shifts)
        normal += 1e-6 * max(float(np.trace(normal)) / count, 1e-12) * np.eye(count)
        places = np.linalg.solve(normal, right)
        error = np.hypot(*(places[second] - places[first] - shifts).T)
        weight = trust / (1 + (error / (2 * scale_px)) ** 2)
    return places - places.mean(axis=0)


def _against_sum(
    stack: CoarseFrames, frames: NDArray[np.intp], places: NDArray[np.float64], reach_px: float, echo: NDArray[np.complex64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Correlate each frame with the sum of the others moved to their places, and move it to its peak; a few rounds."""
    found = np.zeros(len(frames))
    for _ in range(_ROUNDS):
        steps, found = stack.sum_peaks(frames, places, echo, reach_px)
        fresh = places + steps
        moved = float(np.abs(fresh - places).max())
        places = fresh - fresh.mean(axis=0)
        if moved < 0.25 * min(stack.step_px):
            break
    return places, found


def _moved_back(
    spectrum: NDArray[np.complex64], place: NDArray[np.float64], ky: NDArray[np.float32], kx: NDArray[np.float32]
) -> NDArray[np.complex64]:
    turn = 2j * np.pi
    return spectrum * (np.exp(turn * ky * place[0])[:, None] * np.exp(turn * kx * place[1])[None, :]).astype(np.complex64)
