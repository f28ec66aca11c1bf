"""Fused loops over raw frames: sum over time, and gain + defects + binning in one pass. Frames stay in the dtype they were
written in."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

# No "nnan": values that are not finite must be seen as such.
_MATH = {"contract", "reassoc", "nsz", "arcp"}
HUGE = np.float32(1e30)  # beyond this a float pixel counts as not finite; compared from both sides, whole numbers never are
_ROWS = 4  # rows of boxes that are reduced together


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
                finite = -HUGE < value < HUGE
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
                    if not -HUGE < np.float32(source[x]) < HUGE:
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
    """Write rows first … last of all frames reduced by step = every · box: boxes of box × box pixels, then 4 · every taps_y and
    taps_x over them. out (t, y // step, x // step); gain (y, x) is 0 at defects. Beyond the edges the last boxes repeat.
    """
    rows, columns = out.shape[1], out.shape[2]
    boxes = columns * every
    before = (len(taps_y) - every) // 2
    margin = len(taps_x) // every  # in columns of out
    shift = margin * every - before  # tap j reads box every * (x + margin) + j - before of the line with its margin
    line = np.empty(boxes * box, np.float32)
    boxed = np.empty(boxes, np.float32)
    phases = np.empty((every, columns + 2 * margin), np.float32)
    reduced = np.empty(columns, np.float32)
    low, high = first * every - before, (last - 1) * every - before + len(taps_y)
    # a few rows of one frame at a time, then the same of the next: the gain and the sums stay in cache
    for y0 in range(low, high, _ROWS):
        for t in range(frames.shape[0]):
            for y in range(y0, min(y0 + _ROWS, high)):
                row = box * min(max(y, 0), every * rows - 1)
                _gained(frames[t, row], gain[row], line)
                for j in range(1, box):
                    _add_gained(frames[t, row + j], gain[row + j], line)
                _sum_boxes(line, box, boxed)
                _split(boxed, every, margin, phases)
                for p in range(every):
                    # the four taps of one phase lie `every` boxes apart, side by side in its row
                    source = phases[(shift + p) % every]
                    start = (shift + p) // every
                    a, b, c, d = taps_x[p], taps_x[p + every], taps_x[p + 2 * every], taps_x[p + 3 * every]
                    w, x0, y1, z = source[start:], source[start + 1 :], source[start + 2 :], source[start + 3 :]
                    if p == 0:
                        for x in range(columns):
                            reduced[x] = a * w[x] + b * x0[x] + c * y1[x] + d * z[x]
                    else:
                        for x in range(columns):
                            reduced[x] += a * w[x] + b * x0[x] + c * y1[x] + d * z[x]
                # this row of boxes is met by the taps of the rows of out around it
                for place in range(max(first, (y + before - len(taps_y)) // every + 1), min(last, (y + before) // every + 1)):
                    j = y + before - place * every
                    tap, target = taps_y[j], out[t, place]
                    if j == 0:
                        for x in range(columns):
                            target[x] = tap * reduced[x]
                    else:
                        for x in range(columns):
                            target[x] += tap * reduced[x]


@njit(cache=True, nogil=True, fastmath=_MATH)
def _gained(source: NDArray[Any], gain: NDArray[np.float32], line: NDArray[np.float32]) -> None:
    for x in range(len(line)):
        value = np.float32(source[x])
        value = value if -HUGE < value < HUGE else np.float32(0.0)
        line[x] = value * gain[x]


@njit(cache=True, nogil=True, fastmath=_MATH)
def _add_gained(source: NDArray[Any], gain: NDArray[np.float32], line: NDArray[np.float32]) -> None:
    for x in range(len(line)):
        value = np.float32(source[x])
        value = value if -HUGE < value < HUGE else np.float32(0.0)
        line[x] += value * gain[x]


@njit(cache=True, nogil=True, fastmath=_MATH)
def _sum_boxes(line: NDArray[np.float32], box: int, out: NDArray[np.float32]) -> None:
    """Sum `box` neighbours each; the usual widths are written out, which compiles to a few shuffles."""
    if box == 1:
        out[:] = line
    elif box == 2:
        for x in range(len(out)):
            out[x] = line[2 * x] + line[2 * x + 1]
    elif box == 4:
        for x in range(len(out)):
            out[x] = (line[4 * x] + line[4 * x + 1]) + (line[4 * x + 2] + line[4 * x + 3])
    else:
        for x in range(len(out)):
            total = np.float32(0.0)
            for j in range(box):
                total += line[box * x + j]
            out[x] = total


@njit(cache=True, nogil=True, fastmath=_MATH)
def _split(line: NDArray[np.float32], every: int, margin: int, phases: NDArray[np.float32]) -> None:
    """Write every every-th value side by side, phases (every, margin + columns + margin), the ends repeated."""
    columns = len(line) // every
    if every == 2:
        even, odd = phases[0, margin:], phases[1, margin:]
        for x in range(columns):
            even[x] = line[2 * x]
            odd[x] = line[2 * x + 1]
    elif every == 3:
        one, two, three = phases[0, margin:], phases[1, margin:], phases[2, margin:]
        for x in range(columns):
            one[x] = line[3 * x]
            two[x] = line[3 * x + 1]
            three[x] = line[3 * x + 2]
    else:
        for p in range(every):
            for x in range(columns):
                phases[p, margin + x] = line[x * every + p]
    for p in range(every):
        for x in range(margin):
            phases[p, x] = line[0]
            phases[p, margin + columns + x] = line[len(line) - 1]


@njit(cache=True, nogil=True, fastmath=_MATH)
def apply_gain(frames: NDArray[Any], gain: NDArray[np.float32], out: NDArray[np.float32], first: int, last: int) -> None:
    """Write frames first … last times gain (y, x), 0 where a value is not finite."""
    for t in range(first, last):
        for y in range(out.shape[1]):
            for x in range(out.shape[2]):
                value = np.float32(frames[t, y, x])
                value = value if -HUGE < value < HUGE else np.float32(0.0)
                out[t, y, x] = value * gain[y, x]
