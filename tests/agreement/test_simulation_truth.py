"""The simulated microscope against what is known of its specimens: real micrographs, an atomic model, the speed of dealing."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from passerelle.core.errors import NotFound
from passerelle.imaging.correct import correct_movie
from passerelle.imaging.ctf_fit import CtfOptions, fit_ctf
from passerelle.imaging.fourier_ring import fourier_ring_correlation
from passerelle.simulation import (
    Conditions,
    Specimen,
    deal,
    krios_micrograph,
    particles_of_model,
    random_field,
    read_atoms,
    still_field,
)


def _micrograph(camera: str) -> Specimen:
    try:
        return krios_micrograph(camera)
    except NotFound as error:
        pytest.skip(f"the real micrograph cannot be had: {error}")


@pytest.mark.parametrize(("camera", "shape", "mean"), [("falcon", (4096, 4096), 18.29), ("k2", (3838, 3710), 34.72)])
def test_electrons_of_a_real_micrograph_have_its_dose_and_noise_of_counting(camera: str, shape: tuple[int, int], mean: float):
    specimen = _micrograph(camera)
    assert specimen.picture.shape == shape
    assert specimen.picture.mean(dtype=np.float64) == pytest.approx(mean, abs=0.01)
    electrons = specimen.electrons(1)
    assert electrons.mean() == pytest.approx(mean, abs=0.01)
    noise = electrons - specimen.picture
    assert noise.var(dtype=np.float64) == pytest.approx(mean, rel=0.01)
    assert abs(np.corrcoef(noise[::8].ravel(), specimen.picture[::8].ravel())[0, 1]) < 0.003


def test_correction_by_the_true_motion_brings_a_real_micrograph_back():
    specimen = _micrograph("k2").crop(2048, 2048)
    electrons = specimen.electrons(1)
    field = random_field(40, 2048, 2048, global_px=30, local_px=4, seed=2)
    frames = deal(electrons, field, seed=3)
    kept, lost = (
        fourier_ring_correlation(
            correct_movie(
                frames,
                gain=None,
                defects=None,
                field=motion,
                pixel_size_angstrom=specimen.pixel_size_angstrom,
                weighted=False,
                half_sums=False,
            ).unweighted,
            electrons.astype(np.float32),
            rings=12,
        )[1]
        for motion in (field, still_field(40, 2048, 2048))
    )
    # what is lost at the finest detail is the chance of the electron's place inside its pixel
    assert kept[:4].min() > 0.92
    assert kept.min() > 0.5
    assert lost[2:].max() < 0.25


def test_dealing_a_whole_k2_movie_takes_seconds():
    electrons = np.random.default_rng(1).poisson(34.7, (960, 3710)).astype(np.uint16)  # a quarter of the picture
    field = random_field(40, 960, 3710, global_px=30, local_px=4, seed=2)
    deal(electrons[:64], random_field(40, 64, 3710, global_px=3, local_px=1, seed=2), seed=1)  # compile
    begun = time.process_time()
    deal(electrons, field, seed=1)
    assert 4 * (time.process_time() - begun) < 100


def test_particles_of_an_atomic_model_show_rings_of_the_defocus_they_were_given(real_data: Path):
    atoms = read_atoms(real_data / "models" / "6z6u.pdb.gz")
    assert atoms.place.shape[0] == pytest.approx(32618, abs=200)
    assert atoms.radius_angstrom == pytest.approx(67, abs=2)
    conditions = Conditions(
        pixel_size_angstrom=1.06,
        defocus_u_angstrom=15200,
        defocus_v_angstrom=14800,
        defocus_angle_deg=30,
        dose_e_per_angstrom2=40,
    )
    specimen = particles_of_model(atoms, 1536, 1536, conditions, seed=1)
    assert len(specimen.poses) > 40
    fit = fit_ctf(specimen.electrons(2).astype(np.float32), conditions.optics(), CtfOptions())
    assert fit.defocus_u_angstrom == pytest.approx(15200, abs=60)
    assert fit.defocus_v_angstrom == pytest.approx(14800, abs=60)
    assert fit.angle_deg == pytest.approx(30, abs=5)
    # protein is dark under underfocus, the hollow of the shell brighter than its wall
    for pose in specimen.poses[:5]:
        y, x = int(pose.y_px), int(pose.x_px)
        box = specimen.picture[y - 64 : y + 64, x - 64 : x + 64]
        radius = np.hypot(*np.mgrid[-64:64, -64:64]) * 1.06
        wall, hollow, outside = (box[(radius > a) & (radius < b)].mean() for a, b in ((45, 60), (0, 25), (66, 72)))
        assert wall < hollow
        assert wall < outside


def test_frames_of_a_model_carry_fresh_noise(real_data: Path):
    atoms = read_atoms(real_data / "models" / "4v5d.cif.gz")
    specimen = particles_of_model(atoms, 768, 768, Conditions(pixel_size_angstrom=1.5), seed=1)
    frames = deal(specimen.electrons(3), still_field(8, 768, 768), seed=4).astype(np.float64)
    halves = frames[::2].sum(axis=0), frames[1::2].sum(axis=0)
    spread = (halves[0] - halves[1]).var() / specimen.picture.mean()
    assert spread == pytest.approx(1, abs=0.02)  # Poisson: the difference of the halves has the variance of their sum
