"""How far a fit can be believed: the rings averaged along lines of equal phase, and their agreement with the model, ring by ring.

Equi-phase averaging as in Rohou & Grigorieff 2015 (J. Struct. Biol. 192, 216): pixels with the same chi are averaged, whatever
their azimuth, so that astigmatism does not blur the profile. Their measure of agreement, a correlation in a sliding window,
is kept; the window here is two rings wide, after the mean over one ring is taken off, and the profile is smoothed over a sixth
of a ring.
"""

# scipy and numba declare no types
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from passerelle.imaging.ctf_model import Optics, ctf_phase

GOOD_AGREEMENT = 0.5
_WINDOW_RINGS = 2.0
_SMOOTH_RINGS = 1.0 / 6.0
_DIP_RINGS = 0.5  # an agreement may dip for so long, at the edge of an ice ring or by chance
_BEGIN_RINGS = 1.0  # and must hold for so long to begin


@dataclass(frozen=True, slots=True)
class Profile:
    """Values along squared frequency. rings: mean contrast along lines of equal phase, less its mean over one ring, smoothed;
    model: -cos 2 chi; agreement: -1..1; width: of one ring, in cells."""

    rings: NDArray[np.float64]
    model: NDArray[np.float64]
    agreement: NDArray[np.float64]
    width: NDArray[np.float64]


def profile(
    contrast: NDArray[np.float32],
    weight: NDArray[np.float32],
    squared: NDArray[np.float64],
    angles_rad: NDArray[np.float64],
    optics: Optics,
    *,
    mean_angstrom: float,
    cosine_angstrom: float,
    sine_angstrom: float,
    phase_shift_deg: float,
) -> Profile:
    """Average `contrast` (sectors, steps) along lines of equal phase and compare it with the model."""
    defocus = mean_angstrom + cosine_angstrom * np.cos(2.0 * angles_rad) + sine_angstrom * np.sin(2.0 * angles_rad)
    step = float(squared[1] - squared[0])
    average, total = _equal_phase(contrast, weight, defocus, mean_angstrom, optics.defocus_term, optics.aberration_term, step)
    model = -np.cos(2.0 * ctf_phase(squared, optics, mean_angstrom, phase_shift_deg))
    speed = np.abs(optics.defocus_term * mean_angstrom - 2.0 * optics.aberration_term * squared)  # d chi / dq
    width = np.clip(math.pi / np.maximum(speed * step, 1e-9), 2.0, 0.25 * squared.size)
    rings = _moving_mean(average - _moving_mean(average, total, width), total, width * _SMOOTH_RINGS)
    agreement = _agreement(rings, model, total, width * _WINDOW_RINGS)
    agreement[total == 0] = 0.0
    return Profile(rings, model, agreement, width)


def fit_resolution(profile_: Profile, squared: NDArray[np.float64], weight: NDArray[np.float64], worst_angstrom: float) -> float:
    """Return the finest spacing (Å) up to which the agreement holds; `worst_angstrom` where it never does."""
    good = (profile_.agreement >= GOOD_AGREEMENT) & (weight > 0)
    last = -1
    run = 0
    begun = False
    gap = 0
    for j in np.flatnonzero(squared >= 1.0 / worst_angstrom**2):
        if good[j]:
            run += 1
            gap = 0
            if begun or run >= _BEGIN_RINGS * profile_.width[j]:
                begun, last = True, int(j)
        else:
            run = 0
            gap += 1
            if begun and gap > _DIP_RINGS * profile_.width[j]:
                break
    return worst_angstrom if last < 0 else min(worst_angstrom, 1.0 / math.sqrt(float(squared[last])))


@numba.njit(cache=True, nogil=True, fastmath=True)
def _equal_phase(
    contrast: Any, weight: Any, defocus: Any, mean: float, defocus_term: float, aberration_term: float, step: float
) -> Any:  # pragma: no cover - compiled
    """Average along lines of equal phase, each cell shared between the two nearest places."""
    sectors, steps = contrast.shape
    total = np.zeros(steps, np.float64)
    count = np.zeros(steps, np.float64)
    p = defocus_term * mean
    for a in range(sectors):
        for j in range(steps):
            w = weight[a, j]
            if w == 0.0:
                continue
            q = (j + 0.5) * step
            chi = q * (defocus_term * defocus[a] - aberration_term * q)
            # the root of p q' - k q'² = chi on the rising branch, in a form that holds for k = 0
            under = p * p - 4.0 * aberration_term * chi
            if under <= 0.0 or p <= 0.0:
                place = q
            else:
                place = 2.0 * chi / (p + math.sqrt(under))
            x = place / step - 0.5
            left = math.floor(x)
            f = x - left
            if left >= 0 and left < steps:
                total[left] += w * (1.0 - f) * contrast[a, j]
                count[left] += w * (1.0 - f)
            if left + 1 >= 0 and left + 1 < steps:
                total[left + 1] += w * f * contrast[a, j]
                count[left + 1] += w * f
    for j in range(steps):
        if count[j] > 0:
            total[j] /= count[j]
    return total, count


@numba.njit(cache=True, nogil=True)
def _moving_mean(values: Any, weight: Any, width: Any) -> Any:  # pragma: no cover - compiled
    """Weighted mean over a window of `width` cells, fractional at its ends; symmetric, so narrower near the ends of the line."""
    steps = values.size
    out = np.zeros(steps, np.float64)
    for j in range(steps):
        half = min(0.5 * width[j], j + 0.5, steps - j - 0.5)
        half = max(half, 0.5)
        reach = math.floor(half - 0.5)
        edge = half - 0.5 - reach
        total = 0.0
        count = 0.0
        for i in range(max(0, j - reach - 1), min(steps, j + reach + 2)):
            w = weight[i] * (edge if abs(i - j) > reach else 1.0)
            total += w * values[i]
            count += w
        out[j] = total / count if count > 0 else 0.0
    return out


@numba.njit(cache=True, nogil=True)
def _agreement(rings: Any, model: Any, weight: Any, width: Any) -> Any:  # pragma: no cover - compiled
    """Weighted correlation in a sliding window."""
    steps = rings.size
    out = np.zeros(steps, np.float64)
    for j in range(steps):
        reach = max(2, int(0.5 * width[j]))
        n = sx = sy = sxx = syy = sxy = 0.0
        for i in range(max(0, j - reach), min(steps, j + reach + 1)):
            w, x, y = weight[i], rings[i], model[i]
            n += w
            sx += w * x
            sy += w * y
            sxx += w * x * x
            syy += w * y * y
            sxy += w * x * y
        if n > 0:
            vx, vy = sxx - sx * sx / n, syy - sy * sy / n
            if vx > 1e-12 * sxx and vy > 1e-12 * syy:
                out[j] = (sxy - sx * sy / n) / math.sqrt(vx * vy)
    return out
