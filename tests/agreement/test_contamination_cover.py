"""The share that objects cover, against known masks: it follows the truth from little to nearly all."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage as ndimage

from passerelle.imaging.contamination import contamination_percent
from passerelle.simulation.bad_exposures import contaminate, crystals

COVERS = (0.02, 0.1, 0.17, 0.28, 0.37, 0.5, 0.65, 0.8)


def under_crystals(side: int, cover: float, electrons_per_px: float, seed: int) -> tuple[float, float]:
    electrons = np.random.default_rng(seed).poisson(electrons_per_px, (side, side)).astype(np.uint16)
    picture = contaminate(electrons, 1.0, seed=seed, coverage=cover)
    return contamination_percent(picture, 1.0), 100 * float((crystals(side, side, seed=seed, coverage=cover) > 0.5).mean())


def beside_carbon(side: int, cover: float, electrons_per_px: float, seed: int) -> tuple[float, float]:
    """Carbon absorbs an eighth and is rough; its edge is slanted and blurred over 10 px."""
    rng = np.random.default_rng(seed)
    y, x = np.indices((side, side), np.float32)
    place = x + 0.4 * y
    carbon = place < np.quantile(place, cover)
    soft = ndimage.gaussian_filter(carbon.astype(np.float32), 10)
    grain = ndimage.gaussian_filter(rng.standard_normal((side, side), np.float32), 2.0)
    expected = electrons_per_px * (1 - 0.12 * soft) * (1 + 0.1 * soft * grain / grain.std())
    return contamination_percent(rng.poisson(np.maximum(expected, 0)), 1.0), 100 * float(carbon.mean())


@pytest.mark.parametrize("electrons_per_px", [10, 40])
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("scene", [under_crystals, beside_carbon])
def test_the_share_follows_the_true_cover_and_grows_with_it(scene, seed: int, electrons_per_px: float):
    pairs = [scene(768, cover, electrons_per_px, seed) for cover in COVERS]
    for measured, true in pairs:
        assert measured == pytest.approx(true, abs=max(5.0, 0.25 * true))
    measured = [pair[0] for pair in pairs]
    assert measured == sorted(measured)


@pytest.mark.parametrize("cover", [0.37, 0.5, 0.6])
def test_a_small_picture_half_or_more_covered_does_not_pass_for_clean(cover: float):
    measured, true = under_crystals(512, cover, 10, 3)
    assert measured == pytest.approx(true, abs=max(5.0, 0.25 * true))
