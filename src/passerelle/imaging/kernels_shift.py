"""The fused pass over raw frames: gain → defects → shift by the local field → add into a few weighted sums, tile by tile in
cache."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from passerelle.imaging.kernels_bin import HUGE

_MATH = {"contract", "reassoc", "nsz", "arcp"}
LARGEST_TILE = (16, 512)
_TAPS = 6
_ROW = LARGEST_TILE[1] + 16  # floats from one row of a buffer to the next: a constant, so that loops over it compile well
_TOGETHER = 8  # frames that are added at once: each sum is then read and written once for eight frames
# Offsets are unsigned: a signed one might count from the end, and the loop would lose its vector instructions. Nor are rows cut
# out: a slice costs more than to work through it.
_1, _2, _3, _4, _5, _6, _7 = (np.uint64(i * _ROW) for i in range(1, 8))


@njit(cache=True, nogil=True)
def _reflect(i: int, n: int) -> int:
    period = 2 * n - 2 if n > 1 else 1
    i = abs(i) % period
    return i if i < n else period - i


@njit(cache=True, nogil=True, fastmath=_MATH)
def shift_and_accumulate(
    frames: NDArray[Any],
    gain: NDArray[np.float32],
    defect_rows: NDArray[np.int64],
    defects: NDArray[np.int32],
    rows_shift: NDArray[np.int32],
    columns_shift: NDArray[np.int32],
    rows_fraction: NDArray[np.int32],
    columns_fraction: NDArray[np.int32],
    table: NDArray[np.float32],
    factors: NDArray[np.float32],
    sums: NDArray[np.float32],
    tile: tuple[int, int],
    first_tile_row: int,
    last_tile_row: int,
) -> None:
    """Add every frame, shifted, into sums (s, ≥ y, ≥ x) with the weights factors (t, s); tile rows first … last.

    gain (y, x), or (0, 0) for none. defects: rows of (x, y1, x1, y2, x2, …): column of a defect, then the places of the good
    pixels that stand in for it in turn; defect_rows (y + 1,) says which belong to a row. rows_shift … (t, tiles y, tiles x):
    whole and fractional part (in steps of the table) of the shift of each tile. Outside of the frame pixels are mirrored.
    tile: rows and columns, at most LARGEST_TILE.
    """
    count, height, width = frames.shape
    tile_rows, tile_columns = tile
    before = _TAPS // 2 - 1
    loaded = _aligned((LARGEST_TILE[0] + _TAPS - 1) * _ROW)
    moved = _aligned(LARGEST_TILE[0] * _TOGETHER * _ROW)
    weights = np.zeros((sums.shape[0], _TOGETHER), np.float32)
    for tile_y in range(first_tile_row, last_tile_row):
        y0 = tile_y * tile_rows
        rows = min(tile_rows, height - y0)
        for tile_x in range(rows_shift.shape[2]):
            x0 = tile_x * tile_columns
            columns = min(tile_columns, width - x0)
            for begin in range(0, count, _TOGETHER):
                for place in range(_TOGETHER):
                    t = begin + place
                    if t >= count:  # what is left in `moved` of an earlier frame counts nothing
                        weights[:, place] = np.float32(0.0)
                        continue
                    weights[:, place] = factors[t]
                    top = y0 + rows_shift[t, tile_y, tile_x] - before
                    left = x0 + columns_shift[t, tile_y, tile_x] - before
                    tall, wide = rows + _TAPS - 1, columns + _TAPS - 1
                    begin_x, end_x = min(max(-left, 0), wide), max(min(width - left, wide), 0)  # what lies in the frame
                    _load(frames, gain, t, top, left, tall, begin_x, end_x, loaded)
                    _repair(frames, gain, defect_rows, defects, t, top, left, tall, begin_x, end_x, loaded)
                    if end_x - begin_x < wide:
                        begin_x, end_x = (begin_x, end_x) if begin_x < end_x else (wide, wide)
                        _mirror(frames, gain, defect_rows, defects, t, top, left, tall, 0, begin_x, loaded)
                        _mirror(frames, gain, defect_rows, defects, t, top, left, tall, end_x, wide, loaded)
                    h_y = table[rows_fraction[t, tile_y, tile_x]]
                    h_x = table[columns_fraction[t, tile_y, tile_x]]
                    _shift(loaded, h_y, h_x, rows, columns, place, moved)
                _add(moved, weights, sums, y0, x0, rows, columns)


@njit(cache=True, nogil=True)
def _aligned(length: int) -> NDArray[np.float32]:
    """Return zeros that begin where a line of the cache does."""
    room = np.zeros(length + 16, np.float32)
    start = (-(room.ctypes.data // 4)) % 16
    return room[start : start + length]


@njit(cache=True, nogil=True, fastmath=_MATH)
def _load(
    frames: NDArray[Any],
    gain: NDArray[np.float32],
    t: int,
    top: int,
    left: int,
    tall: int,
    first: int,
    last: int,
    out: NDArray[np.float32],
) -> None:
    """Write columns left + first … left + last of a frame times the gain into rows of `out`; rows outside of it are mirrored."""
    height, width = frames.shape[1], frames.shape[2]
    counts, factors = frames.reshape(-1), gain.reshape(-1)
    for r in range(tall):
        y = top + r
        if y < 0 or y >= height:
            y = _reflect(y, height)
        source = np.uint64((t * height + y) * width + left + first)
        factor, target = np.uint64(y * width + left + first), np.uint64(r * _ROW + first)
        if len(factors) > 0:
            for x in range(np.uint64(last - first)):
                value = np.float32(counts[source + x])
                value = value if -HUGE < value < HUGE else np.float32(0.0)
                out[target + x] = value * factors[factor + x]
        else:
            for x in range(np.uint64(last - first)):
                value = np.float32(counts[source + x])
                out[target + x] = value if -HUGE < value < HUGE else np.float32(0.0)


@njit(cache=True, nogil=True)
def _value(frames: NDArray[Any], gain: NDArray[np.float32], t: int, y: int, x: int) -> np.float32:
    value = np.float32(frames[t, y, x])
    value = value if -HUGE < value < HUGE else np.float32(0.0)
    return value * gain[y, x] if gain.shape[0] > 0 else value


@njit(cache=True, nogil=True)
def _first_from(defects: NDArray[np.int32], low: int, high: int, x: int) -> int:
    """Return the first of the defects low … high - 1 of a row that is not left of x."""
    while low < high:
        middle = (low + high) // 2
        if defects[middle, 0] < x:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True, nogil=True)
def _stand_in(frames: NDArray[Any], gain: NDArray[np.float32], defects: NDArray[np.int32], t: int, which: int) -> np.float32:
    choice = 1 + 2 * ((t + which) % ((defects.shape[1] - 1) // 2))
    return _value(frames, gain, t, defects[which, choice], defects[which, choice + 1])


@njit(cache=True, nogil=True)
def _repair(
    frames: NDArray[Any],
    gain: NDArray[np.float32],
    defect_rows: NDArray[np.int64],
    defects: NDArray[np.int32],
    t: int,
    top: int,
    left: int,
    tall: int,
    first: int,
    last: int,
    out: NDArray[np.float32],
) -> None:
    """Write what stands in for the defects into what _load has written."""
    if len(defects) == 0:
        return
    height = frames.shape[1]
    for r in range(tall):
        y = _reflect(top + r, height)
        stop = defect_rows[y + 1]
        which = _first_from(defects, defect_rows[y], stop, left + first)
        while which < stop and defects[which, 0] < left + last:
            out[r * _ROW + defects[which, 0] - left] = _stand_in(frames, gain, defects, t, which)
            which += 1


@njit(cache=True, nogil=True)
def _mirror(
    frames: NDArray[Any],
    gain: NDArray[np.float32],
    defect_rows: NDArray[np.int64],
    defects: NDArray[np.int32],
    t: int,
    top: int,
    left: int,
    tall: int,
    first: int,
    last: int,
    out: NDArray[np.float32],
) -> None:
    """Do as _load and _repair where columns lie outside of the frame, pixel by pixel."""
    height, width = frames.shape[1], frames.shape[2]
    for r in range(tall):
        y = _reflect(top + r, height)
        stop = defect_rows[y + 1]
        for x in range(first, last):
            place = _reflect(left + x, width)
            which = _first_from(defects, defect_rows[y], stop, place)
            if which < stop and defects[which, 0] == place:
                out[r * _ROW + x] = _stand_in(frames, gain, defects, t, which)
            else:
                out[r * _ROW + x] = _value(frames, gain, t, y, place)


@njit(cache=True, nogil=True, fastmath=_MATH)
def _shift(
    loaded: NDArray[np.float32],
    h_y: NDArray[np.float32],
    h_x: NDArray[np.float32],
    rows: int,
    columns: int,
    place: int,
    out: NDArray[np.float32],
) -> None:
    """Filter rows + 5 rows of columns + 5 pixels along y, then along x; `out` takes one row in every _TOGETHER."""
    line = np.empty(_ROW, np.float32)
    a, b, c, d, e, f = h_y[0], h_y[1], h_y[2], h_y[3], h_y[4], h_y[5]
    g, h, i, j, k, m = h_x[0], h_x[1], h_x[2], h_x[3], h_x[4], h_x[5]
    for r in range(rows):
        source = np.uint64(r * _ROW)
        for x in range(np.uint64(columns + _TAPS - 1)):
            p = source + x
            line[x] = (
                a * loaded[p]
                + b * loaded[p + _1]
                + c * loaded[p + _2]
                + d * loaded[p + _3]
                + e * loaded[p + _4]
                + f * loaded[p + _5]
            )
        target = np.uint64((r * _TOGETHER + place) * _ROW)
        for x in range(np.uint64(columns)):
            out[target + x] = (
                g * line[x]
                + h * line[x + np.uint64(1)]
                + i * line[x + np.uint64(2)]
                + j * line[x + np.uint64(3)]
                + k * line[x + np.uint64(4)]
                + m * line[x + np.uint64(5)]
            )


@njit(cache=True, nogil=True, fastmath=_MATH)
def _add(
    moved: NDArray[np.float32],
    weights: NDArray[np.float32],
    sums: NDArray[np.float32],
    y0: int,
    x0: int,
    rows: int,
    columns: int,
) -> None:
    """Add rows of _TOGETHER frames to each sum with their weights (sums, frames)."""
    flat = sums.reshape(-1)
    for r in range(rows):
        source = np.uint64(r * _TOGETHER * _ROW)
        for s in range(sums.shape[0]):
            a, b, c, d = weights[s, 0], weights[s, 1], weights[s, 2], weights[s, 3]
            e, f, g, h = weights[s, 4], weights[s, 5], weights[s, 6], weights[s, 7]
            target = np.uint64((s * sums.shape[1] + y0 + r) * sums.shape[2] + x0)
            for x in range(np.uint64(columns)):
                p = source + x
                flat[target + x] += (
                    a * moved[p]
                    + b * moved[p + _1]
                    + c * moved[p + _2]
                    + d * moved[p + _3]
                    + (e * moved[p + _4] + f * moved[p + _5] + g * moved[p + _6] + h * moved[p + _7])
                )
