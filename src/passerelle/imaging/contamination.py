"""What lies on the ice and is not specimen: crystals, carbon, dirt. Found as places too dark, too bright or too rough."""

# scipy declares no types
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false
from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.ndimage as ndimage
from numpy.typing import NDArray

from passerelle.core.errors import BadInput

# each length is at most that many angstrom, less where the picture is small: the shorter side over that number
_BLOCK_ANGSTROM, _BLOCKS_ACROSS = 24.0, 64
_SMOOTH_ANGSTROM, _SMOOTHS_ACROSS = 60.0, 64  # sigma of the local mean
_SMALLEST_ANGSTROM, _SMALLEST_ACROSS = 260.0, 20  # diameter of the disc that the smallest object holds
_HEAPS_ANGSTROM = 40_000.0  # in wider pictures more particles heap up: that diameter grows with the square of the side over this
_MOST_BLOCKS = 256  # a side: finer blocks cost time and find nothing more
_SEED_SIGMA, _GROW_SIGMA = 6.0, 3.5
_EDGE_SHARE = 0.4  # of the deviation nearby: there an object ends
_POINTS = 64  # a side, to find the level of the ice
_CALM_PERCENT = 40.0  # of the blocks are calm enough to be asked for the level of the ice: edges blur it
_VALLEY = 0.25  # of its top: there a mode of the histogram ends
_LEAST_SHARE = 0.15  # of the largest mode: a brighter one that large is the ice
_FAR, _ONE_LEVEL, _SHARP, _LEAST_FAR = 20.0, 0.75, 2.5, 0.005
_ONE_SURFACE = 0.94  # of the calm blocks on one surface: no other level is looked for
_RIDGE = 0.03  # keeps the surface level where no ice says otherwise
_ROUNDS = 5


def contamination_percent(image: NDArray[Any], pixel_size_angstrom: float) -> float:
    """Return the share of the picture (y, x), in percent, that is covered by ice crystals, carbon or other objects.

    Raises:
        BadInput: as `contamination_mask`.
    """
    return 100.0 * float(contamination_mask(image, pixel_size_angstrom).mean())


