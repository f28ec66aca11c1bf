"""Fused loops over raw frames: sum over time, and gain + defects + binning in one pass. Frames stay in the dtype they were written in."""

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
    """Add rows first … last of all frames into `total` (y, x); return the sum of squares. Values not finite count as 0 and are counted."""
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
    return squares


@njit(cache=True, nogil=True, fastmath=_MATH)
def bin_rows(
    frames: NDArray[Any],
    gain: NDArray[np.float32],
    scale: NDArray[np.float32],
    factor: int,
    out: NDArray[np.float32],
    first: int,
    last: int,
) -> None:
    """Write binned rows first … last of all frames: out[t, Y, X] = scale[Y, X] * sum over factor² pixels of frame * gain.

    gain is 0 at defects; scale is factor² / (good pixels of the block), so that a block with a few defects keeps its mean.
    """
    width = out.shape[2]
    columns = width * factor
    line = np.empty(columns, np.float32)
    for row in range(first, last):
        for t in range(frames.shape[0]):
            line[:] = np.float32(0.0)
            for j in range(factor):
                source = frames[t, row * factor + j]
                multiplier = gain[row * factor + j]
                for x in range(columns):
                    value = np.float32(source[x])
                    value = value if abs(value) < HUGE else np.float32(0.0)
                    line[x] += value * multiplier[x]
            target = out[t, row]
            for x in range(width):
                value = np.float32(0.0)
                for j in range(factor):
                    value += line[x * factor + j]
                target[x] = value * scale[row, x]
