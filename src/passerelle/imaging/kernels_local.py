"""Each pixel of a mean frame beside its neighbours: the mean of the neighbourhood, counting live pixels only, what stands out of
it, and the detail near Nyquist.

Loops over pictures that take no other picture's room: fresh memory costs more than the arithmetic.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True, fastmath=True)
def local_mean(
    picture: NDArray[np.float32], live: NDArray[np.bool_], reach: int, least: int, out: NDArray[np.float32], first: int, last: int
) -> None:
    """Write rows first … last of out (y, x): the mean of `picture` over the live pixels within ± reach, 0 where fewer than
    `least`."""
    height, width = picture.shape
    sums = np.zeros(width + 2 * reach, np.float32)
    counts = np.zeros(width + 2 * reach, np.float32)
    total, count = np.empty(width, np.float32), np.empty(width, np.float32)
    for y in range(first, last):
        top, bottom = max(y - reach, 0), min(y + reach, height - 1)
        # sums are begun afresh now and then, so that rounding does not pile up
        if y == first or (y - first) % 64 == 0:
            sums[:] = np.float32(0.0)
            counts[:] = np.float32(0.0)
            for row in range(top, bottom + 1):
                for x in range(width):
                    if live[row, x]:
                        sums[reach + x] += picture[row, x]
                        counts[reach + x] += np.float32(1.0)
        else:
            gone = y - 1 - reach
            if gone >= 0:
                for x in range(width):
                    alive = np.float32(1.0) if live[gone, x] else np.float32(0.0)
                    sums[reach + x] -= alive * picture[gone, x]
                    counts[reach + x] -= alive
            come = y + reach
            if come < height:
                for x in range(width):
                    alive = np.float32(1.0) if live[come, x] else np.float32(0.0)
                    sums[reach + x] += alive * picture[come, x]
                    counts[reach + x] += alive
        target = out[y]
        total[:] = np.float32(0.0)
        count[:] = np.float32(0.0)
        for j in range(np.uint64(2 * reach + 1)):
            for x in range(np.uint64(width)):
                total[x] += sums[x + j]
                count[x] += counts[x + j]
        for x in range(width):
            target[x] = total[x] / count[x] if count[x] >= np.float32(least) else np.float32(0.0)


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz", "arcp"})
def mean_of_live(
    mean: NDArray[np.float32], gain: NDArray[np.float32], live: NDArray[np.bool_], out: NDArray[np.float32]
) -> float:
    """Write mean · gain (y, x) into `out`, 0 where it is not live; take from `live` what is not finite or has no gain; return the
    mean of the live. gain is (0, 0) for none."""
    height, width = mean.shape
    total, count = 0.0, 0
    for y in range(height):
        source, alive, target = mean[y], live[y], out[y]
        if gain.shape[0] > 0:
            factor = gain[y]
            for x in range(width):
                value = source[x] * factor[x]
                good = alive[x] and factor[x] > 0 and -np.inf < value < np.inf
                target[x] = value if good else np.float32(0.0)
                alive[x] = good
        else:
            for x in range(width):
                good = alive[x] and -np.inf < source[x] < np.inf
                target[x] = source[x] if good else np.float32(0.0)
                alive[x] = good
        part, there = np.float32(0.0), 0
        for x in range(width):
            part += target[x]
        for x in range(width):
            there += 1 if alive[x] else 0
        total += part
        count += there
    return float(total / count) if count > 0 else 0.0


@njit(cache=True, nogil=True, fastmath=True)
def stabilise(picture: NDArray[np.float32], scale: np.float32) -> None:
    """Replace counts by twice the square root of counts · scale + 3/8: noise of 1 whatever the count (Anscombe 1948)."""
    flat = picture.reshape(-1)
    for i in range(len(flat)):
        flat[i] = np.float32(2.0) * np.sqrt(max(flat[i] * scale, np.float32(0.0)) + np.float32(0.375))


@njit(cache=True, nogil=True, fastmath=True)
def subtract_from(picture: NDArray[np.float32], local: NDArray[np.float32]) -> None:
    """Turn `local` into picture - local where it is not 0."""
    one, other = picture.reshape(-1), local.reshape(-1)
    for i in range(len(one)):
        other[i] = one[i] - other[i] if other[i] > 0 else np.float32(0.0)


@njit(cache=True, nogil=True, fastmath=True)
def standing_out(
    away: NDArray[np.float32], centre: np.float32, limit: np.float32, known: NDArray[np.bool_], out: NDArray[np.bool_]
) -> int:
    """Write where `away` (y, x) is further than `limit` from its centre and not known; return how many."""
    one, old, new = away.reshape(-1), known.reshape(-1), out.reshape(-1)
    for i in range(len(one)):
        new[i] = abs(one[i] - centre) > limit and not old[i]
    count = 0
    for i in range(len(one)):
        count += 1 if new[i] else 0
    return count


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz", "arcp"})
def chess_board_power(mean: NDArray[np.float32], gain: NDArray[np.float32], defects: NDArray[np.bool_]) -> tuple[float, int]:
    """Return the sum of squares over 2 × 2 pixels of their sum with signs of a chess board, and of how many; see chess_board.
    gain and defects are (0, 0) for none."""
    height, width = mean.shape
    rows, alive = np.zeros((2, width), np.float32), np.zeros((2, width), np.float32)
    square, whole = np.zeros(width, np.float32), np.zeros(width, np.float32)
    total, count = 0.0, 0
    for y in range(height):
        source, lower, good = mean[y], rows[y % 2], alive[y % 2]
        upper, before = rows[1 - y % 2], alive[1 - y % 2]
        lower[:] = source
        good[:] = np.float32(1.0)
        if gain.shape[0] > 0:
            factor = gain[y]
            for x in range(width):
                lower[x] *= factor[x]
                good[x] = np.float32(1.0) if factor[x] > 0 else np.float32(0.0)
        if defects.shape[0] > 0:
            bad = defects[y]
            for x in range(width):
                good[x] = np.float32(0.0) if bad[x] else good[x]
        for x in range(width):
            lower[x] = lower[x] if good[x] > 0 else np.float32(0.0)
        if y > 0:
            for x in range(width - 1):
                whole[x] = before[x] * before[x + 1] * good[x] * good[x + 1]
                square[x] = (upper[x] - lower[x]) - (upper[x + 1] - lower[x + 1])
            part, there = np.float32(0.0), np.float32(0.0)
            for x in range(width - 1):
                part += whole[x] * square[x] * square[x]
                there += whole[x]
            total += part
            count += int(there)
    return float(total), count


def neighbourhood_mean(
    picture: NDArray[np.float32], live: NDArray[np.bool_], reach: int, least_share: float = 0.1
) -> NDArray[np.float32]:
    """Return the mean over the live pixels of (2 · reach + 1)² around each pixel (y, x), 0 where fewer than `least_share` are
    live.

    `picture` must be finite, also where it is not live.
    """
    out = np.empty(picture.shape, np.float32)
    local_mean(picture, live, reach, max(1, int(least_share * (2 * reach + 1) ** 2)), out, 0, picture.shape[0])
    return out
