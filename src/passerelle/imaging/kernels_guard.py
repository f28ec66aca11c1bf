"""Room for a kernel to write into, kept away from all other arrays, so that the same frames give the same bits in every process.

A compiled loop that writes one array while it sums another first asks whether the two lie within a few vectors of each other. If
they do, though they never overlap, it takes its slow path, which adds in another order: the last bit of the sum then depends on
where memory was handed out, and a movie that is done again after a crash would differ from one that was not (seen once in about a
thousand movies, by 1e-9 px).
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

_GUARD = 256  # floats on either side; the loops ask within 64


@njit(cache=True, nogil=True)
def guarded(length: int) -> NDArray[np.float32]:
    """Return float32 of `length`, not set to anything, with nothing else within a kibibyte of it."""
    return np.empty(length + 2 * _GUARD, np.float32)[_GUARD : _GUARD + length]
