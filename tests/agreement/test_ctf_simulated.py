"""The CTF fit against simulated micrographs whose CTF is known.

Tolerances: three times what the noise allows at these sizes and contrasts (Cramér-Rao bound of all parameters together with
background and envelope: 6 Å of mean defocus and 17 Å of astigmatism at 2048² and signal 3).
"""

from __future__ import annotations

import cmath
import math
from dataclasses import dataclass

import pytest

from passerelle.imaging.ctf_fit import CtfFit, CtfOptions, fit_ctf
from passerelle.imaging.ctf_model import Optics
from passerelle.imaging.ice import ice_ring_score
from passerelle.testing.micrographs import simulate_micrograph

KRIOS = (300.0, 2.7, 0.07)
TALOS = (200.0, 2.7, 0.1)
CORRECTED = (300.0, 0.01, 0.07)


@dataclass(frozen=True)
class Case:
    """U, V, angle, phase shift (None: neither there nor fitted); microscope, pixel, height of an ice ring."""

    u: float
    v: float
    angle: float
    phase: float | None = None
    microscope: tuple[float, float, float] = KRIOS
    pixel: float = 0.83
    ice: float = 0.0
    size: tuple[int, int] = (1536, 1536)

    @property
    def name(self) -> str:
        phase = "" if self.phase is None else f"-phase{self.phase:.0f}"
        return f"{self.u:.0f}-{self.v:.0f}-at{self.angle:.0f}{phase}-{self.pixel}A-ice{self.ice:.0f}"


CASES = (
    Case(5100, 4900, 20),
    Case(9000, 8000, -70, ice=2.0),
    Case(15200, 15000, 88, microscope=TALOS),
    Case(16000, 14000, 45, pixel=1.06),
    Case(22300, 21500, -5, microscope=CORRECTED),
    Case(31000, 29000, -45, size=(1400, 2000)),
    Case(40500, 40100, 60, pixel=0.6666, ice=1.0),
    Case(51000, 49000, 10),
    Case(8400, 8000, 30, phase=90),
    Case(15500, 15000, -20, phase=45, microscope=TALOS),
    Case(20700, 20000, 70, phase=135, ice=2.0),
    Case(6500, 6000, 0, phase=10, pixel=1.06),
)


def astigmatism(u: float, v: float, angle_deg: float) -> complex:
    """A vector that does not jump where the angle wraps or the astigmatism vanishes."""
    return (u - v) * cmath.exp(2j * math.radians(angle_deg))


def fitted(case: Case, signal: float = 4.0) -> tuple[CtfFit, float | None]:
    voltage, aberration, contrast = case.microscope
    optics = Optics(voltage, aberration, contrast, case.pixel)
    picture = simulate_micrograph(
        case.size,
        optics,
        defocus_u_angstrom=case.u,
        defocus_v_angstrom=case.v,
        angle_deg=case.angle,
        phase_shift_deg=case.phase or 0.0,
        signal=signal,
        ice=case.ice,
        seed=int(case.u),
    )
    return fit_ctf(picture, optics, CtfOptions(phase_shift=case.phase is not None)), ice_ring_score(picture, case.pixel)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_fit_finds_the_ctf_that_made_the_micrograph(case: Case):
    fit, ice = fitted(case)
    with_phase = case.phase is not None
    assert fit.defocus_angstrom == pytest.approx((case.u + case.v) / 2, abs=90 if with_phase else 25)
    found = astigmatism(fit.defocus_u_angstrom, fit.defocus_v_angstrom, fit.angle_deg)
    assert abs(found - astigmatism(case.u, case.v, case.angle)) < 80
    assert abs((fit.phase_shift_deg - (case.phase or 0.0) + 90) % 180 - 90) < (6 if with_phase else 1e-9)
    assert fit.resolution_angstrom < 5.5
    assert fit.score > 0.15
    assert ice is not None
    assert (ice > 0.3) == (case.ice > 0)


def test_noise_without_rings_is_called_unresolved():
    fit, _ = fitted(CASES[3], signal=0.0)
    assert fit.resolution_angstrom == CtfOptions().resolution_low_angstrom
    assert fit.significance < 50
    assert abs(fit.score) < 0.05
