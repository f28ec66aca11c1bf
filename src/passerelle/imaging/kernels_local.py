"""The mean of each pixel's neighbourhood, counting live pixels only."""

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
        for x in range(width):
            total, count = np.float32(0.0), np.float32(0.0)
            for j in range(2 * reach + 1):
                total += sums[x + j]
                count += counts[x + j]
            target[x] = total / count if count >= np.float32(least) else np.float32(0.0)


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