def contamination_mask(image: NDArray[Any], pixel_size_angstrom: float) -> NDArray[np.bool_]:
    """Return where the picture is covered, on a grid of blocks: bool (by, bx), edge to edge over the picture.

    Local mean and local roughness are compared with those of the ice, a smooth surface (its thickness has a slope). It is the
    largest mode of the local mean, or a brighter one that has 15 % of its size or that stands sharp and far above a broad rest:
    objects absorb. Among blocks of the ice's mean the smoother mode is the ice.

    An object is a connected region beyond 3.5 sigma of the ice, ended where 40 % of the deviation nearby is reached, that
    somewhere passes 6 and holds a disc of 260 Å; less in pictures below 3200 Å, down to a twentieth of those below 2000 Å. A
    picture that is covered by one thing from edge to edge has nothing to differ from: its CTF tells. A hole in the ice that takes
    about a seventh of the picture or more passes for the ice, and the ice for an object.

    Raises:
        BadInput: the picture is not a plane or has a side of less than 32 pixels.
    """
    if image.ndim != 2 or min(image.shape) < 32:
        raise BadInput(f"a picture of shape {image.shape} was given; expected (y, x) of at least 32 × 32 pixels.")
    side = min(image.shape)
    side_angstrom = side * pixel_size_angstrom
    block = math.ceil(min(_BLOCK_ANGSTROM, side_angstrom / _BLOCKS_ACROSS) / pixel_size_angstrom)
    block = min(max(2, block, math.ceil(max(image.shape) / _MOST_BLOCKS)), side // 16)
    smooth = min(_SMOOTH_ANGSTROM, side_angstrom / _SMOOTHS_ACROSS) / (block * pixel_size_angstrom)
    smallest = max(side_angstrom / _SMALLEST_ACROSS, side_angstrom**2 / _HEAPS_ANGSTROM)
    smallest = min(_SMALLEST_ANGSTROM, smallest) / (block * pixel_size_angstrom)
    mean, rough = _block_statistics(image, block)
    pixels = block * 2 * math.sqrt(math.pi) * smooth  # square root of how many a local mean is made of
    level = np.asarray(ndimage.gaussian_filter(mean, smooth, mode="nearest"))
    ice, sigma = _ice(level, np.ones(level.shape, np.bool_), smooth, math.sqrt(float(np.median(rough))) / pixels, +1)
    away = np.abs(level - ice) / sigma
    # a block across an edge is rough by the edge only: thin lines are opened away
    inner = np.asarray(ndimage.grey_opening(rough, (3, 3), mode="nearest"))
    uneven = np.log(np.maximum(ndimage.gaussian_filter(inner, smooth, mode="nearest"), 1e-12))
    ice, sigma = _ice(uneven, away < _GROW_SIGMA, smooth, math.sqrt(2) / pixels, -1)
    rougher = np.maximum((uneven - ice) / sigma, 0)
    return _objects(away, smooth, smallest / 2) | _objects(rougher, smooth, smallest / 2)


def _objects(away: NDArray[np.float64], smooth: float, radius: float) -> NDArray[np.bool_]:
    """Return the blocks of connected regions that stand out and hold a disc of `radius` blocks: chains of particles do not."""
    nearby = np.asarray(ndimage.maximum_filter(away, 2 * math.ceil(2 * smooth) + 1))
    labels = np.empty(away.shape, np.int32)
    ndimage.label(away > np.maximum(_GROW_SIGMA, _EDGE_SHARE * nearby), structure=np.ones((3, 3)), output=labels)
    depth = np.asarray(ndimage.distance_transform_edt(labels > 0)) if labels.any() else np.zeros(away.shape)
    peak, deepest = np.zeros(int(labels.max()) + 1), np.zeros(int(labels.max()) + 1)
    np.maximum.at(peak, labels.ravel(), away.ravel())
    np.maximum.at(deepest, labels.ravel(), depth.ravel())
    keep = (peak > _SEED_SIGMA) & (deepest > radius)
    keep[0] = False
    return keep[labels]


def _ice(
    values: NDArray[np.float64], where: NDArray[np.bool_], smooth: float, noise: float, sense: int
) -> tuple[NDArray[np.float64], float]:
    """Return the smooth surface that the ice's values lie on, and their robust sigma about it.

    sense: +1 where the ice has the higher values of two, -1 where it has the lower. noise: sigma of a value, not less.
    """
    step = math.ceil(max(values.shape) / _POINTS)
    chosen = where[::step, ::step].ravel()
    if np.count_nonzero(chosen) < 12:
        chosen = np.ones(chosen.shape, np.bool_)
    terms, flat = _terms(values.shape)[::step, ::step].reshape(-1, 6)[chosen], values[::step, ::step].ravel()[chosen]
    noise = max(noise, 1e-9 * float(np.abs(flat).max()) + 1e-300)
    texture = math.sqrt(max(float(np.percentile(_spread(values, 3 * smooth)[::step, ::step].ravel()[chosen], 10)), 0.0))
    width = max(noise, min(0.6 * texture, 4 * noise))
    spread = _spread(values, smooth)[::step, ::step].ravel()[chosen]
    calm = spread <= max(float(np.percentile(spread, _CALM_PERCENT)), (1.5 * noise) ** 2)
    whole = np.linalg.lstsq(terms[calm], flat[calm], rcond=None)[0]
    rest = flat - terms @ whole
    if float((np.abs(rest[calm]) < 2.5 * width).mean()) > _ONE_SURFACE:  # a slope and little else
        surface, inside = whole, calm
    else:
        low, high = _mode(flat[calm], width, sense)
        rest, surface, inside = flat, np.zeros(6), calm & (flat >= low) & (flat <= high)
    for _ in range(_ROUNDS):
        part = terms[inside]
        ridge = np.diag([1e-9, *[_RIDGE * len(part)] * 5])
        surface = surface + np.linalg.solve(part.T @ part + ridge, part.T @ rest[inside])
        rest = flat - terms @ surface
        low, high = _mode(rest[calm], width, 0)
        within = calm & (rest >= low) & (rest <= high)
        inside = within if within.any() else inside
    sigma = max(noise, 1.6 * float(np.median(np.abs(rest[inside]))))
    return _terms(values.shape) @ surface, max(sigma, 1.6 * float(np.median(np.abs(rest[np.abs(rest) < 3.5 * sigma]))))


def _terms(shape: tuple[int, ...]) -> NDArray[np.float64]:
    y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)


