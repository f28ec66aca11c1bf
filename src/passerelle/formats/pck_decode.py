"""The packed images of mar345 detectors to pixels: what is left of the mean of four neighbours, in as many bits as a run needs.

Bits are read from the lowest of each byte. A run begins with three bits for the logarithm of its length and three for the width
of its numbers. Sums are taken in 16 bits with their sign and cut towards nought, as the program that wrote them does. Source:
J. P. Abrahams' pack_c.c in CCP4 and CBFlib. fabio's decoder of these files writes beyond its memory where they are damaged.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

_WIDTHS = np.array([0, 4, 5, 6, 7, 8, 16, 32])


def unpack(stored: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint16] | None:
    """Return the image (y, x), or None where what is stored ends before it."""
    image = np.empty(width * height, np.int16)
    if _unpack(stored, width, image) < image.size:
        return None
    return image.view(np.uint16).reshape(height, width)


@numba.njit(cache=True, nogil=True)
def _unpack(stored: NDArray[np.uint8], width: int, image: NDArray[np.int16]) -> int:
    end = 8 * stored.size
    at = 0
    pixel = 0
    while pixel < image.size and at + 6 <= end:
        head = _bits(stored, at, 6)
        at += 6
        wide = _WIDTHS[head >> 3]
        for _ in range(min(1 << (head & 7), image.size - pixel)):
            if at + wide > end:
                return pixel
            value = _bits(stored, at, wide)
            at += wide
            if wide and value >> (wide - 1):
                value -= 1 << wide
            if pixel > width:
                near = np.int64(image[pixel - 1]) + image[pixel - width + 1] + image[pixel - width] + image[pixel - width - 1] + 2
                value += near >> 2 if near >= 0 else -(-near >> 2)
            elif pixel:
                value += image[pixel - 1]
            image[pixel] = np.int16(((value + 32768) & 65535) - 32768)
            pixel += 1
    return pixel


@numba.njit(cache=True, nogil=True, inline="always")
def _bits(stored: NDArray[np.uint8], at: int, count: int) -> int:
    byte = at >> 3
    word = np.int64(0)
    for k in range(((at & 7) + count + 7) >> 3):
        word |= np.int64(stored[byte + k]) << (8 * k)
    return int((word >> (at & 7)) & ((np.int64(1) << count) - 1))
