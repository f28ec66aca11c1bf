"""Deal the electrons of a micrograph to the frames of a movie, each moved by a known motion.

A pixel of the specimen holds n electrons. Each gets a random place inside the pixel and a random time (all times carry the same
dose), is moved by the motion at that place and time, and falls into one detector pixel of one frame. Dealing a Poisson number
of electrons this way gives frames that are Poisson and independent of each other (thinning).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit, uint64
from numpy.typing import NDArray

from passerelle.core.errors import BadInput
from passerelle.imaging.field import MotionField
from passerelle.simulation.drift import largest_shift_px

EFFICIENCY_ONE = 1 << 14  # fixed-point 1.0 of a pixel's response


def draw_electrons(expected: NDArray[np.float32], seed: int) -> NDArray[np.uint16]:
    """Draw a Poisson number of electrons for every pixel of an expected picture."""
    rng = np.random.default_rng(seed)
    electrons = np.empty(expected.shape, np.uint16)
    for row in range(0, expected.shape[0], 256):
        electrons[row : row + 256] = np.minimum(rng.poisson(np.maximum(expected[row : row + 256], 0)), 65535)
    return electrons


def deal(
    electrons: NDArray[np.uint16],
    field: MotionField,
    *,
    seed: int,
    steps_per_frame: int = 1,
    efficiency: NDArray[np.uint16] | None = None,
    dtype: np.dtype[Any] | type[np.generic] = np.uint8,
    ceiling: int | None = None,
    surround: bool = True,
) -> NDArray[Any]:
    """Return the frames (t, y, x) that a detector sees of a moving specimen.

    electrons: (y, x), the number of electrons of each pixel of the specimen at rest. field: `steps_per_frame` steps of motion a
    frame. efficiency: response of each detector pixel in units of 1 / 16384 (none: 1 everywhere); an electron gives the whole
    part, and one more with the probability of the rest. ceiling: counts saturate there (default: what `dtype` holds). surround:
    the specimen goes on beyond the picture as its mirror image, as a real one goes on beyond the detector; without it nothing
    comes in at the borders.

    With no motion and full efficiency the frames sum to `electrons` exactly. Single-threaded, about 12 ns an electron; releases
    the GIL.
    """
    kind = np.dtype(dtype)
    most = int(np.iinfo(kind).max) if ceiling is None else ceiling
    frames = np.zeros((_frames(electrons, field, steps_per_frame), *electrons.shape), kind)
    arguments = _arguments(electrons, field, steps_per_frame, efficiency, surround)
    _deal(*arguments, np.uint64(seed), frames, most, _NO_EVENTS, _NO_SLOTS)
    return frames


@dataclass(frozen=True, slots=True)
class Events:
    """Single electrons as an event-counting detector records them.

    quarters: (n, 2) as (y, x) in quarter pixels, sorted by frame. starts: (frames + 1,), where in `quarters` each frame begins.
    """

    quarters: NDArray[np.uint16]
    starts: NDArray[np.int64]
    height: int
    width: int

    @property
    def frames(self) -> int:
        return len(self.starts) - 1

    def places(self, frame: int) -> NDArray[np.float64]:
        """Return the places (n, 2) as (y, x) of a frame's electrons in pixels; pixel i spans i to i + 1."""
        return (self.quarters[self.starts[frame] : self.starts[frame + 1]] + 0.5) / 4


def deal_events(
    electrons: NDArray[np.uint16],
    field: MotionField,
    *,
    seed: int,
    steps_per_frame: int = 1,
    efficiency: NDArray[np.uint16] | None = None,
    surround: bool = True,
) -> Events:
    """Return the electrons that a detector counts, each with its quarter of a pixel; the arguments as of `deal`.

    efficiency: at most 1 (16384): the probability that an electron is seen. The same electrons come as `deal` would deposit.
    """
    slots = np.zeros(_frames(electrons, field, steps_per_frame), np.int64)
    no_frames = np.zeros((0, *electrons.shape), np.uint8)
    arguments = _arguments(electrons, field, steps_per_frame, efficiency, surround)
    _deal(*arguments, np.uint64(seed), no_frames, 0, _NO_EVENTS, slots)  # how many in each frame
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(slots)])
    quarters = np.empty((int(starts[-1]), 2), np.uint16)
    _deal(*arguments, np.uint64(seed), no_frames, 0, quarters, starts[:-1].copy())
    return Events(quarters, starts, *electrons.shape)


_Arguments = tuple[NDArray[np.uint16], int, NDArray[np.float64], NDArray[np.float64], int, NDArray[np.uint16]]
_NO_EVENTS = np.zeros((0, 2), np.uint16)
_NO_SLOTS = np.zeros(0, np.int64)


def _frames(electrons: NDArray[np.uint16], field: MotionField, steps_per_frame: int) -> int:
    height, width = electrons.shape
    if (field.height, field.width) != (height, width):
        raise BadInput(f"a motion of {field.height} × {field.width} pixels was given for a picture of {height} × {width}.")
    if steps_per_frame < 1 or field.frames % steps_per_frame:
        raise BadInput(f"a motion of {field.frames} steps does not make whole frames of {steps_per_frame} steps.")
    return field.frames // steps_per_frame


