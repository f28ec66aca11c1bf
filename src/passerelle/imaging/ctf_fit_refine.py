"""The last step of a fit: least squares over all cells at once, for defocus, astigmatism and phase shift.

The model of the contrast at squared frequency q and azimuth a is

    b(q) - e(q) cos 2 chi(q, a),      e ≥ 0

with b what is left of the background (cubic splines) and e the envelope of the rings (hat functions), both fitted together with
the defocus: a broad first ring cannot be mistaken for background, nor the other way round. Gauss-Newton steps on everything; the
linear part is solved anew at each (variable projection), and a step that does not help is halved.
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
from scipy.interpolate import BSpline

from passerelle.imaging.ctf_fit_search import Candidate, RingData
from passerelle.imaging.ctf_model import Optics

_KNOTS_APART = 0.05  # in the square root of spatial frequency: spectra are steep at their start
_ENVELOPE_HATS = 6
_STEPS = 12
_CONVERGED_ANGSTROM = 0.5
_MOVES_RINGS = 0.5  # no step moves the outermost ring further: beyond it the rings are another set
_MOVES_RAD = 0.5


@dataclass(frozen=True, slots=True)
class Refined:
    """A refined set of rings. gain: how much of the weighted sum of squares the rings explain beyond the background; noise: what
    they leave, a cell.

    background, envelope: (steps,) over the fitted range of squared frequency.
    """

    mean_angstrom: float
    cosine_angstrom: float
    sine_angstrom: float
    phase_shift_deg: float
    gain: float
    noise: float
    background: NDArray[np.float64]
    envelope: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Basis:
    background: NDArray[np.float64]  # (steps, nb)
    envelope: NDArray[np.float64]  # (steps, ne)


def refine(data: RingData, optics: Optics, guess: Candidate, *, phase_shift: bool, steps: int = _STEPS) -> Refined:
    """Return the least-squares rings next to `guess`."""
    used = np.flatnonzero(data.weight.sum(axis=0) > 0)
    window = slice(int(used[0]), int(used[-1]) + 1)
    q = data.squared[window]
    contrast = np.ascontiguousarray(data.contrast[:, window])
    weight = np.ascontiguousarray(data.weight[:, window])
    basis = _basis(np.sqrt(q))
    angular = (np.cos(2.0 * data.angles_rad), np.sin(2.0 * data.angles_rad))
    known = optics.amplitude_phase_rad - optics.aberration_term * q * q
    free = 4 if phase_shift else 3
    rates = np.stack([optics.defocus_term * q] * 3 + [np.ones_like(q)])[:free]  # d chi / d parameter, without its angular factor

    def sums(p: NDArray[np.float64]) -> NDArray[np.float64]:
        chi = known + p[3]
        return _ring_sums(contrast, weight, chi, optics.defocus_term * q, angular[0], angular[1], p[0], p[1], p[2])

    p = np.array([guess.mean_angstrom, guess.cosine_angstrom, guess.sine_angstrom, math.radians(guess.phase_shift_deg)])
    longest = _MOVES_RINGS / (optics.wavelength_angstrom * float(q[-1]))
    limits = np.array([longest] * 3 + [_MOVES_RAD])[:free]
    current = sums(p)
    gain, coefficients, explained = _solve_linear(current, basis)
    for _ in range(steps):
        move = _newton_step(current, basis, coefficients, rates)
        move *= min(1.0, float(np.min(limits / np.maximum(np.abs(move), 1e-12))))
        for _ in range(6):
            trial = p.copy()
            trial[:free] += move
            trial_sums = sums(trial)
            trial_gain, trial_coefficients, trial_explained = _solve_linear(trial_sums, basis)
            if trial_gain > gain:
                break
            move *= 0.4
        else:
            break
        p, current, gain, coefficients, explained = trial, trial_sums, trial_gain, trial_coefficients, trial_explained
        if np.abs(move[:3]).max() < _CONVERGED_ANGSTROM and (free < 4 or abs(move[3]) < 1e-3):
            break
    backgrounds = basis.background.shape[1]
    return Refined(
        mean_angstrom=float(p[0]),
        cosine_angstrom=float(p[1]),
        sine_angstrom=float(p[2]),
        phase_shift_deg=math.degrees(p[3]) % 180.0 if phase_shift else guess.phase_shift_deg,
        gain=gain,
        noise=(float((weight * np.square(contrast)).sum(dtype=np.float64)) - explained) / max(int(np.count_nonzero(weight)), 1),
        background=basis.background @ coefficients[:backgrounds],
        envelope=basis.envelope @ coefficients[backgrounds:],
    )


def background_splines(s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return cubic B-splines over the range of spatial frequencies `s`, their knots even in its square root: (len(s), n)."""
    place = np.sqrt(s)
    pieces = max(3, round(float(place[-1] - place[0]) / _KNOTS_APART))
    inner = np.linspace(place[0], place[-1], pieces + 1)
    knots = np.concatenate([[inner[0]] * 3, inner, [inner[-1]] * 3])
    return BSpline.design_matrix(place, knots, 3).toarray()


def _basis(s: NDArray[np.float64]) -> _Basis:
    nodes = np.linspace(s[0], s[-1], _ENVELOPE_HATS)
    hats = np.stack([np.interp(s, nodes, np.eye(_ENVELOPE_HATS)[k]) for k in range(_ENVELOPE_HATS)], axis=1)
    return _Basis(background_splines(s), hats)


