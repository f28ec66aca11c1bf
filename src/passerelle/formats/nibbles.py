"""Four-bit pixels, two to a byte, to bytes."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

_BLOCK_BYTES = 1 << 16  # unpacked in pieces that stay in cache
_BOTH = np.uint16(0x0F0F)


def unpack(packed: NDArray[np.uint8], target: NDArray[np.uint8], *, first: Literal["low", "high"]) -> None:
    """Unpack (y, bytes a row) into `target` (y, x) uint8; `first` says which half of a byte holds the first pixel.

    "low" is what SerialEM and IMOD write (MRC mode 101, K2/K3 super-resolution TIFF), "high" what the TIFF 6.0 specification says
    for BitsPerSample = 4. bytes a row = (x + 1) // 2: a row of odd width ends with half a byte unused.
    """
    height, width = target.shape
    even = width == packed.shape[1] * 2
    rows = max(1, _BLOCK_BYTES // packed.shape[1])
    for start in range(0, height, rows):
        # a byte's halves as two bytes of a little-endian word
        pairs = packed[start : start + rows].astype("<u2")
        if first == "low":
            pairs |= pairs << 4
        else:
            pairs = pairs >> 4 | pairs << 8
        place = target[start : start + rows]
        if even:
            np.bitwise_and(pairs, _BOTH, out=place.view("<u2"))
        else:
            pairs &= _BOTH
            place[:] = pairs.view(np.uint8)[:, :width]
