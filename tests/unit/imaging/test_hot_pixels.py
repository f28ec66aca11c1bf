"""Bad pixels are found in the mean frame, and good ones stand in for them."""

import numpy as np

from passerelle.imaging import find_hot_pixels, frame_statistics
from passerelle.imaging.defects import plan_repairs


def movie(dose=1.0, frames=20, shape=(300, 280), seed=0):
    y, x = np.mgrid[: shape[0], : shape[1]]
    specimen = 1 + 0.3 * np.sin(x / 20) * np.sin(y / 30)
    return np.random.default_rng(seed).poisson(dose * specimen, (frames, *shape)).astype(np.uint8)


def found(frames, **kwargs):
    statistics = frame_statistics(frames)
    return find_hot_pixels(statistics.mean, noise_variance=statistics.noise_variance, **kwargs)


def test_hot_and_dead_pixels_are_found_and_no_others():
    frames = movie(dose=3.0)
    frames[:, 40, 50] += 5
    frames[:, 100, 100:103] += 9
    frames[:, 200, 20] = 0
    hot = found(frames)
    expected = np.zeros_like(hot)
    expected[40, 50] = expected[100, 100:103] = expected[200, 20] = True
    np.testing.assert_array_equal(hot, expected)


def test_few_electrons_a_pixel_make_no_false_hot_pixels():
    for dose in (0.02, 0.1, 0.5, 2.0):
        assert found(movie(dose=dose)).sum() <= 1


def test_counts_that_are_scaled_do_not_change_what_is_found():
    frames = movie(dose=2.0)
    frames[:, 7, 9] += 8
    np.testing.assert_array_equal(found(frames), found(frames.astype(np.float32) * 308.0))


def test_a_dead_column_is_found_and_known_defects_are_not_reported_again():
    frames = movie(dose=3.0)
    frames[:, :, 33] = 0
    hot = found(frames)
    assert hot[:, 33].mean() > 0.95
    assert hot.sum() < 310
    known = np.zeros_like(hot)
    known[:, 33] = True
    assert not found(frames, defects=known).any()


def test_a_defect_is_replaced_by_good_pixels_near_it_also_inside_a_wide_block():
    bad = np.zeros((60, 50), np.bool_)
    bad[10:30, 20:35] = True
    bad[0, 0] = bad[59, 49] = True
    repairs = plan_repairs(bad, bad.shape)
    assert len(repairs.table) == bad.sum()
    rows = np.repeat(np.arange(60), np.diff(repairs.rows))
    assert bad[rows, repairs.table[:, 0]].all()
    for slot in range(4):
        y, x = repairs.table[:, 1 + 2 * slot], repairs.table[:, 2 + 2 * slot]
        assert not bad[y, x].any()
        assert np.hypot(y - rows, x - repairs.table[:, 0]).max() <= 11


def test_frames_without_counts_and_values_that_are_not_finite_are_seen():
    frames = movie().astype(np.float32)
    frames[3] = 0
    frames[5] = np.nan
    frames[:, 8, 8] = np.inf
    frames[7, 9, 9] = np.nan
    statistics = frame_statistics(frames)
    assert list(np.flatnonzero(statistics.blank)) == [3, 5]
    assert {tuple(int(i) for i in place) for place in np.argwhere(statistics.not_finite)} == {(8, 8), (9, 9)}
    assert np.isfinite(statistics.mean).all()


def test_the_noise_of_the_mean_frame_is_measured_from_its_scatter_over_time():
    statistics = frame_statistics(movie(dose=2.0))
    assert abs(statistics.noise_variance / (2.0 / 20) - 1) < 0.02
