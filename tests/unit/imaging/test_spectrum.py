"""The spectrum of a micrograph."""

from __future__ import annotations

import numpy as np
import pytest

from passerelle.core.errors import BadInput
from passerelle.imaging.spectrum import ANGLES, SQUARED_STEPS, measure_spectrum, power_spectrum

RANDOM = np.random.default_rng(5)
NOISE = RANDOM.standard_normal((600, 500)).astype(np.float32)


def test_white_noise_has_a_flat_spectrum():
    spectrum = measure_spectrum(NOISE, 1.0, box_px=128)
    assert spectrum.amplitude.shape == (128, 65)
    assert spectrum.polar.shape == spectrum.weight.shape == (ANGLES, SQUARED_STEPS)
    rings = np.average(spectrum.polar[:, 16:].reshape(ANGLES, 63, 16).mean(axis=2), axis=0)
    assert rings.std() / rings.mean() < 0.1


@pytest.mark.parametrize("angle_deg", [-80, -45, -10, 20, 60])
def test_a_band_of_noise_appears_in_its_direction_and_at_its_frequency(angle_deg: float):
    fy, fx = np.meshgrid(np.fft.fftfreq(600), np.fft.rfftfreq(500), indexing="ij")
    angle = np.radians(angle_deg)
    away = np.minimum(*(np.hypot(fx - s * np.cos(angle) / 6, fy - s * np.sin(angle) / 6) for s in (1, -1)))
    band = np.fft.irfft2(np.fft.rfft2(NOISE) * (1.0 + np.exp(-((away / 0.03) ** 2))), s=NOISE.shape)
    spectrum = measure_spectrum(band, 2.0, box_px=128)
    inside = np.abs(np.sqrt(spectrum.squared) - 1 / 12) < 0.01
    by_angle = (spectrum.polar * spectrum.weight)[:, inside].sum(axis=1) / spectrum.weight[:, inside].sum(axis=1)
    direction = (by_angle - np.median(by_angle)) @ np.exp(2j * spectrum.angles_rad)
    assert abs((np.degrees(np.angle(direction)) / 2 - angle_deg + 90) % 180 - 90) < 4
    ring = int(np.argmax(np.convolve(spectrum.ring_power, np.ones(64), "same")))
    assert np.sqrt(spectrum.squared[ring]) == pytest.approx(1 / 12.0, rel=0.15)


def test_fine_pixels_are_cropped_so_that_the_rings_fill_the_box():
    spectrum = measure_spectrum(NOISE, 0.5, box_px=64)
    assert spectrum.pixel_size_angstrom == 1.4
    assert spectrum.edge_per_angstrom == pytest.approx(1 / 2.8)
    assert spectrum.amplitude.shape == (64, 33)


def test_a_box_that_the_picture_cannot_fill_shrinks():
    assert measure_spectrum(NOISE, 1.4, box_px=1024).amplitude.shape == (500, 251)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float16, np.float64])
def test_every_type_of_pixel_gives_the_same_spectrum(dtype: type):
    picture = np.round(20 * NOISE[:128, :128] + 120).clip(0, 250)
    expected = power_spectrum(picture.astype(np.float32), 64)
    assert power_spectrum(picture.astype(dtype), 64) == pytest.approx(expected, rel=1e-5)


def test_dead_and_hot_pixels_and_holes_in_the_numbers_do_not_drown_the_spectrum():
    damaged = NOISE.copy()
    damaged[10, 20], damaged[30, 40], damaged[50, 60] = np.nan, 1e30, -np.inf
    assert power_spectrum(damaged, 64) == pytest.approx(power_spectrum(NOISE, 64), rel=0.2)


def test_edges_do_not_leave_a_cross():
    slope = np.linspace(0, 50, 500, dtype=np.float32)[None, :]
    amplitude = power_spectrum(NOISE + slope, 128)
    assert amplitude[0, 20:].mean() == pytest.approx(amplitude[20:40, 20:].mean(), rel=0.2)


@pytest.mark.parametrize("picture", [np.zeros((100, 100)), np.full((100, 100), np.nan), np.zeros((20, 100)), np.zeros(100)])
def test_a_picture_without_a_spectrum_is_refused(picture: np.ndarray):
    with pytest.raises(BadInput):
        measure_spectrum(picture, 1.0)


@pytest.mark.parametrize("box", [0, 31, 33])
def test_an_odd_or_tiny_box_is_refused(box: int):
    with pytest.raises(BadInput, match="box"):
        power_spectrum(NOISE, box)
