"""The amplitude spectrum of a micrograph, averaged over a square for the eye, and over squared frequency and azimuth for a fit.

One transform of the whole picture instead of many tiles: no frequency is lost to the size of a tile, so the rings of a strong
defocus stay sharp, and the cross of the picture's edges is so thin that its pixels are simply left out. In squared frequency the
rings are evenly spaced and every cell holds as many pixels of the transform as any other, hence the same noise.
"""

# scipy and numba declare no types
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import scipy.fft
from numpy.typing import NDArray

from passerelle.core.errors import BadInput
from passerelle.imaging.fft import fast_shape

ANGLES = 72  # sectors of 2.5° over the half plane
SQUARED_STEPS = 1024  # cells in squared frequency, from 0 to the edge of the spectrum

_FINEST_PIXEL_ANGSTROM = 1.4  # as CTFFIND: finer pixels are cropped in Fourier space, so that the rings fill the box
_RADIAL_BINS = 512
_CLIP_SIGMA = 6.0  # hot pixels, X-rays
_SPOT_RATIO = 3.5  # amplitudes beyond this ratio of the mean are reflections of ice: noise gets there once in 15,000
_TAPER = 0.06  # of each side
_CROSS_PX = 2.5  # half width of the cross that edges and camera lines make
_SMALLEST_PX = 64
_ROWS_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Spectrum:
    """Mean amplitudes of the transform of one micrograph.

    amplitude: (box, box // 2 + 1), in the order of `numpy.fft.rfft2`, the edge of the box at 1 / (2 pixel_size_angstrom).
    polar: (ANGLES, SQUARED_STEPS) mean amplitude over sectors of angle, from -90° up, counter-clockwise from x, and cells of
    squared frequency from 0 to `edge_per_angstrom` squared. weight: the number of pixels in each of these cells.
    ring_power: (SQUARED_STEPS,) mean power over the whole ring, the spots of crystals with it, which the others leave out.
    """

    amplitude: NDArray[np.float32]
    pixel_size_angstrom: float
    polar: NDArray[np.float32]
    weight: NDArray[np.float32]
    ring_power: NDArray[np.float32]
    edge_per_angstrom: float

    @property
    def squared_step(self) -> float:
        """The size of a cell of `polar` in squared frequency, 1/Å²."""
        return self.edge_per_angstrom**2 / self.polar.shape[1]

    @property
    def squared(self) -> NDArray[np.float64]:
        """The middle of each cell of `polar` in squared frequency, 1/Å²."""
        return (np.arange(self.polar.shape[1]) + 0.5) * self.squared_step

    @property
    def angles_rad(self) -> NDArray[np.float64]:
        """The middle of each sector of `polar`."""
        sectors = self.polar.shape[0]
        return (np.arange(sectors) + 0.5) * (math.pi / sectors) - math.pi / 2


def power_spectrum(image: NDArray[Any], box_px: int = 512) -> NDArray[np.float32]:
    """Return the mean amplitudes of a picture (y, x) up to its Nyquist: float32 (box, box // 2 + 1) in the order of rfft2."""
    return measure_spectrum(image, 1.0, box_px=box_px, finest_pixel_angstrom=0.0).amplitude


