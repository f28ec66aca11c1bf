"""Fused loops over raw frames: sum over time, and gain + defects + binning in one pass. Frames stay in the dtype they were
written in."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

# No "nnan": values that are not finite must be seen as such.
_MATH = {"contract", "reassoc", "nsz", "arcp"}
HUGE = np.float32(1e30)  # beyond this a float pixel counts as not finite


@njit(cache=True, nogil=True, fastmath=_MATH)
def sum_rows(
    frames: NDArray[Any],
    total: NDArray[np.float32],
    broken: NDArray[np.int32],
    frame_sums: NDArray[np.float64],
    frame_broken: NDArray[np.int64],
    first: int,
    last: int,
) -> float:
    """Add rows first … last of all frames into `total` (y, x); return the sum of squares. Values not finite count as 0 and are
    counted."""
    squares = 0.0
    width = frames.shape[2]
    for y in range(first, last):
        row = total[y]
        bad = broken[y]
        for t in range(frames.shape[0]):
            source = frames[t, y]
            part = np.float32(0.0)
            part2 = np.float32(0.0)
            count = 0
            for x in range(width):
                value = np.float32(source[x])
                finite = abs(value) < HUGE
                value = value if finite else np.float32(0.0)
                count += 0 if finite else 1
                row[x] += value
                part += value
                part2 += value * value
            frame_sums[t] += part
            squares += part2
            if count > 0:
                frame_broken[t] += count
                for x in range(width):
                    if not abs(np.float32(source[x])) < HUGE:
                        bad[x] += 1
    return float(squares)


@njit(cache=True, nogil=True, fastmath=_MATH)
def decimate_frames(
    frames: NDArray[Any],
    gain: NDArray[np.float32],
    box: int,
    every: int,
    taps_y: NDArray[np.float32],
    taps_x: NDArray[np.float32],
    out: NDArray[np.float32],
    first: int,
    last: int,
) -> None:
    """Write frames first … last, reduced by step = every · box: boxes of `box` rows, then taps_y over them; taps_x (4 · step)
    over single columns. out (t, y // step, x // step); gain (y, x) is 0 at defects. Beyond the edges the last rows and columns
    repeat.
    """
    step = every * box
    rows, columns = out.shape[1], out.shape[2]
    width = columns * step
    before_y = (len(taps_y) - every) // 2
    margin = len(taps_x) // step  # in columns of out
    before_x = (len(taps_x) - step) // 2
    line = np.empty(width, np.float32)
    phases = np.empty((step, columns + 2 * margin), np.float32)
    reduced = np.empty(columns, np.float32)
    shift = margin * step - before_x  # tap j reads column step * (x + margin) + j - before_x of the line with its margin
    for t in range(first, last):
        picture = out[t]
        picture[:] = np.float32(0.0)
        for y in range(every * rows):
            line[:] = np.float32(0.0)
            for j in range(box):
                source = frames[t, y * box + j]
                multiplier = gain[y * box + j]
                for x in range(width):
                    value = np.float32(source[x])
                    value = value if abs(value) < HUGE else np.float32(0.0)
                    line[x] += value * multiplier[x]
            for p in range(step):
                for x in range(columns):
                    phases[p, margin + x] = line[x * step + p]
                for x in range(margin):
                    phases[p, x] = line[p]
                    phases[p, margin + columns + x] = line[width - step + p]
            reduced[:] = np.float32(0.0)
            for p in range(step):
                # the four taps of one phase lie `step` columns apart, side by side in its row
                source_phase = phases[(shift + p) % step]
                start = (shift + p) // step
                a, b, c, d = taps_x[p], taps_x[p + step], taps_x[p + 2 * step], taps_x[p + 3 * step]
                for x in range(columns):
                    reduced[x] += (
                        a * source_phase[start + x]
                        + b * source_phase[start + x + 1]
                        + c * source_phase[start + x + 2]
                        + d * source_phase[start + x + 3]
                    )
            # box row y is met by the taps of the rows of out around it; at the edges it also stands for the rows beyond
            low = y if y > 0 else -before_y
            high = y if y < every * rows - 1 else y + before_y + every - 1
            for place in range(low, high + 1):
                for j in range(len(taps_y)):
                    start = place + before_y - j
                    if start % every == 0 and 0 <= start < every * rows:
                        tap = taps_y[j]
                        target = picture[start // every]
                        for x in range(columns):
                            target[x] += tap * reduced[x]


@njit(cache=True, nogil=True, fastmath=_MATH)
def apply_gain(frames: NDArray[Any], gain: NDArray[np.float32], out: NDArray[np.float32], first: int, last: int) -> None:
    """Write frames first … last times gain (y, x), 0 where a value is not finite."""
    for t in range(first, last):
        for y in range(out.shape[1]):
            for x in range(out.shape[2]):
                value = np.float32(frames[t, y, x])
                value = value if abs(value) < HUGE else np.float32(0.0)
                out[t, y, x] = value * gain[y, x]
