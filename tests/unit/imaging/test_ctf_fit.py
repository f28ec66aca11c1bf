"""The fit of the CTF and its picture, on small simulated micrographs."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from passerelle.core.errors import BadInput
from passerelle.imaging.ctf_fit import CtfFit, CtfOptions, fit_ctf
from passerelle.imaging.ctf_model import Optics
from passerelle.imaging.ctf_picture import spectrum_picture
from passerelle.imaging.spectrum import Spectrum, measure_spectrum
from passerelle.testing.micrographs import simulate_micrograph

OPTICS = Optics(300.0, 2.7, 0.07, 1.2)


@cache
def micrograph(phase_shift_deg: float = 0.0) -> np.ndarray:
    return simulate_micrograph(
        (768, 768),
        OPTICS,
        defocus_u_angstrom=15600.0,
        defocus_v_angstrom=15000.0,
        angle_deg=40.0,
        phase_shift_deg=phase_shift_deg,
        signal=8.0,
    )


@cache
def fitted() -> tuple[Spectrum, CtfFit]:
    spectrum = measure_spectrum(micrograph(), OPTICS.pixel_size_angstrom, box_px=256)
    return spectrum, fit_ctf(spectrum, OPTICS)


def test_defocus_and_astigmatism_are_found():
    _, fit = fitted()
    assert fit.defocus_angstrom == pytest.approx(15300, abs=40)
    assert fit.astigmatism_angstrom == pytest.approx(600, abs=100)
    assert fit.angle_deg == pytest.approx(40, abs=6)
    assert fit.defocus_u_angstrom >= fit.defocus_v_angstrom
    assert fit.phase_shift_deg == 0.0
    assert fit.resolution_angstrom < 5.0
    assert fit.significance > 500


def test_a_phase_shift_is_found_where_asked_for():
    fit = fit_ctf(micrograph(70.0), OPTICS, CtfOptions(phase_shift=True))
    assert fit.phase_shift_deg == pytest.approx(70, abs=8)
    assert fit.defocus_angstrom == pytest.approx(15300, abs=150)


def test_a_known_phase_shift_is_kept():
    fit = fit_ctf(micrograph(70.0), OPTICS, CtfOptions(phase_shift_deg=70.0))
    assert fit.phase_shift_deg == 70.0
    assert fit.defocus_angstrom == pytest.approx(15300, abs=40)


def test_transposing_the_picture_turns_the_astigmatism():
    fit = fit_ctf(np.ascontiguousarray(micrograph().T), OPTICS)
    assert fit.angle_deg == pytest.approx(50, abs=6)


def test_the_search_keeps_to_its_range():
    fit = fit_ctf(fitted()[0], OPTICS, CtfOptions(defocus_min_angstrom=30000, defocus_max_angstrom=40000))
    assert 29000 < fit.defocus_angstrom < 41000
    assert fit.significance < fitted()[1].significance / 5


def test_the_curves_are_of_one_length_finite_and_agree_where_the_rings_are_clear():
    _, fit = fitted()
    curves = (fit.spacing_per_angstrom, fit.spectrum, fit.model, fit.agreement)
    assert len({curve.shape for curve in curves}) == 1
    assert all(np.isfinite(curve).all() for curve in curves)
    assert (np.diff(fit.spacing_per_angstrom) > 0).all()
    clear = (fit.spacing_per_angstrom > 1 / 20) & (fit.spacing_per_angstrom < 1 / 8)
    assert fit.agreement[clear].min() > 0.8
    assert np.corrcoef(fit.spectrum[clear], fit.model[clear])[0, 1] > 0.8
    assert fit.model.min() >= 0
    assert fit.model.max() <= 1


def test_noise_is_told_from_rings():
    noise = np.random.default_rng(3).standard_normal((600, 700))
    fit = fit_ctf(noise, OPTICS)
    assert fit.resolution_angstrom == 30.0


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"resolution_low_angstrom": 4.0, "resolution_high_angstrom": 30.0}, "larger"),
        ({"defocus_min_angstrom": 6000.0, "defocus_max_angstrom": 5000.0}, "defocus"),
        ({"defocus_max_angstrom": 1e9}, "500000"),
    ],
)
def test_options_that_contradict_themselves_are_refused(options: dict[str, float], word: str):
    with pytest.raises(BadInput, match=word):
        CtfOptions(**options)  # pyright: ignore[reportArgumentType]


def test_pixels_too_coarse_for_the_range_are_refused_with_a_reason():
    with pytest.raises(BadInput, match="too coarse"):
        fit_ctf(micrograph(), Optics(300.0, 2.7, 0.07, 14.0))


def test_the_picture_shows_the_measured_half_beside_the_fitted_half():
    spectrum, fit = fitted()
    picture = spectrum_picture(spectrum, fit)
    measured = spectrum_picture(spectrum, None)
    assert picture.shape == measured.shape == (256, 256)
    assert picture.dtype == np.uint8
    assert (picture[:, :128] == measured[:, :128]).all()
    # mirrored, the fitted rings lie on the measured ones
    rows, columns = slice(128 - 50, 128 - 12), slice(128 + 12, 128 + 50)
    across = picture[129 + 12 : 129 + 50, columns].astype(float)[::-1, ::-1]
    averaged = picture[rows, slice(128 - 49, 128 - 11)].astype(float)
    assert np.corrcoef(averaged.ravel(), across.ravel())[0, 1] > 0.6


def test_the_measured_plane_is_point_symmetric():
    picture = spectrum_picture(fitted()[0], None)
    assert (picture[129:, 1:128] == picture[1:128, 129:][::-1, ::-1]).all()