def _spread(values: NDArray[np.float64], reach: float) -> NDArray[np.float64]:
    """Return the local variance within `reach`."""
    size = 2 * math.ceil(reach) + 1
    values = values - values.mean()
    squares, mean = ndimage.uniform_filter(np.square(values), size), ndimage.uniform_filter(values, size)
    return np.asarray(squares) - np.square(np.asarray(mean))


def _mode(values: NDArray[np.float64], width: float, sense: int) -> tuple[float, float]:
    """Return the range of the mode that is the ice; sense 0: of the mode at 0."""
    low, high = float(values.min()) - 4 * width, float(values.max()) + 4 * width
    cell = max(width / 2, (high - low) / 2000)
    counts = np.bincount(((values - low) / cell).astype(np.int64), minlength=math.ceil((high - low) / cell) + 1).astype(
        np.float64
    )
    density = np.asarray(ndimage.gaussian_filter1d(counts, width / cell, mode="constant"))
    best = int(np.argmax(density if sense else density * (np.abs(np.arange(len(density)) * cell + low) <= 3 * width)))
    if sense:
        best = _ice_among(_modes(density, counts / len(values)), sense, _FAR * width / cell, best)
    first, last = _ends(density, best)
    return low + first * cell, low + (last + 1) * cell


def _modes(density: NDArray[np.float64], shares: NDArray[np.float64]) -> list[tuple[float, int, int]]:
    """Return the modes of a histogram: share, place of the top, width."""
    inner = density[1:-1]
    tops = 1 + np.flatnonzero((inner >= density[:-2]) & (inner > density[2:]) & (inner > 0.005 * density.max()))
    found: list[tuple[float, int, int]] = []
    for top in tops.tolist():
        first, last = _ends(density, top)
        if density[first : last + 1].max() <= density[top]:  # not the shoulder of another
            found.append((float(shares[first : last + 1].sum()), top, last - first))
    return found


def _ice_among(modes: list[tuple[float, int, int]], sense: int, far: float, otherwise: int) -> int:
    """Return the top of the mode that is the ice: the farthest in `sense` that counts."""
    if not modes:
        return otherwise
    most, main, wide = max(modes)
    best = main
    for share, top, width in modes:
        apart = sense * (top - main) > far and share > _LEAST_FAR and (most < _ONE_LEVEL or wide > _SHARP * width)
        if sense * (top - best) > 0 and (share >= _LEAST_SHARE * most or apart):
            best = top
    return best


def _ends(density: NDArray[np.float64], top: int) -> tuple[int, int]:
    return top - _fall(density[top::-1]), top + _fall(density[top:])


def _fall(density: NDArray[np.float64]) -> int:
    """Return how far from its top, at 0, a mode reaches: to a quarter of it, or to a clear valley."""
    least = np.minimum.accumulate(density)
    over = (density < _VALLEY * density[0]) | ((density > 2 * least) & (least < 0.5 * density[0]))
    return int(np.argmin(density[: int(np.argmax(over)) + 1])) if over.any() else len(density) - 1


def _block_statistics(image: NDArray[Any], block: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean and the variance of blocks of pixels: (by, bx) each. Rows and columns beyond whole blocks are left out."""
    by, bx = image.shape[0] // block, image.shape[1] // block
    mean = np.empty((by, bx))
    rough = np.empty((by, bx))
    for row in range(by):
        band = image[row * block : (row + 1) * block, : bx * block].astype(np.float32)
        if not np.isfinite(band).all():
            band = np.nan_to_num(band, nan=0.0, posinf=0.0, neginf=0.0)
        cells = band.reshape(block, bx, block)
        mean[row] = cells.mean(axis=(0, 2), dtype=np.float64)
        rough[row] = np.square(cells - mean[row].astype(np.float32)[None, :, None]).mean(axis=(0, 2), dtype=np.float64)
    return mean, rough
