"""The picture of a spectrum that a person judges a fit by: the measured amplitudes beside the fitted rings."""

# numpy leaves types of arithmetic unknown, scipy declares none
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false
from __future__ import annotations

import math

import numpy as np
import scipy.ndimage as ndimage
from numpy.typing import NDArray

from passerelle.imaging.ctf_fit import CtfFit
from passerelle.imaging.ctf_model import ctf_phase, defocus_along
from passerelle.imaging.spectrum import Spectrum

_LOW_PERCENT, _HIGH_PERCENT = 0.5, 99.5
_SMOOTH_SHARE_OF_RADIUS, _SMOOTH_SHARE_OF_BOX = 0.35, 1.0 / 20.0
_ARC_DEG = 22.5
_RING_SIGMAS, _NOISE_SIGMAS = 2.0, 5.0  # black and white are so far from grey
_RAYLEIGH = 0.5227  # spread of the amplitude of noise over its mean
_BEYOND = 0.35  # strength of fitted rings beyond the resolution


def spectrum_picture(spectrum: Spectrum, fit: CtfFit | None) -> NDArray[np.uint8]:
    """Return uint8 (box, box), zero frequency in the middle, row 0 at the bottom as in all pictures of this room.

    Left above: the measured amplitudes over their smooth radial fall. Left below: the same, averaged along arcs of 22.5° and
    stretched to the contrast of each radius, so that faint rings show. Right: sin² chi of the fit, fainter beyond its resolution;
    without a fit the measured amplitudes.
    """
    amplitude = _whole_plane(_flattened(spectrum.amplitude.astype(np.float64)))
    box = amplitude.shape[0]
    middle = box // 2
    low, high = np.percentile(amplitude, [_LOW_PERCENT, _HIGH_PERCENT])
    shown = np.clip((amplitude - low) / max(float(high - low), 1e-12), 0.0, 1.0)
    axis = (np.arange(box) - middle) * (2.0 * spectrum.edge_per_angstrom / box)
    shown[:middle, :middle] = _arcs(spectrum, axis[:middle, None], axis[None, :middle])
    if fit is not None:
        shown[:, middle:] = _model(fit, axis[:, None], axis[None, middle:])
    return np.round(255.0 * shown).astype(np.uint8)


def _flattened(amplitude: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return amplitudes (box, box // 2 + 1) divided by their smooth radial fall."""
    box = amplitude.shape[0]
    radius = np.hypot(np.fft.fftfreq(box)[:, None], np.fft.rfftfreq(box)[None, :]) * box
    ring = radius.astype(np.intp)
    mean = np.bincount(ring.ravel(), amplitude.ravel()) / np.maximum(np.bincount(ring.ravel()), 1)
    place = np.arange(mean.size) + 0.5
    # the fall is steep near the middle: there the mean runs over few radii
    reach = np.clip(np.minimum(place * _SMOOTH_SHARE_OF_RADIUS, box * _SMOOTH_SHARE_OF_BOX), 1, None)
    fall = np.exp(_running_mean(np.log(np.maximum(mean, 1e-12 * float(mean.max()) + 1e-300)), reach))
    return amplitude / np.interp(radius, place, fall)


def _arcs(spectrum: Spectrum, sy: NDArray[np.float64], sx: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the amplitudes averaged along arcs at spatial frequencies (sy, sx), 0..1."""
    weight = spectrum.weight.astype(np.float64)
    sectors, steps = weight.shape
    width = max(1, round(_ARC_DEG * sectors / 180.0))
    place = np.arange(steps) + 0.5
    # cells of squared frequency that lie within one pixel of the picture
    within = np.sqrt(spectrum.squared) * (2.0 * float(sx[0, 1] - sx[0, 0])) / spectrum.squared_step
    count = _running_mean(ndimage.uniform_filter1d(weight, width, axis=0, mode="wrap"), 0.5 * within)
    total = _running_mean(ndimage.uniform_filter1d(spectrum.polar * weight, width, axis=0, mode="wrap"), 0.5 * within)
    mean = total / np.maximum(count, 1e-9)
    reach = np.clip(np.minimum(place * _SMOOTH_SHARE_OF_RADIUS, steps * _SMOOTH_SHARE_OF_BOX), 2, None)
    fall = np.exp(_running_mean(np.log(np.maximum(mean, 1e-12 * float(mean.max()) + 1e-300)), reach))
    contrast = mean / fall - 1.0
    spread = np.sqrt(_running_mean(np.square(contrast.mean(axis=0)), reach))
    pixels = width * np.maximum(count.mean(axis=0) * np.maximum(within, 1.0), 1.0)
    noise = _RAYLEIGH / np.sqrt(pixels)
    contrast /= np.maximum(_RING_SIGMAS * spread, _NOISE_SIGMAS * noise)
    squared = (sx * sx + sy * sy) / spectrum.squared_step
    angle = (np.arctan(np.divide(sy, sx, out=np.full(squared.shape, np.inf), where=sx != 0)) / math.pi + 0.5) * sectors
    sampled = ndimage.map_coordinates(contrast, [angle - 0.5, squared - 0.5], order=1, mode="nearest")
    return np.where(squared < steps, np.clip(0.5 + 0.5 * sampled, 0.0, 1.0), 0.5)


def _running_mean(values: NDArray[np.float64], reach: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean along the last axis over `reach` places to each side, fewer near the ends."""
    total = np.pad(np.cumsum(values, axis=-1), [(0, 0)] * (values.ndim - 1) + [(1, 0)])
    place = np.arange(values.shape[-1])
    half = np.minimum(np.minimum(place, place[::-1]), reach.astype(np.intp))
    return (total[..., place + half + 1] - total[..., place - half]) / (2 * half + 1)


def _whole_plane(half: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (box, box) with zero frequency at [box // 2, box // 2] from (box, box // 2 + 1) in the order of rfft2."""
    box = half.shape[0]
    right = np.fft.fftshift(half, axes=0)
    whole = np.empty((box, box))
    whole[:, box // 2 :] = right[:, : box - box // 2]
    mirrored = (-(np.arange(box) - box // 2)) % box
    rows = (mirrored + box // 2) % box
    whole[:, : box // 2] = right[rows][:, box // 2 : 0 : -1]
    return whole


def _model(fit: CtfFit, sy: NDArray[np.float64], sx: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return sin² chi at spatial frequencies (sy, sx), faint beyond the fit's resolution."""
    squared = sx * sx + sy * sy
    defocus = defocus_along(np.arctan2(sy, sx), fit.defocus_u_angstrom, fit.defocus_v_angstrom, fit.angle_deg)
    rings = np.square(np.sin(ctf_phase(squared, fit.optics, defocus, fit.phase_shift_deg)))
    # rings finer than two pixels would be drawn as moiré: fade them into grey
    step = float(sx[0, 1] - sx[0, 0])
    rings_a_pixel = 2.0 * np.sqrt(squared) * step * fit.optics.defocus_term * np.abs(defocus) / math.pi
    fade = np.clip(2.0 - 4.0 * rings_a_pixel, 0.0, 1.0)
    strength = np.where(squared <= fit.resolution_angstrom**-2, 1.0, _BEYOND) * fade
    return 0.5 + (rings - 0.5) * strength
