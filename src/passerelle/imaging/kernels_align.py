"""Correlate all frames of a picture at once: one pass over their Fourier modes gives every frame's slope and curvature at its
shift."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from passerelle.imaging.kernels_guard import guarded

_BLOCK = 512  # modes summed in float32 before they are added in float64


@njit(cache=True, nogil=True, fastmath=True)
def cut_windows(
    pictures: NDArray[np.float32],
    tops: NDArray[np.int64],
    lefts: NDArray[np.int64],
    window: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Write out[t, :h, :w] = (a cut of pictures[t] at its top and left, less its mean) * window (h, w); beyond the window
    zeros."""
    height, width = window.shape
    source, target, factor = pictures.reshape(-1), out.reshape(-1), window.reshape(-1)
    columns = np.uint64(width)
    for t in range(pictures.shape[0]):
        first = (t * pictures.shape[1] + tops[t]) * pictures.shape[2] + lefts[t]
        total = 0.0
        for y in range(height):
            start = np.uint64(first + y * pictures.shape[2])
            part = np.float32(0.0)
            for x in range(columns):
                part += source[start + x]
            total += part
        mean = np.float32(total / (height * width))
        for y in range(height):
            # unsigned offsets, no slices: see kernels_shift
            start, place = np.uint64(first + y * pictures.shape[2]), np.uint64((t * out.shape[1] + y) * out.shape[2])
            row = np.uint64(y * width)
            for x in range(columns):
                target[place + x] = (source[start + x] - mean) * factor[row + x]
            for x in range(columns, np.uint64(out.shape[2])):
                target[place + x] = np.float32(0.0)
        out[t, height:] = np.float32(0.0)


@njit(cache=True, nogil=True, fastmath=True)
def gather_modes(
    spectra: NDArray[np.complex64], rows: NDArray[np.int32], columns: NDArray[np.int32], first: int, modes: NDArray[np.float32]
) -> None:
    """Copy the chosen modes of half transforms (n, y, x) into modes[m, re/im, first … first + n], frames side by side."""
    count = np.uint64(modes.shape[2])
    size = np.uint64(spectra.shape[1] * spectra.shape[2])
    source, target = spectra.reshape(-1), modes.reshape(-1)
    for m in range(len(rows)):
        place = np.uint64(rows[m] * spectra.shape[2] + columns[m])
        to = np.uint64(2 * m) * count + np.uint64(first)
        for t in range(np.uint64(spectra.shape[0])):
            value = source[place + t * size]
            target[to + t] = value.real
            target[to + count + t] = value.imag


@njit(cache=True, nogil=True, fastmath=True)
def correlate_modes(
    modes: NDArray[np.float32],
    rows: NDArray[np.int32],
    columns: NDArray[np.int32],
    ky: NDArray[np.float32],
    kx: NDArray[np.float32],
    weights: NDArray[np.float32],
    phase_y: NDArray[np.float32],
    phase_x: NDArray[np.float32],
    out: NDArray[np.float64],
) -> None:
    """Add to out (6, t): correlation of each frame with the sum of the others at the present shifts, its slope along y and x
    (per radian per cycle), and its curvature yy, xy, xx.

    modes (m, re/im, t); phase_y (rows, re/im, t) and phase_x (columns, re/im, t) turn each frame back by its shift; ky, kx,
    weights (m,).
    """
    count = modes.shape[2]
    real, imag = guarded(count), guarded(count)
    part = np.zeros((6, count), np.float32)
    c0, cy, cx, cyy, cxy, cxx = part[0], part[1], part[2], part[3], part[4], part[5]
    for m in range(modes.shape[0]):
        a_re, a_im = phase_y[rows[m], 0], phase_y[rows[m], 1]
        b_re, b_im = phase_x[columns[m], 0], phase_x[columns[m], 1]
        x_re, x_im = modes[m, 0], modes[m, 1]
        sum_re, sum_im = np.float32(0.0), np.float32(0.0)
        for t in range(count):
            p_re = a_re[t] * b_re[t] - a_im[t] * b_im[t]
            p_im = a_re[t] * b_im[t] + a_im[t] * b_re[t]
            y_re = x_re[t] * p_re - x_im[t] * p_im
            y_im = x_re[t] * p_im + x_im[t] * p_re
            real[t], imag[t] = y_re, y_im
            sum_re += y_re
            sum_im += y_im
        w = weights[m]
        wy, wx = w * ky[m], w * kx[m]
        wyy, wxy, wxx = wy * ky[m], wy * kx[m], wx * kx[m]
        for t in range(count):
            # the frame's own share of the sum would pull it to where it is: the others only
            match = sum_re * real[t] + sum_im * imag[t] - (real[t] * real[t] + imag[t] * imag[t])
            slip = sum_im * real[t] - sum_re * imag[t]
            c0[t] += w * match
            cy[t] += wy * slip
            cx[t] += wx * slip
            cyy[t] -= wyy * match
            cxy[t] -= wxy * match
            cxx[t] -= wxx * match
        if m % _BLOCK == _BLOCK - 1:
            out += part
            part[:] = np.float32(0.0)
    out += part


@njit(cache=True, nogil=True, fastmath=True)
def common_power(
    modes: NDArray[np.float32],
    rows: NDArray[np.int32],
    columns: NDArray[np.int32],
    phase_y: NDArray[np.float32],
    phase_x: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Add to out (m,): the mean over pairs of different frames of their product, the frames turned back by their shifts."""
    count = modes.shape[2]
    for m in range(modes.shape[0]):
        a_re, a_im = phase_y[rows[m], 0], phase_y[rows[m], 1]
        b_re, b_im = phase_x[columns[m], 0], phase_x[columns[m], 1]
        x_re, x_im = modes[m, 0], modes[m, 1]
        sum_re, sum_im, own = np.float32(0.0), np.float32(0.0), np.float32(0.0)
        for t in range(count):
            p_re = a_re[t] * b_re[t] - a_im[t] * b_im[t]
            p_im = a_re[t] * b_im[t] + a_im[t] * b_re[t]
            sum_re += x_re[t] * p_re - x_im[t] * p_im
            sum_im += x_re[t] * p_im + x_im[t] * p_re
            own += x_re[t] * x_re[t] + x_im[t] * x_im[t]
        out[m] += (sum_re * sum_re + sum_im * sum_im - own) / np.float32(count * (count - 1))