def _arguments(
    electrons: NDArray[np.uint16], field: MotionField, steps_per_frame: int, efficiency: NDArray[np.uint16] | None, surround: bool
) -> _Arguments:
    height, width = electrons.shape
    margin = min(math.ceil(largest_shift_px(field)) + 2, height - 1, width - 1) if surround else 0
    local = np.ascontiguousarray(field.local_px.transpose(2, 1, 3, 0), np.float64)  # (gy, steps, gx, 2)
    if efficiency is None:
        efficiency = np.full((1, 1), EFFICIENCY_ONE, np.uint16)
    return np.ascontiguousarray(electrons), margin, field.global_px.astype(np.float64), local, steps_per_frame, efficiency


@njit(inline="always")
def _next(state: Any) -> Any:
    """splitmix64 (Steele, Lea & Flood 2014): the next state and 64 random bits."""
    state = uint64(state + uint64(0x9E3779B97F4A7C15))
    z = state
    z = (z ^ (z >> uint64(30))) * uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> uint64(27))) * uint64(0x94D049BB133111EB)
    return state, z ^ (z >> uint64(31))


@njit(inline="always")
def _mirror(index: int, size: int) -> int:
    if index < 0:
        return -index - 1
    if index >= size:
        return 2 * size - 1 - index
    return index


@njit(cache=True, nogil=True, boundscheck=False)
def _deal(
    electrons: NDArray[np.uint16],
    margin: int,
    path: NDArray[np.float64],
    local: NDArray[np.float64],
    steps_per_frame: int,
    efficiency: NDArray[np.uint16],
    seed: np.uint64,
    frames: NDArray[Any],
    most: int,
    events: NDArray[np.uint16],
    slots: NDArray[np.int64],
) -> None:
    """Deposit into `frames`; where there are none, put each electron into `events` at its frame's next slot, or only count."""
    height, width = electrons.shape
    gy, steps, gx, _ = local.shape
    y_scale = (gy - 1) / max(height - 1, 1)
    x_scale = (gx - 1) / max(width - 1, 1)
    uniform = efficiency.shape[0] == 1
    whole = uint64(EFFICIENCY_ONE)
    deposits = frames.shape[0] > 0
    fills = events.shape[0] > 0
    unit = 1.0 / 65536.0
    row_field = np.empty((max(gx - 1, 1), steps, 4))  # (dy, dx) at the left edge of a cell, and their slopes over the cell
    for yy in range(-margin, height + margin):
        state = uint64(seed) * uint64(0x9E3779B97F4A7C15) + uint64(yy + 65536) * uint64(0xD1B54A32D192ED03)
        y = min(max(yy, 0), height - 1) * y_scale
        y0 = min(int(y), max(gy - 2, 0))
        y1 = min(y0 + 1, gy - 1)
        fy = y - y0
        for cell in range(row_field.shape[0]):
            right = min(cell + 1, gx - 1)
            for t in range(steps):
                for c in range(2):
                    a = local[y0, t, cell, c] * (1 - fy) + local[y1, t, cell, c] * fy
                    b = local[y0, t, right, c] * (1 - fy) + local[y1, t, right, c] * fy
                    row_field[cell, t, c] = path[t, c] + a
                    row_field[cell, t, 2 + c] = b - a
        source = electrons[_mirror(yy, height)]
        for xx in range(-margin, width + margin):
            n = source[_mirror(xx, width)]
            if n == 0:
                continue
            x = min(max(xx, 0), width - 1) * x_scale
            cell = min(int(x), row_field.shape[0] - 1)
            fx = x - cell
            for _e in range(n):
                state, bits = _next(state)
                t = int(((bits >> uint64(32)) * uint64(steps)) >> uint64(32))
                dy = row_field[cell, t, 0] + fx * row_field[cell, t, 2]
                dx = row_field[cell, t, 1] + fx * row_field[cell, t, 3]
                # a pixel's centre has whole coordinates: it spans [i - 1/2, i + 1/2)
                y_place = yy + dy + (bits & uint64(0xFFFF)) * unit
                x_place = xx + dx + ((bits >> uint64(16)) & uint64(0xFFFF)) * unit
                ty = math.floor(y_place)
                tx = math.floor(x_place)
                if ty < 0 or ty >= height or tx < 0 or tx >= width:
                    continue
                frame = t // steps_per_frame
                add = 1
                if not uniform:
                    response = uint64(efficiency[ty, tx])
                    if response != whole:
                        state, bits = _next(state)
                        add = int((response + (bits & uint64(EFFICIENCY_ONE - 1))) >> uint64(14))
                if deposits:
                    total = frames[frame, ty, tx] + add
                    frames[frame, ty, tx] = total if total < most else most
                elif add > 0:
                    slot = slots[frame]
                    slots[frame] = slot + 1
                    if fills:
                        events[slot, 0] = int(4 * y_place)
                        events[slot, 1] = int(4 * x_place)
