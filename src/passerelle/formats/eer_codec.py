"""The bit stream of electron events (EER): gaps between hit pixels and the place inside the pixel, to counts and back.

A frame is a list of codes, bits taken from the lowest of each byte upwards: `run_bits` for the number of pixels skipped since
the last event, then `x_bits` and `y_bits` for the place inside the pixel, as signed numbers (00 is the third quarter: hence the
exclusive or). A run of all ones skips that many pixels and carries no event; files of the first prototype (TIFF compression
65000) waste the place bits there, later ones (65001, 65002) do not. The frame ends where the runs reach the last pixel. Source:
"EER file format documentation 3.0", Thermo Fisher Scientific 2023; RELION's renderEER.

imagecodecs reads the same streams. It cannot say whether a frame ended where it should: a frame cut in half decodes without an
error (docs/decisions/0005). The agreement of both is a test.
"""

# pyright: reportUnknownMemberType=false
from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray


@numba.njit(cache=True, nogil=True)
def scan(data: NDArray[np.uint8], pixels: int, run_bits: int, place_bits: int, waste: bool) -> int:
    """Return the number of events of a frame of `pixels` pixels, or -1 if its codes do not end exactly at the last pixel."""
    full = (1 << run_bits) - 1
    step = run_bits + place_bits
    bits = data.size * 8
    at = 0
    pixel = 0
    events = 0
    while at + run_bits <= bits:
        byte = at >> 3
        word = np.uint32(data[byte])
        if byte + 1 < data.size:
            word |= np.uint32(data[byte + 1]) << np.uint32(8)
        run = (word >> np.uint32(at & 7)) & np.uint32(full)
        pixel += np.int64(run)
        if pixel >= pixels:
            return events if pixel == pixels else -1
        if run == full:
            at += step if waste else run_bits
        else:
            pixel += 1
            events += 1
            at += step
            if pixel == pixels:
                return events
    return -1


@numba.njit(cache=True, nogil=True)
def deposit(
    data: NDArray[np.uint8], width: int, run_bits: int, x_bits: int, y_bits: int, waste: bool, zoom: int, image: NDArray[Any]
) -> int:
    """Add one frame's events to `image` (y, x), which has 2**zoom times the detector's `width`; return their number, or -1 as
    `scan` does.

    The image is changed even if the frame turns out to be corrupt.
    """
    full = (1 << run_bits) - 1
    step = run_bits + x_bits + y_bits
    bits = data.size * 8
    pixels = width * (image.shape[0] >> zoom)
    x_mask, y_mask = (1 << x_bits) - 1, (1 << y_bits) - 1
    x_flip, y_flip = 1 << (x_bits - 1), 1 << (y_bits - 1)
    at = 0
    pixel = 0
    events = 0
    while at + run_bits <= bits:
        byte = at >> 3
        word = np.uint64(data[byte])
        if byte + 3 < data.size:
            word |= np.uint64(data[byte + 1]) << np.uint64(8)
            word |= np.uint64(data[byte + 2]) << np.uint64(16)
            word |= np.uint64(data[byte + 3]) << np.uint64(24)
        else:
            for more in range(1, data.size - byte):
                word |= np.uint64(data[byte + more]) << np.uint64(8 * more)
        code = np.int64(word >> np.uint64(at & 7))
        run = code & full
        pixel += run
        if pixel >= pixels:
            return events if pixel == pixels else -1
        if run == full:
            at += step if waste else run_bits
            continue
        if zoom == 0:
            image[pixel // width, pixel % width] += 1
        else:
            x = (((code >> run_bits) & x_mask) ^ x_flip) >> (x_bits - zoom)
            y = (((code >> (run_bits + x_bits)) & y_mask) ^ y_flip) >> (y_bits - zoom)
            image[((pixel // width) << zoom) + y, ((pixel % width) << zoom) + x] += 1
        pixel += 1
        events += 1
        at += step
        if pixel == pixels:
            return events
    return -1


@numba.njit(cache=True, nogil=True)
def encode(
    places: NDArray[np.int64],
    inside: NDArray[np.uint8],
    pixels: int,
    run_bits: int,
    place_bits: int,
    waste: bool,
    target: NDArray[np.uint8],
) -> int:
    """Write the codes of events at pixels `places` (ascending, distinct), `inside` their place bits as stored; return the bytes
    used.

    target: zeros, large enough (`eer_write.encoded_bytes`).
    """
    full = (1 << run_bits) - 1
    at = 0
    pixel = 0
    for index in range(places.size + 1):
        place = places[index] if index < places.size else pixels
        gap = place - pixel
        while gap >= full:
            _put(target, at, full, run_bits)
            at += run_bits + place_bits if waste else run_bits
            gap -= full
        _put(target, at, gap, run_bits)
        at += run_bits
        if index < places.size:
            _put(target, at, inside[index], place_bits)
        at += place_bits
        pixel = place + 1
    return (at + 7) >> 3


@numba.njit(cache=True, nogil=True)
def _put(target: NDArray[np.uint8], at: int, value: int, bits: int) -> None:
    byte = at >> 3
    word = np.uint32(value) << np.uint32(at & 7)
    for k in range(3):
        if (at & 7) + bits > 8 * k:
            target[byte + k] |= np.uint8((word >> np.uint32(8 * k)) & np.uint32(255))
