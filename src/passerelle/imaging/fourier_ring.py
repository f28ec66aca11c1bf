"""Fourier ring correlation: how alike two pictures are, band by band."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerelle.core.errors import BadInput
from passerelle.imaging.fft import rfft2

_SOFT_EDGE = 0.1  # of each side


def fourier_ring_correlation(
    a: NDArray[Any], b: NDArray[Any], *, rings: int | None = None, soft_edge: bool = True, threads: int = 1
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (spacing, correlation) of two pictures (y, x) of one shape, over `rings` rings of equal width from 0 to Nyquist.

    spacing: the middle of each ring in cycles per pixel; divide by the pixel size for 1/Å. correlation: the normalised
    cross-correlation of the transforms over a ring (van Heel 1987, Ultramicroscopy 21, 95), from -1 to 1; 0 where one picture has
    no power. Without `rings` they are one step of the transform wide. soft_edge: taper the pictures over a tenth of each side, so
    that the edges that both pictures share are not taken for likeness.

    Raises:
        BadInput: the shapes differ, or a picture is not a plane.
    """
    if a.ndim != 2 or a.shape != b.shape or min(a.shape) < 4:
        raise BadInput(f"pictures of shapes {a.shape} and {b.shape} cannot be compared; expected two equal planes (y, x).")
    height, width = a.shape
    count = min(height, width) // 2 if rings is None else rings
    if not 1 <= count <= max(height, width):
        raise BadInput(f"{count} rings were asked for; expected 1 to {max(height, width)}.")
    first, second = (rfft2(_centred(picture, soft_edge), workers=threads) for picture in (a, b))
    fy, fx = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :]
    ring = (np.hypot(fy, fx) * (2 * count)).astype(np.intp)
    inside = ring < count
    ring = ring[inside]
    # a half transform holds each pair of mirror points once, but for the columns that are their own mirror
    twice = np.full(width // 2 + 1, 2.0)
    twice[0] = 1.0
    if width % 2 == 0:
        twice[-1] = 1.0
    times = np.broadcast_to(twice, inside.shape)[inside]
    first, second = first[inside].astype(np.complex128), second[inside].astype(np.complex128)
    cross = np.bincount(ring, times * (first.real * second.real + first.imag * second.imag), count)
    power = np.bincount(ring, times * np.abs(first) ** 2, count) * np.bincount(ring, times * np.abs(second) ** 2, count)
    correlation = np.divide(cross, np.sqrt(power), out=np.zeros(count), where=power > 0)
    return (np.arange(count) + 0.5) / (2 * count), correlation


def _centred(picture: NDArray[Any], soft_edge: bool) -> NDArray[np.float32]:
    """Return the picture less its mean, tapered at its edges."""
    values = picture.astype(np.float64)
    values -= values.mean()
    if soft_edge:
        values *= _window(values.shape[0])[:, None] * _window(values.shape[1])[None, :]
        values -= values.mean()
    return values.astype(np.float32)


def _window(length: int) -> NDArray[np.float64]:
    ramp = max(1, round(length * _SOFT_EDGE))
    window = np.ones(length)
    window[:ramp] = np.sin(0.5 * np.pi * (np.arange(ramp) + 0.5) / ramp) ** 2
    window[-ramp:] = window[:ramp][::-1]
    return window
