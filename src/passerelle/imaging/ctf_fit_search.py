"""The first look at a spectrum: every defocus, astigmatism and phase shift at once; no wrong minimum can hide the right one.

Rings are waves in squared frequency q: cos 2 chi = cos(2 pi lambda dz q - pi Cs lambda³ q² + constant). For one azimuth the match
to every defocus is therefore one Fourier transform over q, after the known aberration is multiplied out; its phase is the phase
shift. Astigmatism moves the peak with azimuth; all its directions and strengths are tried on a grid, which is cheap. The
transforms are weighted by several envelopes, since nobody knows beforehand how far the rings reach.
"""

# scipy and numba declare no types
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import scipy.fft
from numpy.typing import NDArray

from passerelle.imaging.ctf_model import Optics
from passerelle.imaging.fft import fast_length

# parts of the defocus that moves the outermost ring of the fit by one: 812 Å at 300 kV and 4 Å
_DEFOCUS_STEP = 0.075
_ASTIGMATISM_STEP = 0.27
_APART = 0.3
_ENVELOPES_ANGSTROM2 = (0.0, 60.0, 250.0, 1000.0)  # exp(-B q / 2) on the rings' contrast


@dataclass(frozen=True, slots=True)
class RingData:
    """The contrast of the rings: `contrast` (sectors, steps) about zero, relative to the mean amplitude, with its weights.

    squared: (steps,) squared frequency; weight: (sectors, steps) number of pixels, zero where a cell takes no part in the fit.
    """

    contrast: NDArray[np.float32]
    weight: NDArray[np.float32]
    squared: NDArray[np.float64]
    angles_rad: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A first guess. Defocus along angle a is mean + cosine cos 2a + sine sin 2a (angstrom). strength: in sigma of the noise."""

    mean_angstrom: float
    cosine_angstrom: float
    sine_angstrom: float
    phase_shift_deg: float
    strength: float


def search(
    data: RingData,
    optics: Optics,
    *,
    defocus_range_angstrom: tuple[float, float],
    astigmatism_max_angstrom: float,
    phase_shift: bool,
    known_phase_shift_deg: float = 0.0,
    count: int = 6,
) -> tuple[Candidate, ...]:
    """Return the strongest guesses, the best first. With `phase_shift` it is free from 0 to 180°, else it is the known one."""
    offset_deg = 0.0 if phase_shift else known_phase_shift_deg
    low, high = defocus_range_angstrom
    reach = 0.5 * astigmatism_max_angstrom
    used = np.flatnonzero(data.weight.sum(axis=0) > 0)
    first, last = int(used[0]), int(used[-1]) + 1
    q = data.squared[first:last]
    step_q = float(data.squared[1] - data.squared[0])
    length = fast_length(math.ceil(last / _DEFOCUS_STEP))
    one_ring = 1.0 / (optics.wavelength_angstrom * float(q[-1]))
    step = 1.0 / (length * step_q * optics.wavelength_angstrom)
    # defocus of column k: (k + first_column) * step
    first_column = math.floor((low - reach) / step)
    columns = math.ceil((high + reach) / step) - first_column + 1
    columns = min(columns, length)
    # 2 chi without its defocus term, and the term of the first column
    known = (
        2.0 * (math.radians(offset_deg) + optics.amplitude_phase_rad - optics.aberration_term * q * q)
        + 2.0 * optics.defocus_term * first_column * step * q
    )
    turn = np.exp(-1j * known)
    # the transform starts at q[0], not at zero
    start = np.exp(-2j * optics.defocus_term * step * np.arange(columns) * q[0]).astype(np.complex64)
    weight = data.weight[:, first:last]
    # sectors are taken in pairs: 5° are fine enough to search, and halve its cost
    weighted = (data.contrast[:, first:last] * weight).reshape(-1, 2, q.size).sum(axis=1, dtype=np.float64)
    shifts = _astigmatism_grid(reach, _ASTIGMATISM_STEP * one_ring) / step
    angles_rad = data.angles_rad.reshape(-1, 2).mean(axis=1)
    cos2, sin2 = np.cos(2.0 * angles_rad), np.sin(2.0 * angles_rad)
    found: list[Candidate] = []
    for bfactor in _ENVELOPES_ANGSTROM2:
        envelope = np.exp(-0.5 * bfactor * q)
        power = float((np.square(envelope) * weight.sum(axis=0)).sum())
        if power <= 0:
            continue
        signal = (weighted * (envelope * turn)).astype(np.complex64)
        waves = np.asarray(scipy.fft.fft(signal, n=length, axis=1), np.complex64)[:, :columns] * start
        best, which = _best_astigmatism(waves.real.copy(), waves.imag.copy(), shifts, cos2, sin2, phase_shift)
        found += _peaks(
            best / math.sqrt(power),
            which,
            waves,
            shifts,
            cos2,
            sin2,
            (low, high),
            first_column,
            step,
            phase_shift,
            offset_deg,
            count,
        )
    return _distinct(found, _APART * one_ring, count)


def _astigmatism_grid(reach_angstrom: float, step_angstrom: float) -> NDArray[np.float64]:
    """Return (n, 2): cosine and sine parts of half the astigmatism, a grid inside a disc, angstrom."""
    rings = round(reach_angstrom / step_angstrom)
    axis = np.arange(-rings, rings + 1) * step_angstrom
    cosine, sine = np.meshgrid(axis, axis, indexing="ij")
    inside = np.hypot(cosine, sine) <= reach_angstrom + 1e-6
    return np.asarray(np.stack([cosine[inside], sine[inside]], axis=1), np.float64)


@numba.njit(cache=True, nogil=True, fastmath=True)
def _best_astigmatism(real: Any, imaginary: Any, shifts: Any, cos2: Any, sin2: Any, free_phase: bool) -> Any:  # pragma: no cover
    """For each column the best sum over azimuth of waves[a, column + shift(a)], and the astigmatism that gives it.

    Amplitudes rise where sin² chi does, so that the wanted sum is -Re; with a free phase its modulus.
    """
    sectors, columns = real.shape
    best = np.full(columns, -np.inf, np.float32)
    which = np.zeros(columns, np.int32)
    re = np.empty(columns, np.float32)
    im = np.empty(columns, np.float32)
    for k in range(shifts.shape[0]):
        re[:] = 0.0
        im[:] = 0.0
        for a in range(sectors):
            shift = math.floor(shifts[k, 0] * cos2[a] + shifts[k, 1] * sin2[a] + 0.5)
            start, stop = max(0, -shift), min(columns, columns - shift)
            re[start:stop] += real[a, start + shift : stop + shift]
            if free_phase:
                im[start:stop] += imaginary[a, start + shift : stop + shift]
        for column in range(columns):
            value = math.sqrt(re[column] ** 2 + im[column] ** 2) if free_phase else -re[column]
            if value > best[column]:
                best[column] = value
                which[column] = k
    return best, which


def _peaks(
    strength: NDArray[np.float32],
    which: NDArray[np.int32],
    waves: NDArray[np.complex64],
    shifts: NDArray[np.float64],
    cos2: NDArray[np.float64],
    sin2: NDArray[np.float64],
    allowed: tuple[float, float],
    first_column: int,
    step: float,
    phase_shift: bool,
    offset_deg: float,
    count: int,
) -> list[Candidate]:
    """Return the `count` highest local maxima within the allowed defocus."""
    defocus = (np.arange(strength.size) + first_column) * step
    inside = np.where((defocus >= allowed[0]) & (defocus <= allowed[1]), strength, -np.inf)
    padded = np.pad(inside, 1, constant_values=-np.inf)
    tops = np.flatnonzero((inside >= padded[:-2]) & (inside >= padded[2:]) & np.isfinite(inside))
    tops = tops[np.argsort(-inside[tops])][:count]
    found: list[Candidate] = []
    for top in tops:
        shift = shifts[which[top]]
        phase_deg = offset_deg
        if phase_shift:
            places = np.clip(top + np.floor(shift[0] * cos2 + shift[1] * sin2 + 0.5).astype(np.intp), 0, strength.size - 1)
            total = complex(waves[np.arange(waves.shape[0]), places].sum())
            phase_deg = math.degrees(0.5 * math.atan2(-total.imag, -total.real)) % 180.0
        found.append(
            Candidate(float(defocus[top]), float(shift[0] * step), float(shift[1] * step), phase_deg, float(inside[top]))
        )
    return found


def _distinct(found: list[Candidate], apart_angstrom: float, count: int) -> tuple[Candidate, ...]:
    """Return the strongest candidates that are not neighbours of a stronger one."""
    kept: list[Candidate] = []
    for candidate in sorted(found, key=lambda c: -c.strength):
        if all(_distance(candidate, other) > apart_angstrom for other in kept):
            kept.append(candidate)
        if len(kept) == count:
            break
    return tuple(kept)


def _distance(a: Candidate, b: Candidate) -> float:
    return math.hypot(a.mean_angstrom - b.mean_angstrom, a.cosine_angstrom - b.cosine_angstrom, a.sine_angstrom - b.sine_angstrom)
