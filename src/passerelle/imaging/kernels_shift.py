"""The fused pass over raw frames: gain → defects → shift by the local field → add into a few weighted sums, tile by tile in
cache."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from passerelle.imaging.kernels_bin import HUGE

_MATH = {"contract", "reassoc", "nsz", "arcp"}


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
    """
    count, height, width = frames.shape
    tile_rows, tile_columns = tile
    taps = table.shape[1]
    before = taps // 2 - 1
    stand_ins = (defects.shape[1] - 1) // 2
    with_gain = gain.shape[0] > 0
    loaded = np.empty((tile_rows + taps - 1, tile_columns + taps - 1), np.float32)
    across = np.empty((tile_rows + taps - 1, tile_columns), np.float32)
    line = np.empty(tile_columns, np.float32)
    for tile_y in range(first_tile_row, last_tile_row):
        y0 = tile_y * tile_rows
        rows = min(tile_rows, height - y0)
        for tile_x in range(rows_shift.shape[2]):
            x0 = tile_x * tile_columns
            columns = min(tile_columns, width - x0)
            for t in range(count):
                top = y0 + rows_shift[t, tile_y, tile_x] - before
                left = x0 + columns_shift[t, tile_y, tile_x] - before
                tall, wide = rows + taps - 1, columns + taps - 1
                inside = left >= 0 and left + wide <= width
                h_y = table[rows_fraction[t, tile_y, tile_x]]
                h_x = table[columns_fraction[t, tile_y, tile_x]]
                for r in range(tall):
                    y = top + r
                    if y < 0 or y >= height:
                        y = _reflect(y, height)
                    source = frames[t, y]
                    target = loaded[r]
                    if inside:
                        if with_gain:
                            multiplier = gain[y]
                            for x in range(wide):
                                value = np.float32(source[left + x])
                                value = value if abs(value) < HUGE else np.float32(0.0)
                                target[x] = value * multiplier[left + x]
                        else:
                            for x in range(wide):
                                value = np.float32(source[left + x])
                                target[x] = value if abs(value) < HUGE else np.float32(0.0)
                    else:
                        for x in range(wide):
                            place = _reflect(left + x, width)
                            value = np.float32(source[place])
                            value = value if abs(value) < HUGE else np.float32(0.0)
                            target[x] = value * gain[y, place] if with_gain else value
                    start, stop = defect_rows[y], defect_rows[y + 1]
                    if start < stop and inside:
                        low, high = start, stop
                        while low < high:
                            middle = (low + high) // 2
                            if defects[middle, 0] < left:
                                low = middle + 1
                            else:
                                high = middle
                        while low < stop and defects[low, 0] < left + wide:
                            choice = 1 + 2 * ((t + low) % stand_ins)
                            yy, xx = defects[low, choice], defects[low, choice + 1]
                            value = np.float32(frames[t, yy, xx])
                            value = value if abs(value) < HUGE else np.float32(0.0)
                            target[defects[low, 0] - left] = value * gain[yy, xx] if with_gain else value
                            low += 1
                    elif start < stop:
                        for x in range(wide):
                            place = _reflect(left + x, width)
                            low, high = start, stop
                            while low < high:
                                middle = (low + high) // 2
                                if defects[middle, 0] < place:
                                    low = middle + 1
                                else:
                                    high = middle
                            if low < stop and defects[low, 0] == place:
                                choice = 1 + 2 * ((t + low) % stand_ins)
                                yy, xx = defects[low, choice], defects[low, choice + 1]
                                value = np.float32(frames[t, yy, xx])
                                value = value if abs(value) < HUGE else np.float32(0.0)
                                target[x] = value * gain[yy, xx] if with_gain else value
                    result = across[r]
                    a, b, c, d, e, f = h_x[0], h_x[1], h_x[2], h_x[3], h_x[4], h_x[5]
                    for x in range(columns):
                        result[x] = (
                            a * target[x]
                            + b * target[x + 1]
                            + c * target[x + 2]
                            + d * target[x + 3]
                            + e * target[x + 4]
                            + f * target[x + 5]
                        )
                a, b, c, d, e, f = h_y[0], h_y[1], h_y[2], h_y[3], h_y[4], h_y[5]
                for r in range(rows):
                    r0, r1, r2, r3, r4, r5 = across[r], across[r + 1], across[r + 2], across[r + 3], across[r + 4], across[r + 5]
                    for x in range(columns):
                        line[x] = a * r0[x] + b * r1[x] + c * r2[x] + d * r3[x] + e * r4[x] + f * r5[x]
                    for s in range(sums.shape[0]):
                        weight = factors[t, s]
                        if weight != np.float32(0.0):
                            out = sums[s, y0 + r]
                            for x in range(columns):
                                out[x0 + x] += weight * line[x]