def measure_spectrum(
    image: NDArray[Any],
    pixel_size_angstrom: float,
    *,
    box_px: int = 512,
    finest_pixel_angstrom: float = _FINEST_PIXEL_ANGSTROM,
    threads: int = 1,
) -> Spectrum:
    """Measure the spectrum of a micrograph (y, x) of any real type.

    The box ends at Nyquist, or at that of `finest_pixel_angstrom` where the pixels are finer; it shrinks to what a small picture
    resolves.

    Raises:
        BadInput: the picture is not a plane of at least 64 × 64 pixels, is flat, or holds no numbers.
    """
    if image.ndim != 2 or min(image.shape) < _SMALLEST_PX:
        raise BadInput(
            f"a picture of shape {image.shape} was given; expected (y, x) of at least {_SMALLEST_PX} × {_SMALLEST_PX} pixels."
        )
    if box_px < 32 or box_px % 2:
        raise BadInput(f"a box of {box_px} pixels was asked for; expected an even number from 32.")
    pixel = max(pixel_size_angstrom, finest_pixel_angstrom)
    # each cell of the box should hold a pixel or more of the transform
    box_px = min(box_px, int(min(image.shape) * pixel_size_angstrom / pixel) // 2 * 2)
    height, width = fast_shape((image.shape[0], image.shape[1]))
    keep = min(width // 2 + 1, math.ceil(width * pixel_size_angstrom / (2.0 * pixel)) + 1)
    transform = _transform(image, (height, width), keep, threads)
    edge = 0.5 / pixel
    radial = _radial_amplitude(transform, width, pixel_size_angstrom, edge, _RADIAL_BINS)
    sums = _bin(transform, width, pixel_size_angstrom, edge, box_px, ANGLES, SQUARED_STEPS, radial)
    box_sum, box_count, polar_sum, weight, ring_power = sums
    return Spectrum(
        amplitude=_fill(box_sum, box_count),
        pixel_size_angstrom=pixel,
        polar=(polar_sum / np.maximum(weight, 1.0)).astype(np.float32),
        weight=weight,
        ring_power=ring_power,
        edge_per_angstrom=edge,
    )


def _transform(image: NDArray[Any], shape: tuple[int, int], keep: int, threads: int) -> NDArray[np.complex64]:
    """Return the first `keep` columns of the half transform of `image`, padded to `shape`: less its mean, clipped and tapered."""
    mean, sigma = _level(image)
    height, width = shape
    source = image if image.dtype in _KERNEL_TYPES else image.astype(np.float32)
    taper_y, taper_x = _edge_taper(image.shape[0]), _edge_taper(image.shape[1])
    rows = np.zeros((height, keep), np.complex64)
    band = np.zeros((_ROWS_AT_ONCE, width), np.float32)
    # in bands that stay in cache; columns beyond the edge are dropped before they cost a transform
    for start in range(0, image.shape[0], _ROWS_AT_ONCE):
        stop = min(start + _ROWS_AT_ONCE, image.shape[0])
        _clip_and_taper(source[start:stop], mean, sigma, _CLIP_SIGMA, taper_y[start:stop], taper_x, band)
        part = np.asarray(scipy.fft.rfft(band[: stop - start], axis=1, workers=threads), np.complex64)
        rows[start:stop] = part[:, :keep]
    return np.asarray(scipy.fft.fft(rows, axis=0, overwrite_x=True, workers=threads), np.complex64)


def _level(image: NDArray[Any]) -> tuple[float, float]:
    """Return the mean and the standard deviation of most pixels, from a sample of them."""
    sample = image[:: max(1, image.shape[0] // 512), :: max(1, image.shape[1] // 512)].astype(np.float64)
    sample = sample[np.isfinite(sample)]
    if sample.size == 0:
        raise BadInput("the picture holds no numbers.", advice="Look at the movie: its frames may be empty or damaged.")
    low, high = np.percentile(sample, [0.5, 99.5])
    core = sample[(sample >= low) & (sample <= high)]
    mean, sigma = float(core.mean()), float(core.std())
    if not sigma > 0:
        mean, sigma = float(sample.mean()), float(sample.std())
    if not sigma > 0 or not math.isfinite(sigma):
        raise BadInput(f"the picture is flat: every pixel is {mean:g}.", advice="Look at the movie: its frames may be empty.")
    return mean, sigma


_KERNEL_TYPES = (np.dtype(np.float32), np.dtype(np.uint16), np.dtype(np.int16), np.dtype(np.uint8))


def _edge_taper(length: int) -> NDArray[np.float32]:
    """Return a window that rises as a squared sine over _TAPER of its length at both ends."""
    ramp = max(2, round(length * _TAPER))
    window = np.ones(length, np.float32)
    window[:ramp] = np.sin(0.5 * np.pi * (np.arange(ramp) + 0.5) / ramp) ** 2
    window[-ramp:] = window[:ramp][::-1]
    return window


def _fill(total: NDArray[np.float32], count: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return total / count; cells without a pixel (the cross on the axes) take the mean of their 7 × 7 neighbours."""
    mean = (total / np.maximum(count, 1.0)).astype(np.float32)
    empty = count == 0
    if not empty.any():
        return mean
    box = mean.shape[0]
    padded_mean, padded_count = np.pad(mean * count, ((3, 3), (0, 3)), mode="wrap"), np.pad(count, ((3, 3), (0, 3)), mode="wrap")
    # the left neighbours of column 0 are the point mirror of its right ones
    mirror = (-np.arange(-3, box + 3)) % box + 3
    padded_mean = np.concatenate([padded_mean[mirror][:, 3:0:-1], padded_mean], axis=1)
    padded_count = np.concatenate([padded_count[mirror][:, 3:0:-1], padded_count], axis=1)
    for y, x in np.argwhere(empty):
        around = (slice(y, y + 7), slice(x, x + 7))
        pixels = padded_count[around].sum()
        mean[y, x] = padded_mean[around].sum() / pixels if pixels else 0.0
    return mean


@numba.njit(cache=True, nogil=True)
def _clip_and_taper(
    image: Any, mean: float, sigma: float, clip: float, taper_y: Any, taper_x: Any, out: Any
) -> None:  # pragma: no cover - compiled
    height, width = image.shape
    limit = np.float32(clip)
    scale, centre = np.float32(1.0 / sigma), np.float32(mean)
    for y in range(height):
        edge = taper_y[y]
        for x in range(width):
            value = (np.float32(image[y, x]) - centre) * scale
            if not value <= limit:  # not a number goes here too
                value = limit if value > limit else np.float32(0.0)
            elif value < -limit:
                value = -limit
            out[y, x] = value * edge * taper_x[x]


@numba.njit(cache=True, nogil=True, fastmath=True)
def _radial_amplitude(transform: Any, width: int, pixel: float, edge: float, bins: int) -> Any:  # pragma: no cover - compiled
    """Mean amplitude over rings of squared frequency, from every third row."""
    height, columns = transform.shape
    total = np.zeros(bins, np.float64)
    count = np.zeros(bins, np.float64)
    scale = bins / (edge * edge)
    fx, fy = 1.0 / (width * pixel), 1.0 / (height * pixel)
    for y in range(0, height, 3):
        ky = y if y <= height // 2 else y - height
        sy = ky * fy
        if sy * sy >= edge * edge:
            continue
        for x in range(3, columns):
            sx = x * fx
            cell = int((sx * sx + sy * sy) * scale)
            if cell >= bins:
                break
            value = transform[y, x]
            total[cell] += math.sqrt(value.real * value.real + value.imag * value.imag)
            count[cell] += 1.0
    mean = np.empty(bins, np.float64)
    last = 0.0
    for cell in range(bins):
        if count[cell] > 0:
            last = total[cell] / count[cell]
        mean[cell] = last
    return mean


@numba.njit(cache=True, nogil=True, fastmath=True)
def _bin(
    transform: Any, width: int, pixel: float, edge: float, box: int, angles: int, steps: int, radial: Any
) -> Any:  # pragma: no cover - compiled
    """Average amplitudes into the cells of a square box and of a polar grid, without the cross on the axes and without spots."""
    height, columns = transform.shape
    box_sum = np.zeros((box, box // 2 + 1), np.float32)
    box_count = np.zeros((box, box // 2 + 1), np.float32)
    polar_sum = np.zeros((angles, steps), np.float32)
    polar_count = np.zeros((angles, steps), np.float32)
    ring_sum = np.zeros(steps, np.float64)
    ring_count = np.zeros(steps, np.float64)
    half = angles // 2
    tangents = np.empty(half, np.float64)
    for k in range(half):
        tangents[k] = math.tan(k * math.pi / angles)
    fx, fy = 1.0 / (width * pixel), 1.0 / (height * pixel)
    to_box = box * 0.5 / edge
    edge2 = edge * edge
    to_step = steps / edge2
    to_radial = radial.size / edge2
    for y in range(height):
        ky = y if y <= height // 2 else y - height
        sy = ky * fy
        if abs(sy) > edge * 1.0001:
            continue
        row = math.floor(sy * to_box + 0.5)
        if row < 0:
            row += box
        elif row >= box:
            row = box // 2
        on_cross = abs(ky) < _CROSS_PX
        tall = abs(sy)
        sector = half - 1
        for x in range(columns):
            sx = x * fx
            column = int(sx * to_box + 0.5)
            if column > box // 2:
                break
            while sector > 0 and tall < tangents[sector] * sx:
                sector -= 1
            if on_cross or x < _CROSS_PX:
                continue
            squared = sx * sx + sy * sy
            value = transform[y, x]
            power = value.real * value.real + value.imag * value.imag
            amplitude = math.sqrt(power)
            step = int(squared * to_step)
            if step < steps:
                ring_sum[step] += power
                ring_count[step] += 1.0
            ring = int(squared * to_radial)
            if amplitude > _SPOT_RATIO * radial[min(ring, radial.size - 1)]:
                continue
            box_sum[row, column] += amplitude
            box_count[row, column] += 1.0
            if step < steps:
                angle = half + sector if ky > 0 else half - 1 - sector
                polar_sum[angle, step] += amplitude
                polar_count[angle, step] += 1.0
    return box_sum, box_count, polar_sum, polar_count, (ring_sum / np.maximum(ring_count, 1.0)).astype(np.float32)
