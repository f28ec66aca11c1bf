"""The picture of a spectrum that a person judges a fit by: left half measured, right half the fitted rings."""

# numpy leaves types of arithmetic unknown
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false
from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerelle.imaging.ctf_fit import CtfFit
from passerelle.imaging.ctf_model import ctf_phase, defocus_along
from passerelle.imaging.spectrum import Spectrum

_LOW_PERCENT, _HIGH_PERCENT = 1.0, 99.5
_SMOOTH_RADIUS_SHARE = 1.0 / 24.0


def spectrum_picture(spectrum: Spectrum, fit: CtfFit | None) -> NDArray[np.uint8]:
    """Return uint8 (box, box), zero frequency in the middle, row 0 at the bottom as in all pictures of this room.

    The right half shows sin² chi of the fit, as far as its resolution at full strength and fainter beyond; the left half the
    measured amplitudes, divided by their smooth radial fall. Without a fit both halves are measured.
    """
    full = _flattened(spectrum)
    box = full.shape[0]
    low, high = np.percentile(full, [_LOW_PERCENT, _HIGH_PERCENT])
    shown = np.clip((full - low) / max(float(high - low), 1e-12), 0.0, 1.0)
    if fit is not None:
        shown[:, box // 2 :] = _model(fit, box, spectrum.edge_per_angstrom)[:, box // 2 :]
    return np.round(255.0 * shown).astype(np.uint8)


def _flattened(spectrum: Spectrum) -> NDArray[np.float64]:
    """Return the whole plane (box, box), divided by its smooth radial fall and centred."""
    amplitude = spectrum.amplitude.astype(np.float64)
    box = amplitude.shape[0]
    radius = np.hypot(np.fft.fftfreq(box)[:, None], np.fft.rfftfreq(box)[None, :]) * box
    ring = radius.astype(np.intp)
    count = np.bincount(ring.ravel())
    mean = np.bincount(ring.ravel(), amplitude.ravel()) / np.maximum(count, 1)
    smooth = _running_geometric_mean(np.maximum(mean, 1e-12), max(2, round(box * _SMOOTH_RADIUS_SHARE)))
    relative = amplitude / np.interp(radius, np.arange(smooth.size) + 0.5, smooth)
    return _whole_plane(relative)


def _running_geometric_mean(values: NDArray[Any], reach: int) -> NDArray[np.float64]:
    total = np.concatenate([[0.0], np.cumsum(np.log(values))])
    place = np.arange(values.size)
    half = np.minimum(np.minimum(place, values.size - 1 - place), reach)
    return np.exp((total[place + half + 1] - total[place - half]) / (2 * half + 1))


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


def _model(fit: CtfFit, box: int, edge_per_angstrom: float) -> NDArray[np.float64]:
    """Return sin² chi over the plane, faint beyond the fit's resolution."""
    axis = (np.arange(box) - box // 2) * (2.0 * edge_per_angstrom / box)
    sy, sx = axis[:, None], axis[None, :]
    squared = sx * sx + sy * sy
    defocus = defocus_along(np.arctan2(sy, sx), fit.defocus_u_angstrom, fit.defocus_v_angstrom, fit.angle_deg)
    rings = np.square(np.sin(ctf_phase(squared, fit.optics, defocus, fit.phase_shift_deg)))
    # rings finer than two pixels would be drawn as moiré: fade them into grey
    step = axis[1] - axis[0]
    speed = 2.0 * np.sqrt(squared) * step * fit.optics.defocus_term * np.abs(defocus) / math.pi  # rings a pixel
    fade = np.clip(2.0 - 4.0 * speed, 0.0, 1.0)
    strength = np.where(squared <= fit.resolution_angstrom**-2, 1.0, 0.35) * fade
    return 0.5 + (rings - 0.5) * strength
