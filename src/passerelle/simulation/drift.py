"""Random motion of a specimen as nature shows it: fast at first, then slow; smooth over the picture; zero at the middle frame."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from passerelle.imaging.field import MotionField

_GRID = 17  # control points along each side: cubic surfaces are drawn to within 0.02 px of 4 px


def still_field(frames: int, height: int, width: int) -> MotionField:
    """Return the field of a specimen that does not move."""
    return MotionField(np.zeros((frames, 2)), np.zeros((2, frames, 2, 2), np.float32), height, width)


def random_field(
    frames: int, height: int, width: int, *, global_px: float, local_px: float, seed: int, steps_per_frame: int = 1
) -> MotionField:
    """Draw a random smooth motion of `frames × steps_per_frame` steps.

    global_px: the largest distance between the places of any two frames, pixels. local_px: the largest local displacement about
    the global drift anywhere in the picture. The path slows down with two time constants (beam-induced motion, then stage
    drift) while its direction turns slowly; the local part is a cubic surface in space (doming) times a decaying function of
    time, with a mean of zero over the picture, as Brilot et al. 2012 (J. Struct. Biol. 177, 630) and Zheng et al. 2017 (Nat.
    Methods 14, 331) describe. The displacement is zero at the middle frame, `frames // 2`.
    """
    rng = np.random.default_rng(seed)
    steps = frames * steps_per_frame
    middle = (frames // 2) * steps_per_frame + (steps_per_frame - 1) / 2
    time = (np.arange(steps) + 0.5) / steps_per_frame
    path = _path(rng, time, frames)
    path -= _at_step(path, middle)
    extent = _largest_distance(path)
    if extent > 0:
        path *= global_px / extent
    local = _local(rng, time, frames)
    local -= _at_step(local.swapaxes(0, 1), middle)[:, None]
    largest = float(np.sqrt((local**2).sum(axis=0)).max()) if steps > 1 else 0.0
    if largest > 0:
        local *= local_px / largest
    return MotionField(path, local.astype(np.float32), height, width)


def per_frame(field: MotionField, steps_per_frame: int) -> MotionField:
    """Return the mean motion of each frame of a field that has `steps_per_frame` steps a frame."""
    if steps_per_frame == 1:
        return field
    frames = field.frames // steps_per_frame
    path = field.global_px.reshape(frames, steps_per_frame, 2).mean(axis=1)
    gy, gx = field.local_px.shape[2:]
    local = field.local_px.reshape(2, frames, steps_per_frame, gy, gx).mean(axis=2)
    return MotionField(path, local.astype(np.float32), field.height, field.width)


def largest_shift_px(field: MotionField) -> float:
    """Return an upper bound of the displacement along y or x at any place and frame, pixels."""
    if field.frames == 0:
        return 0.0
    local = np.abs(field.local_px).max(axis=(2, 3))  # (2, t)
    return float((np.abs(field.global_px) + local.T).max())


def _path(rng: np.random.Generator, time: NDArray[np.float64], frames: int) -> NDArray[np.float64]:
    early = max(frames / 12.0, 1.0) * rng.uniform(0.8, 1.3)
    speed = np.exp(-time / early) + rng.uniform(0.04, 0.12)
    turn = rng.uniform(-1.0, 1.0) * math.pi * (1 - np.exp(-time / (3 * early))) + 0.3 * np.sin(
        2 * math.pi * time / frames * rng.uniform(0.5, 1.5) + rng.uniform(0, 2 * math.pi)
    )
    direction = rng.uniform(0, 2 * math.pi) + turn
    steps = np.stack([speed * np.sin(direction), speed * np.cos(direction)], axis=1)
    return np.cumsum(steps, axis=0)


def _local(rng: np.random.Generator, time: NDArray[np.float64], frames: int) -> NDArray[np.float64]:
    """(2, steps, grid, grid): two surfaces with their own course in time, each of zero mean over the picture."""
    early = max(frames / 8.0, 1.0)
    axis = np.linspace(-1, 1, _GRID)
    y, x = np.meshgrid(axis, axis, indexing="ij")
    terms = np.stack([y, x, y * y, x * y, x * x, y**3, y * y * x, y * x * x, x**3])
    weights = np.array([0.5, 0.5, 1, 1, 1, 0.6, 0.6, 0.6, 0.6])
    local = np.zeros((2, time.size, _GRID, _GRID))
    for course in (1 - np.exp(-time / early), 0.5 * time / frames):
        for component in range(2):
            surface = np.tensordot(rng.normal(size=weights.size) * weights, terms, axes=1)
            local[component] += course[:, None, None] * (surface - surface.mean())
    return local


def _at_step(values: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    low = math.floor(step)
    high = min(low + 1, values.shape[0] - 1)
    part = step - low
    return values[low] * (1 - part) + values[high] * part


def _largest_distance(path: NDArray[np.float64]) -> float:
    if path.shape[0] < 2:
        return 0.0
    difference = path[:, None, :] - path[None, :, :]
    return float(np.sqrt((difference**2).sum(axis=2)).max())
