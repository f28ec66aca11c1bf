"""How like the specimen a corrected picture is, band by band, wherever a program has put each place of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

TILE_PX, RINGS = 512, 24
_STEPS = 6


def ring_correlation(picture: NDArray[np.float32], specimen: NDArray[np.float32], tiles: int = 5) -> NDArray[np.float64]:
    """Return the Fourier ring correlation (RINGS,) of a picture with the specimen (y, x), from zero frequency to Nyquist.

    Measured over tiles × tiles cuts of TILE_PX, each laid on the specimen by its own shift: one program takes the first frame
    for where things are, another the middle one, and the specimen's local motion between the two is no fault of either.
    """
    window = np.hanning(TILE_PX)[:, None] * np.hanning(TILE_PX)[None, :]
    fy, fx = np.fft.fftfreq(TILE_PX)[:, None], np.fft.rfftfreq(TILE_PX)[None, :]
    ring = np.minimum((np.hypot(fy, fx) * 2 * RINGS).astype(int), RINGS)
    sums = np.zeros((3, RINGS + 1))
    for top in _places(picture.shape[0], tiles):
        for left in _places(picture.shape[1], tiles):
            cut = np.s_[top : top + TILE_PX, left : left + TILE_PX]
            truth = np.fft.rfft2((specimen[cut] - specimen[cut].mean()) * window)
            shift = _shift(_transform(picture, top, left, (0, 0), window), truth, fy, fx)
            whole = np.rint(shift).astype(int)
            found = _transform(picture, top, left, (int(whole[0]), int(whole[1])), window)
            found *= np.exp(2j * np.pi * (fy * (shift[0] - whole[0]) + fx * (shift[1] - whole[1])))
            for row, value in enumerate(((found * truth.conj()).real, np.abs(found) ** 2, np.abs(truth) ** 2)):
                sums[row] += np.bincount(ring.ravel(), value.ravel(), RINGS + 1)
    return (sums[0] / np.sqrt(sums[1] * sums[2]))[:RINGS]


def _places(length: int, count: int) -> list[int]:
    """Return where the cuts begin, evenly spread and away from the edges, where a drift leaves nothing."""
    margin = length // 20
    return [round(place) for place in np.linspace(margin, length - margin - TILE_PX, count)]


def _transform(
    picture: NDArray[np.float32], top: int, left: int, whole: tuple[int, int], window: NDArray[np.float64]
) -> NDArray[np.complex128]:
    top = int(np.clip(top + whole[0], 0, picture.shape[0] - TILE_PX))
    left = int(np.clip(left + whole[1], 0, picture.shape[1] - TILE_PX))
    cut = picture[top : top + TILE_PX, left : left + TILE_PX].astype(np.float64)
    return np.fft.rfft2((cut - cut.mean()) * window)


def _shift(
    found: NDArray[np.complex128], truth: NDArray[np.complex128], fy: NDArray[np.float64], fx: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return by how much `found` lies off the truth (dy, dx): the highest correlation, then Newton's steps to its top."""
    cross = found * truth.conj() * np.exp(-((np.hypot(fy, fx) / 0.15) ** 2))
    match = np.fft.irfft2(cross, s=(TILE_PX, TILE_PX))
    peak = np.array(np.unravel_index(int(np.argmax(match)), match.shape), float)
    shift = (peak + TILE_PX // 2) % TILE_PX - TILE_PX // 2
    twice = np.full(fx.shape, 2.0)
    twice[0, 0] = twice[0, -1] = 1.0
    for _ in range(_STEPS):
        turned = cross * np.exp(2j * np.pi * (fy * shift[0] + fx * shift[1])) * twice
        slope = -2 * np.pi * np.array([(fy * turned.imag).sum(), (fx * turned.imag).sum()])
        mixed = (fy * fx * turned.real).sum()
        curvature = -4 * np.pi**2 * np.array([[(fy**2 * turned.real).sum(), mixed], [mixed, (fx**2 * turned.real).sum()]])
        shift = shift - np.linalg.solve(curvature, slope)
    return shift
