"""The CTF fit on many simulated 4k micrographs: is the right minimum found each time, how exactly, and for how much CPU time.

200 cases (quick: 12): 0.4–5 µm, 0–2000 Å of astigmatism, ice rings in half, a phase shift of 0–180° in a third, 200 and 300 kV,
pixels of 0.67–1.35 Å, contrast from that of a faint to that of a good micrograph. A fit is wrong where the mean defocus is off by
more than half of what would shift the rings by one at 5 Å, or the astigmatism by more than 500 Å.
"""

from __future__ import annotations

import cmath
import math
import time
from dataclasses import dataclass

import numpy as np

from bench.measure import arguments, write_figures
from passerelle.imaging.ctf_fit import CtfFit, CtfOptions, fit_ctf
from passerelle.imaging.ctf_model import Optics
from passerelle.testing.micrographs import simulate_micrograph

SIDE = 4096
FULL, QUICK = 200, 12
WRONG_ASTIGMATISM_ANGSTROM = 500.0
RINGS_AT_ANGSTROM = 5.0


@dataclass(frozen=True)
class Truth:
    defocus: float
    astigmatism: float
    angle: float
    phase: float | None
    optics: Optics
    signal: float
    bfactor: float
    ice: float


@dataclass(frozen=True)
class Outcome:
    truth: Truth
    defocus_error: float
    astigmatism_error: float
    phase_error: float
    wrong: bool
    cpu_s: float


def truth(number: int) -> Truth:
    random = np.random.default_rng(1000 + number)
    voltage, aberration = ((300.0, 2.7), (200.0, 2.7), (300.0, 0.01))[random.integers(3)]
    return Truth(
        defocus=random.uniform(4000, 50000),
        astigmatism=random.uniform(0, 2000),
        angle=random.uniform(-90, 90),
        phase=random.uniform(0, 180) if number % 3 == 2 else None,
        optics=Optics(voltage, aberration, random.choice([0.07, 0.1]), random.choice([0.6666, 0.83, 1.06, 1.35])),
        signal=random.uniform(0.3, 2.0),
        bfactor=random.uniform(60, 150),
        ice=random.choice([0.0, 0.0, 0.3, 2.0]),
    )


def run(number: int) -> Outcome:
    case = truth(number)
    picture = simulate_micrograph(
        (SIDE, SIDE),
        case.optics,
        defocus_u_angstrom=case.defocus + case.astigmatism / 2,
        defocus_v_angstrom=case.defocus - case.astigmatism / 2,
        angle_deg=case.angle,
        phase_shift_deg=case.phase or 0.0,
        signal=case.signal,
        bfactor_angstrom2=case.bfactor,
        ice=case.ice,
        seed=number,
    )
    began = time.process_time()
    fit = fit_ctf(picture, case.optics, CtfOptions(phase_shift=case.phase is not None))
    return outcome(case, fit, time.process_time() - began)


def outcome(case: Truth, fit: CtfFit, cpu_s: float) -> Outcome:
    found = fit.astigmatism_angstrom * cmath.exp(2j * math.radians(fit.angle_deg))
    true = case.astigmatism * cmath.exp(2j * math.radians(case.angle))
    defocus_error, astigmatism_error = abs(fit.defocus_angstrom - case.defocus), abs(found - true)
    one_ring = RINGS_AT_ANGSTROM**2 / case.optics.wavelength_angstrom
    phase_error = abs((fit.phase_shift_deg - (case.phase or 0.0) + 90) % 180 - 90)
    wrong = defocus_error > one_ring / 2 or astigmatism_error > WRONG_ASTIGMATISM_ANGSTROM or phase_error > 45
    return Outcome(case, defocus_error, astigmatism_error, phase_error, wrong, cpu_s)


def main() -> None:
    options = arguments(__doc__ or "")
    count = QUICK if options.quick else FULL
    run(0)  # the first call compiles
    outcomes = [run(number) for number in range(count)]
    for bad in (o for o in outcomes if o.wrong):
        print(f"wrong: {bad}")
    plain = [o for o in outcomes if o.truth.phase is None]
    shifted = [o for o in outcomes if o.truth.phase is not None]
    clear = [o for o in plain if o.truth.signal > 1 and 5000 <= o.truth.defocus <= 40000]
    write_figures(
        {
            "ctf_sweep_cases": float(count),
            "ctf_sweep_wrong": float(sum(o.wrong for o in outcomes)),
            "ctf_sweep_cpu_s": float(np.median([o.cpu_s for o in outcomes])),
            "ctf_sweep_defocus_error_angstrom": float(np.median([o.defocus_error for o in plain])),
            "ctf_sweep_astigmatism_error_angstrom": float(np.median([o.astigmatism_error for o in plain])),
            "ctf_sweep_clear_defocus_error_angstrom": float(np.median([o.defocus_error for o in clear])),
            "ctf_sweep_clear_astigmatism_error_angstrom": float(np.median([o.astigmatism_error for o in clear])),
            "ctf_sweep_shifted_defocus_error_angstrom": float(np.median([o.defocus_error for o in shifted])),
            "ctf_sweep_phase_error_deg": float(np.median([o.phase_error for o in shifted])),
        },
        options.json,
    )


if __name__ == "__main__":
    main()
