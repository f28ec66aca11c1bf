"""Dose weighting after Grant & Grigorieff 2015."""

import numpy as np
import pytest

from passerelle.imaging import critical_dose, dose_weights
from passerelle.imaging.dose import factorise


def test_the_critical_dose_is_the_published_curve_and_lower_at_200_kv():
    k = np.array([1 / 20, 1 / 10, 1 / 3])
    expected = 0.245 * k**-1.665 + 2.81
    np.testing.assert_allclose(critical_dose(k, 300), expected)
    np.testing.assert_allclose(critical_dose(k, 200), 0.8 * expected)


def test_a_weight_is_exp_of_minus_the_dose_at_the_frames_end_over_twice_the_critical_dose():
    weights = dose_weights(3, np.array([0.1]), voltage_kv=300, dose_per_frame=2.0, pre_exposure=1.5)
    critical = 0.245 * 0.1**-1.665 + 2.81
    np.testing.assert_allclose(weights[:, 0], np.exp(-0.5 * np.array([3.5, 5.5, 7.5]) / critical))


@pytest.mark.parametrize(("frames", "dose"), [(1, 2.0), (2, 5.0), (40, 1.25), (80, 1.0)])
def test_few_factors_stand_for_all_weights_within_a_thousandth(frames, dose):
    weights = dose_weights(frames, np.linspace(0, 0.7, 400), voltage_kv=300, dose_per_frame=dose)
    factors = factorise(weights)
    exact = weights / np.sqrt(np.mean(weights**2, axis=0))
    approximate = factors.mean_curve + factors.frame_factors @ factors.curves
    assert np.abs(approximate - exact).max() <= 1.01e-3 * exact.max()
    assert factors.frame_factors.shape[1] <= 6
