"""The contrast transfer function: optics, phase, and the CTF on a line and on a plane.

Convention of the whole product, the same as CTFFIND's (Rohou & Grigorieff 2015, J. Struct. Biol. 192, 216, eq. 2–5) and RELION's:

    chi(s) = pi lambda s² dz(angle) - pi/2 Cs lambda³ s⁴ + phase shift + asin(amplitude contrast)
    CTF(s) = -sin(chi(s))
    dz(angle) = (U + V)/2 + (U - V)/2 cos 2(angle - angle of U)

Defocus is positive for underfocus, U ≥ V, in angstrom. The angle of U is in degrees, counter-clockwise from the x axis with row 0
of the picture at the bottom (MRC orientation), so that it is atan2(ky, kx) of the discrete transform, in (-90, 90].
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerelle.core.errors import BadInput
from passerelle.core.units import ANGSTROM_PER_MILLIMETRE, electron_wavelength_angstrom

_ROWS_AT_ONCE = 128  # keeps the temporaries of a plane in cache


@dataclass(frozen=True, slots=True)
class Optics:
    """What the contrast transfer function depends on beside defocus.

    Raises:
        BadInput: a value is not one that a microscope has.
    """

    voltage_kv: float
    spherical_aberration_mm: float
    amplitude_contrast: float
    pixel_size_angstrom: float

    def __post_init__(self) -> None:
        _require("voltage", self.voltage_kv, 10.0, 3000.0, "kV")
        _require("spherical aberration", self.spherical_aberration_mm, -20.0, 20.0, "mm")
        _require("amplitude contrast", self.amplitude_contrast, 0.0, 1.0, "(a fraction)")
        _require("pixel size", self.pixel_size_angstrom, 0.01, 1000.0, "Å")

    @property
    def wavelength_angstrom(self) -> float:
        return electron_wavelength_angstrom(self.voltage_kv)

    @property
    def amplitude_phase_rad(self) -> float:
        """The phase that stands for amplitude contrast: asin(w), as CTFFIND ≥ 4.1 and RELION ≥ 3."""
        return math.asin(self.amplitude_contrast)

    @property
    def defocus_term(self) -> float:
        """pi lambda, in angstrom: times s² and defocus it is a phase."""
        return math.pi * self.wavelength_angstrom

    @property
    def aberration_term(self) -> float:
        """pi/2 Cs lambda³, in angstrom⁴: times s⁴ it is a phase."""
        cs_angstrom = self.spherical_aberration_mm * ANGSTROM_PER_MILLIMETRE
        return 0.5 * math.pi * cs_angstrom * self.wavelength_angstrom**3

    @property
    def nyquist_angstrom(self) -> float:
        return 2.0 * self.pixel_size_angstrom


def _require(name: str, value: float, low: float, high: float, unit: str) -> None:
    if not low <= value <= high:
        raise BadInput(
            f"the {name} is {value:g}; expected {low:g} to {high:g} {unit}.",
            advice="Correct it in the metadata or the configuration.",
        )


def normalize_astigmatism(u_angstrom: float, v_angstrom: float, angle_deg: float) -> tuple[float, float, float]:
    """Return the same defocus with U ≥ V and the angle in (-90, 90]."""
    if u_angstrom < v_angstrom:
        u_angstrom, v_angstrom, angle_deg = v_angstrom, u_angstrom, angle_deg + 90.0
    angle_deg = 90.0 - (90.0 - angle_deg) % 180.0
    return u_angstrom, v_angstrom, angle_deg


def defocus_along(
    angle_rad: NDArray[np.floating[Any]] | float, u_angstrom: float, v_angstrom: float, angle_deg: float
) -> NDArray[np.float64]:
    """Return the defocus in direction `angle_rad`, angstrom."""
    half = 0.5 * (u_angstrom - v_angstrom)
    return 0.5 * (u_angstrom + v_angstrom) + half * np.cos(2.0 * (np.asarray(angle_rad, np.float64) - math.radians(angle_deg)))


def ctf_phase(
    spacing_squared: NDArray[np.floating[Any]],
    optics: Optics,
    defocus_angstrom: NDArray[np.floating[Any]] | float,
    phase_shift_deg: float = 0.0,
) -> NDArray[np.float64]:
    """Return chi in radians at squared spatial frequencies (1/Å²); defocus (Å) broadcasts against them."""
    s2 = np.asarray(spacing_squared, np.float64)
    constant = math.radians(phase_shift_deg) + optics.amplitude_phase_rad
    return s2 * (optics.defocus_term * np.asarray(defocus_angstrom, np.float64) - optics.aberration_term * s2) + constant


def ctf_1d(
    spacing_per_angstrom: NDArray[np.floating[Any]], optics: Optics, defocus_angstrom: float, phase_shift_deg: float = 0.0
) -> NDArray[np.float64]:
    """Return the CTF, -sin chi, at spatial frequencies in 1/Å."""
    s2 = np.square(np.asarray(spacing_per_angstrom, np.float64))
    return -np.sin(ctf_phase(s2, optics, defocus_angstrom, phase_shift_deg))


def ctf_2d(
    height: int,
    width: int,
    optics: Optics,
    defocus_u_angstrom: float,
    defocus_v_angstrom: float | None = None,
    angle_deg: float = 0.0,
    phase_shift_deg: float = 0.0,
) -> NDArray[np.float32]:
    """Return the CTF on the grid of `numpy.fft.rfft2` of a picture: float32 (height, width // 2 + 1).

    The transform of a positive density times this gives protein dark at underfocus: -sin chi is negative at low frequency.
    Without `defocus_v_angstrom` there is no astigmatism.
    """
    if height < 1 or width < 1:
        raise BadInput(f"a CTF of {height} × {width} pixels was asked for; expected at least 1 × 1.")
    v_angstrom = defocus_u_angstrom if defocus_v_angstrom is None else defocus_v_angstrom
    mean, half = 0.5 * (defocus_u_angstrom + v_angstrom), 0.5 * (defocus_u_angstrom - v_angstrom)
    cos2, sin2 = half * math.cos(2.0 * math.radians(angle_deg)), half * math.sin(2.0 * math.radians(angle_deg))
    fx = np.fft.rfftfreq(width, optics.pixel_size_angstrom)[None, :]
    fy = np.fft.fftfreq(height, optics.pixel_size_angstrom)[:, None]
    constant = math.radians(phase_shift_deg) + optics.amplitude_phase_rad
    out = np.empty((height, width // 2 + 1), np.float32)
    for start in range(0, height, _ROWS_AT_ONCE):
        y = fy[start : start + _ROWS_AT_ONCE]
        x2, y2 = fx * fx, y * y
        s2 = x2 + y2
        # s² dz without an arctangent: s² cos 2a = x² - y², s² sin 2a = 2xy
        s2_defocus = mean * s2 + cos2 * (x2 - y2) + (2.0 * sin2) * (fx * y)
        chi = optics.defocus_term * s2_defocus - optics.aberration_term * s2 * s2 + constant
        np.negative(np.sin(chi), out=out[start : start + _ROWS_AT_ONCE], casting="same_kind")
    return out