# rows of the sums over azimuth: w weight, d contrast, c = -cos 2chi, t = 2 sin 2chi, (1, C, S) = (1, cos 2a, sin 2a)
_W, _WC, _WCC, _WD, _WCD = range(5)
_WT, _WTC, _WTD = 5, 8, 11  # three each, by angular factor
_WTT = 14  # 11, 1C, 1S, CC, CS, SS
_SUMS = 20
_PAIR = {(0, 0): 0, (0, 1): 1, (0, 2): 2, (1, 1): 3, (1, 2): 4, (2, 2): 5}
_ANGULAR = (0, 1, 2, 0)  # the angular factor of mean, cosine, sine, phase shift


@numba.njit(cache=True, nogil=True, fastmath=True)
def _ring_sums(
    contrast: Any, weight: Any, known: Any, rate: Any, cos2: Any, sin2: Any, mean: float, cosine: float, sine: float
) -> Any:  # pragma: no cover - compiled
    sectors, steps = contrast.shape
    out = np.zeros((_SUMS, steps), np.float64)
    for a in range(sectors):
        big_c, big_s = cos2[a], sin2[a]
        defocus = mean + cosine * big_c + sine * big_s
        for j in range(steps):
            w = weight[a, j]
            if w == 0.0:
                continue
            two_chi = 2.0 * (rate[j] * defocus + known[j])
            c, t = -math.cos(two_chi), 2.0 * math.sin(two_chi)
            d = contrast[a, j]
            wc, wt = w * c, w * t
            out[0, j] += w
            out[1, j] += wc
            out[2, j] += wc * c
            out[3, j] += w * d
            out[4, j] += wc * d
            out[5, j] += wt
            out[6, j] += wt * big_c
            out[7, j] += wt * big_s
            wtc = wt * c
            out[8, j] += wtc
            out[9, j] += wtc * big_c
            out[10, j] += wtc * big_s
            wtd = wt * d
            out[11, j] += wtd
            out[12, j] += wtd * big_c
            out[13, j] += wtd * big_s
            wtt = wt * t
            out[14, j] += wtt
            out[15, j] += wtt * big_c
            out[16, j] += wtt * big_s
            out[17, j] += wtt * big_c * big_c
            out[18, j] += wtt * big_c * big_s
            out[19, j] += wtt * big_s * big_s
    return out


def _linear_system(sums: NDArray[np.float64], basis: _Basis) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    b, e = basis.background, basis.envelope
    cross = b.T @ (sums[_WC][:, None] * e)
    matrix = np.block([[b.T @ (sums[_W][:, None] * b), cross], [cross.T, e.T @ (sums[_WCC][:, None] * e)]])
    return matrix, np.concatenate([b.T @ sums[_WD], e.T @ sums[_WCD]])


def _solve_linear(sums: NDArray[np.float64], basis: _Basis) -> tuple[float, NDArray[np.float64], float]:
    """Return what the rings explain beyond the background, the coefficients (envelope ≥ 0), and all that is explained."""
    matrix, right = _linear_system(sums, basis)
    backgrounds = basis.background.shape[1]
    ridge = 1e-9 * float(np.trace(matrix)) / matrix.shape[0]
    matrix = matrix + ridge * np.eye(matrix.shape[0])
    without = float(right[:backgrounds] @ np.linalg.solve(matrix[:backgrounds, :backgrounds], right[:backgrounds]))
    active = np.ones(right.size, bool)
    coefficients = np.zeros(right.size)
    for _ in range(_ENVELOPE_HATS + 1):
        part = np.ix_(active, active)
        coefficients[:] = 0.0
        coefficients[active] = np.linalg.solve(matrix[part], right[active])
        negative = active & (coefficients < 0)
        negative[:backgrounds] = False
        if not negative.any():
            break
        active &= ~negative
    explained = float(right @ coefficients)
    return explained - without, coefficients, explained


def _newton_step(
    sums: NDArray[np.float64], basis: _Basis, coefficients: NDArray[np.float64], rates: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the step of the ring parameters in a Gauss-Newton step of all parameters."""
    b, e = basis.background, basis.envelope
    backgrounds = b.shape[1]
    background, envelope = b @ coefficients[:backgrounds], e @ coefficients[backgrounds:]
    slopes = rates * envelope  # (free, steps)
    free = slopes.shape[0]
    linear, _ = _linear_system(sums, basis)
    corner = np.empty((free, free))
    side = np.empty((free, linear.shape[0]))
    right = np.empty(free)
    for m in range(free):
        k = _ANGULAR[m]
        for n in range(free):
            pair = (min(k, _ANGULAR[n]), max(k, _ANGULAR[n]))
            corner[m, n] = (slopes[m] * slopes[n] * sums[_WTT + _PAIR[pair]]).sum()
        side[m, :backgrounds] = (slopes[m] * sums[_WT + k]) @ b
        side[m, backgrounds:] = (slopes[m] * sums[_WTC + k]) @ e
        right[m] = (slopes[m] * (sums[_WTD + k] - background * sums[_WT + k] - envelope * sums[_WTC + k])).sum()
    linear = linear + 1e-9 * float(np.trace(linear)) / linear.shape[0] * np.eye(linear.shape[0])
    reduced = corner - side @ np.linalg.solve(linear, side.T)
    scale = np.sqrt(np.maximum(np.diag(corner), 1e-30))
    reduced = reduced / np.outer(scale, scale) + 1e-4 * np.eye(free)
    return np.linalg.solve(reduced, right / scale) / scale
