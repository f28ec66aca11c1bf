"""Gain measures on pictures with hardly a count."""

import numpy as np

from passerelle.imaging.gain import residual_gain


def test_a_picture_with_hardly_a_count_has_no_residual_pattern_and_is_no_error():
    sparse = np.zeros((192, 192), np.float32)
    sparse[::48, ::48] = 1
    spread, ratio = residual_gain(sparse, noise_variance=1.0)
    assert np.isfinite(spread)
    assert ratio >= 1.0
    assert residual_gain(np.zeros((64, 64), np.float32)) == (0.0, 1.0)
