"""The ring of ice, and objects on the ice."""

from __future__ import annotations

import numpy as np
import pytest

from passerelle.core.errors import BadInput
from passerelle.imaging.contamination import contamination_mask, contamination_percent
from passerelle.imaging.ctf_model import Optics
from passerelle.imaging.ice import ice_ring_score
from passerelle.imaging.spectrum import measure_spectrum
from passerelle.testing.micrographs import simulate_micrograph

RANDOM = np.random.default_rng(11)
PIXEL = 4.0


def field(side: int = 600, mean: float = 100.0) -> np.ndarray:
    return RANDOM.poisson(mean, (side, side)).astype(np.float32)


def disc(side: int, y: float, x: float, radius: float) -> np.ndarray:
    rows, columns = np.indices((side, side))
    return np.hypot(rows - y, columns - x) < radius


def with_ice(ice: float, pixel: float) -> np.ndarray:
    optics = Optics(300.0, 2.7, 0.07, pixel)
    return simulate_micrograph(
        (512, 512), optics, defocus_u_angstrom=15000, defocus_v_angstrom=15000, angle_deg=0, signal=0.5, ice=ice
    )


@pytest.mark.parametrize("pixel", [0.8, 1.2, 1.5, 1.6])
def test_a_ring_of_ice_is_scored_by_its_height(pixel: float):
    none, some, much = (ice_ring_score(with_ice(ice, pixel), pixel) for ice in (0.0, 1.0, 4.0))
    assert none is not None
    assert some is not None
    assert much is not None
    assert abs(none) < 0.15
    assert 0.4 < some < 1.2
    assert 2.0 < much < 4.5


def test_the_spectrum_gives_the_same_score_as_the_picture():
    picture = with_ice(1.0, 1.2)
    assert ice_ring_score(measure_spectrum(picture, 1.2), 1.2) == pytest.approx(ice_ring_score(picture, 1.2))


@pytest.mark.parametrize("pixel", [1.8, 3.0])
def test_pixels_too_coarse_for_the_ring_give_no_score(pixel: float):
    assert ice_ring_score(field(128), pixel) is None


def test_clean_ice_is_not_contaminated():
    assert contamination_percent(field(), PIXEL) == 0.0


def test_a_slope_of_thickness_is_not_contamination():
    y, x = np.indices((600, 600)) / 600
    assert contamination_percent(field() * (1 + 0.3 * x - 0.2 * y**2), PIXEL) < 1.0


def test_particles_are_not_contamination():
    picture = field(800)
    particle = np.where(disc(31, 15, 15, 15), np.float32(0.94), np.float32(1.0))
    for y, x in RANDOM.integers(0, 769, (150, 2)):
        picture[y : y + 31, x : x + 31] *= particle
    assert contamination_percent(picture, PIXEL) < 5.0


@pytest.mark.parametrize("strength", [0.5, 0.8, 1.4])
def test_a_crystal_is_found_where_it_lies_whether_dark_or_bright(strength: float):
    picture = field()
    crystal = disc(600, 200, 350, 110)
    picture[crystal] *= strength
    mask = contamination_mask(picture, PIXEL)
    grown = np.kron(mask, np.ones((600 // mask.shape[0], 600 // mask.shape[1]), bool))
    size = grown.shape
    assert grown[crystal[: size[0], : size[1]]].mean() > 0.97
    assert contamination_percent(picture, PIXEL) == pytest.approx(100 * crystal.mean(), abs=5.0)


def test_carbon_over_two_fifths_of_the_picture_is_found():
    picture = field()
    picture[:, :240] = RANDOM.poisson(80, (600, 240))
    assert 35 < contamination_percent(picture, PIXEL) < 50


def test_a_rough_object_of_the_same_mean_is_found():
    picture = field()
    rough = disc(600, 300, 300, 80)
    picture[rough] = 100 + 40 * RANDOM.standard_normal(int(rough.sum()))
    assert contamination_percent(picture, PIXEL) == pytest.approx(100 * rough.mean(), abs=6.0)


def test_numbers_that_are_none_do_not_stop_the_search():
    picture = field()
    picture[5, 5] = np.nan
    assert 0 <= contamination_percent(picture, PIXEL) < 5


@pytest.mark.parametrize("picture", [np.zeros((100, 100)), np.full((100, 100), 7, np.uint8)])
def test_a_flat_picture_has_nothing_on_it(picture: np.ndarray):
    assert contamination_percent(picture, PIXEL) == 0.0


@pytest.mark.parametrize("shape", [(10, 100), (100,), (2, 100, 100)])
def test_what_is_no_picture_is_refused(shape: tuple[int, ...]):
    with pytest.raises(BadInput, match="shape"):
        contamination_percent(np.zeros(shape), PIXEL)
