"""Weigh Fourier modes of sums by dose and by the inverse of a response, in one pass."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True, fastmath=True)
def weigh_modes(
    modes: NDArray[np.float32],
    response: NDArray[np.float32],
    radius: NDArray[np.int16],
    curves: NDArray[np.float32],
    plain: int,
    least_response: np.float32,
    out: NDArray[np.float32],
) -> None:
    """Write the first `plain` sums over the response into out[:plain], and the dose-weighted one, if there are curves, into
    out[plain].

    modes (s, y, 2 x) and response (y, 2 x): real and imaginary parts in turn. curves: (c, points), the first is that of the sum
    of the `plain` sums, then one for each other sum, to be taken at `radius` (y, x).
    """
    height, width = radius.shape
    floor = least_response * least_response
    over_re, over_im = np.empty(width, np.float32), np.empty(width, np.float32)
    sum_re, sum_im = np.empty(width, np.float32), np.empty(width, np.float32)
    point = np.empty(width, np.uint64)
    # short loops over one row each: every one of them compiles to vector instructions
    for y in range(height):
        row = response[y]
        for x in range(width):
            re, im = row[2 * x], row[2 * x + 1]
            power = max(re * re + im * im, floor)
            over_re[x], over_im[x] = re / power, -im / power
            point[x] = np.uint64(radius[y, x])
        for s in range(plain):
            row, target = modes[s, y], out[s, y]
            for x in range(width):
                re, im = row[2 * x], row[2 * x + 1]
                sum_re[x] = re if s == 0 else sum_re[x] + re
                sum_im[x] = im if s == 0 else sum_im[x] + im
                target[2 * x] = re * over_re[x] - im * over_im[x]
                target[2 * x + 1] = re * over_im[x] + im * over_re[x]
        if len(curves) > 0:
            for x in range(width):
                weight = curves[0, point[x]]
                sum_re[x] *= weight
                sum_im[x] *= weight
            for c in range(1, len(curves)):
                row, curve = modes[plain + c - 1, y], curves[c]
                for x in range(width):
                    weight = curve[point[x]]
                    sum_re[x] += weight * row[2 * x]
                    sum_im[x] += weight * row[2 * x + 1]
            target = out[plain, y]
            for x in range(width):
                target[2 * x] = sum_re[x] * over_re[x] - sum_im[x] * over_im[x]
                target[2 * x + 1] = sum_re[x] * over_im[x] + sum_im[x] * over_re[x]
