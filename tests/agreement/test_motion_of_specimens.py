"""Movies of 40 frames with a known motion: how well it is found, and what is left of the picture.

Two real Krios micrographs: their own shot noise is shared by the frames, which makes them easier than nature. A phantom and the
ribosome 4v5d: what the frames share is the specimen alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from passerelle.core.errors import NotFound
from passerelle.imaging.correct import correct_movie
from passerelle.imaging.ctf_fit import CtfOptions, fit_ctf
from passerelle.imaging.ctf_model import Optics
from passerelle.imaging.field import MotionField
from passerelle.imaging.fourier_ring import fourier_ring_correlation
from passerelle.imaging.motion import MotionOptions, estimate_motion
from passerelle.simulation import (
    Conditions,
    Specimen,
    deal,
    krios_micrograph,
    particles_of_model,
    phantom,
    random_field,
    read_atoms,
)
from passerelle.simulation.krios import CAMERAS

FRAMES, DRIFT_PX, LOCAL_PX, PATCHES, RINGS = 40, 30.0, 4.0, 5, 40


@dataclass
class Case:
    """One specimen: at rest, corrected as found, corrected by the truth, not corrected at all.

    original: what the frames share: the electrons of a real micrograph, the noiseless picture of a computed specimen.
    """

    original: np.ndarray
    pixel_size_angstrom: float
    truth: MotionField
    found: MotionField
    corrected: np.ndarray
    by_truth: np.ndarray
    uncorrected: np.ndarray
    real: bool


def specimen_of(name: str, request: pytest.FixtureRequest) -> Specimen:
    if name in CAMERAS:
        try:
            return krios_micrograph(name)
        except NotFound as error:
            pytest.skip(f"the real micrographs cannot be had: {error}")
    conditions = Conditions(pixel_size_angstrom=0.85, defocus_u_angstrom=15200, defocus_v_angstrom=14800)
    if name == "phantom":
        return phantom(4096, 4096, conditions, seed=3)
    atoms = read_atoms(request.getfixturevalue("real_data") / "models" / "4v5d.cif.gz")
    return particles_of_model(atoms, 4096, 4096, conditions, seed=4)


@pytest.fixture(scope="module", params=["falcon", "k2", "phantom", "4v5d"])
def case(request) -> Case:
    specimen = specimen_of(request.param, request)
    electrons = specimen.electrons(seed=3)
    height, width = electrons.shape
    truth = random_field(FRAMES, height, width, global_px=DRIFT_PX, local_px=LOCAL_PX, seed=5)
    frames = deal(electrons, truth, seed=7)
    pixel = specimen.pixel_size_angstrom
    estimate = estimate_motion(
        frames, gain=None, defects=None, pixel_size_angstrom=pixel, options=MotionOptions(patches=(PATCHES, PATCHES))
    )

    def corrected_by(field: MotionField) -> np.ndarray:
        sums = correct_movie(
            frames,
            gain=None,
            defects=None,
            field=field,
            pixel_size_angstrom=pixel,
            weighted=False,
            half_sums=False,
        )
        return sums.unweighted

    return Case(
        original=(electrons if request.param in CAMERAS else specimen.picture).astype(np.float32),
        pixel_size_angstrom=pixel,
        truth=truth,
        found=estimate.field,
        corrected=corrected_by(estimate.field),
        by_truth=corrected_by(truth),
        uncorrected=frames.sum(axis=0, dtype=np.float32),
        real=request.param in CAMERAS,
    )


def tracks(field: MotionField) -> np.ndarray:
    """(patches, frames, 2), the mean over the frames taken away: a constant offset does not blur."""
    rows = [(i + 0.5) * field.height / PATCHES for i in range(PATCHES)]
    columns = [(j + 0.5) * field.width / PATCHES for j in range(PATCHES)]
    found = np.array([[field.at(t, y, x) for t in range(field.frames)] for y in rows for x in columns], float)
    return found - found.mean(axis=1, keepdims=True)


def rms(vectors: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.sum(vectors**2, axis=-1))))


def frc(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.asarray(fourier_ring_correlation(a, b, rings=RINGS)[1])


def test_the_global_drift_is_found_within_a_tenth_of_a_pixel(case):
    assert np.ptp(case.truth.global_px, axis=0).max() > 15
    error = (tracks(case.found) - tracks(case.truth)).mean(axis=0)
    assert rms(error) <= 0.1


def test_the_motion_at_the_patches_centres_is_found_within_three_tenths_of_a_pixel(case):
    truth = tracks(case.truth)
    assert rms(truth - truth.mean(axis=0)) > 0.2
    assert rms(tracks(case.found) - truth) <= 0.3


def test_every_band_of_the_picture_is_what_correction_by_the_truth_gives(case):
    found, best = frc(case.corrected, case.original), frc(case.by_truth, case.original)
    there = best > 0.05  # a noiseless picture ends where its envelope does; a real one reaches the edge
    assert there.sum() > RINGS // 4
    assert there.all() or not case.real
    assert (found / best)[there].min() >= 0.97, np.column_stack([found, best])


def test_without_correction_the_picture_is_lost(case):
    best = frc(case.by_truth, case.original)
    beyond = (best > 0.05) & (np.arange(RINGS) >= RINGS // 8)
    assert beyond.any()
    assert np.median((frc(case.uncorrected, case.original) / best)[beyond]) < 0.3


def test_the_defocus_is_that_of_the_original(case):
    optics = Optics(
        voltage_kv=300.0, spherical_aberration_mm=2.7, amplitude_contrast=0.1, pixel_size_angstrom=case.pixel_size_angstrom
    )
    before, after = (fit_ctf(image, optics, CtfOptions()) for image in (case.original, case.corrected))
    assert abs(before.defocus_angstrom - after.defocus_angstrom) <= 100
