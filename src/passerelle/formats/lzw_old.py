"""LZW as files before TIFF 5 have it: the same codes, their bits from the lowest up, and each length begun one code later."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

_CLEAR, _END = 256, 257


@numba.njit(cache=True, nogil=True)
def renewed(stored: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the codes of an old strip as TIFF 6.0 writes them; what they mean is for the decoder to ask."""
    # a code has as many bits as before, or one more where the length begins earlier: three times behind a clear of 9 bits
    target = np.empty(stored.size + stored.size // 2 + 16, np.uint8)
    used = 0
    read_width = write_width = 9
    meanings = _END
    at = 0
    word = held = 0  # bits that wait for a whole byte
    while at + read_width <= 8 * stored.size:
        code = 0
        for byte in range(min(3, stored.size - (at >> 3))):
            code |= np.int64(stored[(at >> 3) + byte]) << (8 * byte)
        code = code >> (at & 7) & ((1 << read_width) - 1)
        at += read_width
        word = word << write_width | code
        held += write_width
        while held >= 8:
            held -= 8
            target[used] = word >> held
            used += 1
        word &= (1 << held) - 1
        if code == _END:
            break
        if code == _CLEAR:
            read_width = write_width = 9
            meanings = _END
        else:
            meanings += 1
            if meanings >= 1 << read_width:
                read_width = min(read_width + 1, 12)
            if meanings >= (1 << write_width) - 1:
                write_width = min(write_width + 1, 12)
    target[used] = word << (8 - held) & 255
    return target[: used + 1]
