"""Which way a gain reference lies on the movie is seen in the pattern that it leaves."""

import numpy as np
import pytest

from passerelle.core.errors import BadInput
from passerelle.imaging import ORIENTATIONS, better_orientation, multiplier, orient, rank_orientations, residual_gain

SIDE = 512


def camera(shape, sd, seed=1):
    """Sensitivity with single-pixel, column and row structure, as counting cameras have."""
    rng = np.random.default_rng(seed)
    rows, columns = rng.normal(0, 0.4 * sd, (shape[0], 1)), rng.normal(0, 0.4 * sd, (1, shape[1]))
    return np.clip(1 + rng.normal(0, 0.8 * sd, shape) + rows + columns, 0.5, 1.5).astype(np.float32)


def mean_frame(sensitivity, electrons=40.0, movies=1, seed=2):
    """Mean raw frame of movies with `electrons` a pixel each, over a specimen that varies smoothly."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: sensitivity.shape[0], : sensitivity.shape[1]]
    total = np.zeros(sensitivity.shape)
    for movie in range(movies):
        specimen = 1 + 0.2 * np.sin(x / 60 + movie) * np.cos(y / 45)
        total += rng.poisson(electrons * specimen * sensitivity)
    return (total / movies / 40).astype(np.float32)


def turned_back(gain, name):
    """The gain as it would be written so that orient(…, name) makes it fit."""
    return next(orient(gain, other) for other in ORIENTATIONS if np.array_equal(orient(orient(gain, other), name), gain))


@pytest.mark.parametrize("truth", ORIENTATIONS)
@pytest.mark.parametrize("sd", [0.02, 0.05])
def test_every_true_orientation_is_ranked_first_on_three_movies(truth, sd):
    sensitivity = camera((SIDE, SIDE), sd)
    written = turned_back((1 / sensitivity).astype(np.float32), truth)
    scores = rank_orientations(mean_frame(sensitivity, movies=3), written)
    assert scores[0].name == truth
    assert 0.8 < scores[0].strength < 1.2
    assert len(scores) == 8


@pytest.mark.parametrize("used", ORIENTATIONS)
def test_an_alert_is_raised_for_every_wrong_orientation_and_never_for_the_right_one(used):
    sensitivity = camera((SIDE, SIDE), 0.03)
    scores = rank_orientations(mean_frame(sensitivity, movies=3), (1 / sensitivity).astype(np.float32))
    better = better_orientation(scores, used)
    if used == "as_written":
        assert better is None
    else:
        assert better is not None
        assert better.name == "as_written"


def test_a_gain_of_another_camera_raises_no_alert():
    scores = rank_orientations(mean_frame(camera((SIDE, SIDE), 0.03), movies=3), 1 / camera((SIDE, SIDE), 0.03, seed=9))
    assert all(better_orientation(scores, used) is None for used in ORIENTATIONS)


def test_frames_that_are_corrected_already_raise_no_alert():
    frame = mean_frame(np.ones((SIDE, SIDE), np.float32), movies=3)
    scores = rank_orientations(frame, 1 / camera((SIDE, SIDE), 0.03))
    assert better_orientation(scores, "as_written") is None
    assert abs(scores[0].strength) < 0.3


def test_on_a_detector_that_is_not_square_only_orientations_that_fit_are_ranked():
    sensitivity = camera((400, 520), 0.03)
    written = orient((1 / sensitivity).astype(np.float32), "transpose")
    scores = rank_orientations(mean_frame(sensitivity), written)
    assert {score.name for score in scores} == {"rotate_90", "rotate_270", "transpose", "antitranspose"}
    assert scores[0].name == "transpose"
    assert better_orientation(scores, "as_written") == scores[0]


def test_a_gain_that_fits_in_no_orientation_is_refused_with_both_sizes():
    with pytest.raises(BadInput, match=r"64 × 32 .* 48 × 32"):
        rank_orientations(np.ones((32, 48), np.float32), np.ones((32, 64), np.float32))


def test_an_unknown_orientation_is_refused_with_the_known_ones():
    with pytest.raises(BadInput, match="as_written"):
        orient(np.ones((4, 4), np.float32), "sideways")


def test_orientations_are_named_as_seen_with_row_0_at_the_bottom():
    marked = np.zeros((3, 4))
    marked[0, 3] = 1  # the lower right corner
    corner = {name: tuple(int(i) for i in np.argwhere(orient(marked, name))[0]) for name in ORIENTATIONS}
    assert corner["rotate_90"] == (3, 2)  # counter-clockwise: upper right of 4 rows × 3 columns
    assert corner["flip_x"] == (0, 0)
    assert corner["flip_y"] == (2, 3)
    assert corner["transpose"] == (3, 0)
    assert corner["antitranspose"] == (0, 2)


def test_a_reference_to_divide_by_becomes_a_multiplier_with_zero_where_there_is_no_gain():
    factors = multiplier(np.array([[2.0, 4.0], [0.0, np.nan]]), divide=True)
    np.testing.assert_allclose(factors, [[1.5, 0.75], [0, 0]])


def test_residual_gain_sees_the_pattern_beyond_shot_noise():
    electrons = 400.0
    noise = electrons / 40**2
    for sd in (0.0, 0.05):
        frame = mean_frame(camera((SIDE, SIDE), sd) if sd else np.ones((SIDE, SIDE), np.float32), electrons)
        left, ratio = residual_gain(frame, noise_variance=noise)
        assert left == pytest.approx(sd, abs=0.012)
        assert 1.2 < ratio < 1.7  # the specimen: ± 20 %
