"""Four-bit pixels, two to a byte, to bytes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_BYTES = np.arange(256, dtype=np.uint16)
_PAIRS = {
    # SerialEM and IMOD (MRC mode 101, K2/K3 super-resolution TIFF): the first pixel in the low four bits
    "low": ((_BYTES & 15) | ((_BYTES >> 4) << 8)).astype("<u2"),
    # the TIFF 6.0 specification for BitsPerSample = 4: the first pixel in the high four bits
    "high": ((_BYTES >> 4) | ((_BYTES & 15) << 8)).astype("<u2"),
}


def unpack(packed: NDArray[np.uint8], target: NDArray[np.uint8], *, first: str) -> None:
    """Unpack (y, bytes a row) into `target` (y, x) uint8; `first` says which half ("low", "high") of a byte holds the first
    pixel.

    bytes a row = (x + 1) // 2: a row of odd width ends with half a byte unused.
    """
    height, width = target.shape
    if width == packed.shape[1] * 2:
        np.take(_PAIRS[first], packed, out=target.view("<u2"), mode="clip")  # "raise" would buffer the output
    else:
        target[:] = np.take(_PAIRS[first], packed).view(np.uint8).reshape(height, -1)[:, :width]
