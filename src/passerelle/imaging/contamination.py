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

_BLOCK_ANGSTROM = 24.0
_MOST_BLOCKS = 512  # a side: finer blocks cost time and find nothing more
_SMOOTH_ANGSTROM = 60.0  # half width of the local mean: wider than most particles
_SEED_SIGMA, _GROW_SIGMA = 6.0, 3.5
_SMALLEST_ANGSTROM = 150.0  # diameter of the smallest object that counts
_EDGE_SHARE = 0.25  # of the deviation nearby: where a blurred edge stood
_HALO_ANGSTROM = 60.0
_ROUNDS = 8


def contamination_percent(image: NDArray[Any], pixel_size_angstrom: float) -> float:
    """Return the share of the picture (y, x), in percent, that is covered by ice crystals, carbon or other objects."""
    return 100.0 * float(contamination_mask(image, pixel_size_angstrom).mean())


def contamination_mask(image: NDArray[Any], pixel_size_angstrom: float) -> NDArray[np.bool_]:
    """Return where the picture is covered, on a grid of blocks: bool (by, bx), edge to edge over the picture.

    Local mean and local roughness are compared with their own distribution over the picture, after a smooth slope (thickness of
    the ice) is taken off. An object is a connected region beyond 3.5 sigma that somewhere passes 6, at least 150 Å wide, ended
    where a quarter of the deviation nearby is reached; its halo of 60 Å counts with it. A picture that is covered by one thing
    from edge to edge has nothing to differ from: its CTF tells.

    Raises:
        BadInput: the picture is not a plane or is smaller than 8 × 8 blocks.
    """
    if image.ndim != 2 or min(image.shape) < 32:
        raise BadInput(f"a picture of shape {image.shape} was given; expected (y, x) of at least 32 × 32 pixels.")
    block = max(2, math.ceil(_BLOCK_ANGSTROM / pixel_size_angstrom), math.ceil(max(image.shape) / _MOST_BLOCKS))
    block = min(block, min(image.shape) // 16)
    mean, rough = _block_statistics(image, block)
    block_angstrom = block * pixel_size_angstrom
    smooth = _SMOOTH_ANGSTROM / block_angstrom
    away = np.maximum(
        np.abs(_deviation(ndimage.gaussian_filter(mean, smooth, mode="nearest"))),
        _deviation(np.log(np.maximum(ndimage.gaussian_filter(rough, smooth, mode="nearest"), 1e-12))),
    )
    labels = np.empty(mean.shape, np.int32)
    nearby = ndimage.maximum_filter(away, 2 * math.ceil(2.5 * smooth) + 1)
    ndimage.label(away > np.maximum(_GROW_SIGMA, _EDGE_SHARE * np.asarray(nearby)), structure=np.ones((3, 3)), output=labels)
    count = int(labels.max())
    if count == 0:
        return np.zeros(mean.shape, np.bool_)
    index = np.arange(1, count + 1)
    peak = np.asarray(ndimage.maximum(away, labels, index))
    area = np.bincount(labels.ravel(), minlength=count + 1)[1:] * block_angstrom**2
    keep = (peak > _SEED_SIGMA) & (area > math.pi / 4 * _SMALLEST_ANGSTROM**2)
    covered = np.concatenate([[False], keep])[labels]
    reach = _HALO_ANGSTROM / block_angstrom
    if not covered.any():
        return covered
    return np.asarray(ndimage.distance_transform_edt(~covered)) <= reach


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


def _deviation(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far each value is from a smooth surface through most of them, in robust sigma."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in values.shape), indexing="ij")
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1).reshape(-1, 6)
    flat = values.ravel()
    weight = np.ones_like(flat)
    rest = flat - np.median(flat)
    for _ in range(_ROUNDS):
        sigma = 1.4826 * float(np.median(np.abs(rest))) or 1e-12
        weight = np.square(np.clip(1.0 - np.square(rest / (4.0 * sigma)), 0.0, 1.0))  # Tukey's biweight
        normal = terms.T @ (weight[:, None] * terms) + 1e-9 * np.eye(6)
        rest = flat - terms @ np.linalg.solve(normal, terms.T @ (weight * flat))
        rest -= np.median(rest[weight > 0]) if (weight > 0).any() else 0.0
    sigma = 1.4826 * float(np.median(np.abs(rest)))
    # a surface smoother than numbers are: nothing stands out
    if not sigma > 1e-9 * (float(np.abs(flat).max()) + 1e-300):
        return np.zeros(values.shape)
    return (rest / sigma).reshape(values.shape)
