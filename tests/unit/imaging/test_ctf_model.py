"""The contrast transfer function itself."""

from __future__ import annotations

import math

import numpy as np
import pytest

from passerelle.core.errors import BadInput
from passerelle.imaging.ctf_model import Optics, ctf_1d, ctf_2d, ctf_phase, defocus_along, normalize_astigmatism

KRIOS = Optics(voltage_kv=300.0, spherical_aberration_mm=2.7, amplitude_contrast=0.07, pixel_size_angstrom=1.0)


def test_the_ctf_begins_at_minus_the_amplitude_contrast():
    assert ctf_1d(np.zeros(1), KRIOS, 15000.0)[0] == pytest.approx(-0.07)


def test_a_phase_plate_of_90_degrees_turns_the_beginning_into_full_contrast():
    assert ctf_1d(np.zeros(1), KRIOS, 15000.0, phase_shift_deg=90.0)[0] == pytest.approx(-math.cos(math.asin(0.07)))


def test_the_phase_is_that_of_the_published_equation():
    # Rohou & Grigorieff 2015, eq. 3, worked by hand at 1/10 Å⁻¹ and 1 µm
    wavelength = KRIOS.wavelength_angstrom
    expected = math.pi * wavelength * 0.01 * (1e4 - 0.5 * wavelength**2 * 0.01 * 2.7e7) + math.asin(0.07)
    assert ctf_phase(np.array([0.01]), KRIOS, 1e4)[0] == pytest.approx(expected)


def test_without_aberration_the_zeros_are_evenly_spaced_in_squared_frequency():
    optics = Optics(300.0, 0.0, 0.0, 1.0)
    squared = np.arange(1, 6) / (optics.wavelength_angstrom * 2e4)
    assert ctf_1d(np.sqrt(squared), optics, 2e4) == pytest.approx(np.zeros(5), abs=1e-9)


@pytest.mark.parametrize(("height", "width"), [(8, 8), (7, 9), (16, 10), (300, 5)])
def test_the_plane_agrees_with_the_line_along_every_direction(height: int, width: int):
    plane = ctf_2d(height, width, KRIOS, 16000.0, 12000.0, 25.0, 30.0)
    assert plane.shape == (height, width // 2 + 1)
    assert plane.dtype == np.float32
    fy, fx = np.meshgrid(np.fft.fftfreq(height), np.fft.rfftfreq(width), indexing="ij")
    defocus = defocus_along(np.arctan2(fy, fx), 16000.0, 12000.0, 25.0)
    expected = -np.sin(ctf_phase(fx**2 + fy**2, KRIOS, defocus, 30.0))
    assert plane == pytest.approx(expected, abs=1e-5)


def test_defocus_is_u_along_its_angle_and_v_across_it():
    assert defocus_along(math.radians(25.0), 16000.0, 12000.0, 25.0) == pytest.approx(16000.0)
    assert defocus_along(math.radians(115.0), 16000.0, 12000.0, 25.0) == pytest.approx(12000.0)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((2.0, 1.0, 30.0), (2.0, 1.0, 30.0)),
        ((1.0, 2.0, 30.0), (2.0, 1.0, -60.0)),
        ((2.0, 1.0, -90.0), (2.0, 1.0, 90.0)),
        ((2.0, 1.0, 450.0), (2.0, 1.0, 90.0)),
        ((1.0, 2.0, 0.0), (2.0, 1.0, 90.0)),
    ],
)
def test_astigmatism_is_told_in_one_way_only(given: tuple[float, float, float], expected: tuple[float, float, float]):
    assert normalize_astigmatism(*given) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("voltage", "aberration", "contrast", "pixel", "word"),
    [
        (0.0, 2.7, 0.1, 1.0, "voltage"),
        (math.nan, 2.7, 0.1, 1.0, "voltage"),
        (300.0, 2.7e7, 0.1, 1.0, "spherical aberration"),
        (300.0, 2.7, 1.5, 1.0, "amplitude contrast"),
        (300.0, 2.7, 0.1, 0.0, "pixel size"),
        (300.0, 2.7, 0.1, math.inf, "pixel size"),
    ],
)
def test_optics_that_no_microscope_has_are_refused_by_name(
    voltage: float, aberration: float, contrast: float, pixel: float, word: str
):
    with pytest.raises(BadInput, match=word):
        Optics(voltage, aberration, contrast, pixel)


def test_a_plane_without_pixels_is_refused():
    with pytest.raises(BadInput, match="0 × 5"):
        ctf_2d(0, 5, KRIOS, 1e4)
