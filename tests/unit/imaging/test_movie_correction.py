"""Raw frames and their motion become corrected sums."""

import numpy as np
import pytest

from passerelle.core.errors import BadInput
from passerelle.imaging import MotionField, correct_movie, dose_weights, estimate_motion

SHAPE = (200, 260)


def still(frames, shape=SHAPE):
    return MotionField(np.zeros((frames, 2)), np.zeros((2, frames, 2, 2), np.float32), *shape)


def poisson(frames, shape=SHAPE, seed=0):
    return np.random.default_rng(seed).poisson(2.0, (frames, *shape)).astype(np.uint8)


def correct(frames, field=None, **kwargs):
    options = {"gain": None, "defects": None, "pixel_size_angstrom": 1.2, "dose_per_frame": 1.5} | kwargs
    return correct_movie(frames, field=field or still(len(frames), frames.shape[1:]), **options)


def waves(shape, shift=(0.0, 0.0), seed=3, limit=0.42):
    """A picture made of waves below `limit` cycles per pixel, periodic, displaced by `shift` without any interpolation."""
    rng = np.random.default_rng(seed)
    spectrum = np.fft.rfft2(rng.normal(size=shape))
    ky, kx = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None]
    spectrum *= np.maximum(abs(ky), kx) < limit
    spectrum *= np.exp(-2j * np.pi * (ky * shift[0] + kx * shift[1]))
    return np.fft.irfft2(spectrum, s=shape) + 10


def test_without_motion_the_sum_is_the_plain_sum_and_even_and_odd_are_its_halves():
    frames = poisson(5)
    sums = correct(frames)
    np.testing.assert_allclose(sums.unweighted, frames.sum(axis=0), atol=2e-4)
    np.testing.assert_allclose(sums.even, frames[0::2].sum(axis=0), atol=2e-4)
    np.testing.assert_allclose(sums.odd, frames[1::2].sum(axis=0), atol=2e-4)


def test_whole_pixels_are_moved_in_the_direction_that_the_field_says():
    frames = poisson(3)
    frames[1] = np.roll(frames[0], (4, -7), (0, 1))  # frame(y + 4, x - 7) = micrograph(y, x)
    frames[2] = np.roll(frames[0], (-2, 3), (0, 1))
    field = MotionField(np.array([[0, 0], [4, -7], [-2, 3]], np.float64), np.zeros((2, 3, 2, 2), np.float32), *SHAPE)
    sums = correct(frames, field)
    inner = np.s_[10:-10, 10:-10]
    np.testing.assert_allclose(sums.unweighted[inner], 3 * frames[0].astype(float)[inner], atol=1e-3)


def test_parts_of_a_pixel_are_moved_without_loss_up_to_84_percent_of_nyquist():
    rng = np.random.default_rng(5)
    shifts = rng.uniform(-6, 6, (12, 2))
    frames = np.stack([waves(SHAPE, shift) for shift in shifts]).astype(np.float32)
    field = MotionField(shifts, np.zeros((2, 12, 2, 2), np.float32), *SHAPE)
    sums = correct(frames, field, weighted=False)
    inner = np.s_[16:-16, 16:-16]
    truth = 12 * waves(SHAPE)
    error = sums.unweighted[inner] - truth[inner]
    assert error.std() < 0.02 * truth[inner].std()


def test_the_local_field_is_followed():
    frames = np.zeros((2, *SHAPE), np.float32)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)
    local = np.zeros((2, 2, 3, 3), np.float32)
    local[0, 1] = np.array([-2, 0, 2])[:, None]  # dy grows along y
    local[1, 1] = np.array([1, 0, -1])[None, :]
    field = MotionField(np.array([[0, 0], [0.4, -0.3]]), local, *SHAPE)

    def scene(y, x):
        return 5 + np.sin(y / 3) + np.cos(x / 4)

    frames[0] = scene(y, x)
    dy, dx = field.at(1, y, x)
    # frame(y + d) = scene(y): solved for the frame's own places by a few rounds
    sy, sx = y - dy, x - dx
    for _ in range(5):
        dy, dx = field.at(1, sy, sx)
        sy, sx = y - dy, x - dx
    frames[1] = scene(sy, sx)
    sums = correct(frames, field, weighted=False, half_sums=False)
    inner = np.s_[8:-8, 8:-8]
    assert np.abs(sums.unweighted - 2 * scene(y, x))[inner].max() < 0.06


def test_dose_weighting_equals_the_weighted_sum_of_transforms_frame_by_frame():
    frames = poisson(8, (192, 240))
    sums = correct(frames)
    ky, kx = np.fft.fftfreq(192)[:, None] / 1.2, np.fft.rfftfreq(240)[None] / 1.2
    k = np.hypot(ky, kx)
    weights = dose_weights(8, k.ravel(), voltage_kv=300, dose_per_frame=1.5).reshape(8, *k.shape)
    spectrum = (np.fft.rfft2(frames) * weights).sum(axis=0) / np.sqrt((weights**2).mean(axis=0))
    expected = np.fft.irfft2(spectrum, s=(192, 240))
    assert np.abs(sums.weighted - expected).max() < 0.01 * expected.std()
    assert sums.weighted.mean() == pytest.approx(frames.sum(axis=0).mean(), rel=1e-4)


def test_without_a_dose_there_is_no_weighted_sum_and_half_sums_can_be_left_out():
    sums = correct(poisson(3), dose_per_frame=None, half_sums=False)
    assert sums.weighted is None
    assert sums.even is None
    assert sums.odd is None


def test_gain_is_applied_and_defects_are_replaced_by_counts_from_near():
    frames = poisson(6)
    frames[:, 50, 60] = 255
    frames[:, :, 100] = 0
    gain = np.full(SHAPE, 2.0, np.float32)
    gain[20:25, 30:33] = 0
    defects = np.zeros(SHAPE, np.bool_)
    defects[50, 60] = True
    defects[:, 100] = True
    total = correct(frames, gain=gain, defects=defects, weighted=False).unweighted
    for place in (np.s_[50, 60], np.s_[20:25, 30:33], np.s_[:, 100]):
        assert total[place].min() > 8
        assert total[place].max() < 50
    assert 0.8 < total[:, 100].std() / total[:, 110].std() < 1.2  # as noisy as its neighbours


@pytest.mark.parametrize("dtype", ["uint16", "int16", ">i2", "float32", "float16"])
def test_the_number_format_of_the_frames_does_not_matter(dtype):
    frames = poisson(3)
    field = MotionField(np.array([[0.3, 1.2], [0, 0], [-0.6, 0.4]]), np.zeros((2, 3, 2, 2), np.float32), *SHAPE)
    expected = correct(frames, field).unweighted
    np.testing.assert_allclose(correct(frames.astype(dtype), field).unweighted, expected, atol=1e-3)


def test_two_threads_give_the_same_sums_as_one():
    frames = poisson(4)
    field = MotionField(np.linspace(-3, 3, 8).reshape(4, 2), np.zeros((2, 4, 2, 2), np.float32), *SHAPE)
    one, two = correct(frames, field), correct(frames, field, threads=2)
    np.testing.assert_allclose(one.weighted, two.weighted, atol=1e-3)


def test_values_that_are_not_finite_do_not_spread():
    frames = poisson(4).astype(np.float32)
    frames[1, 30:34, 40] = np.nan
    frames[2, 5, 5] = np.inf
    assert np.isfinite(correct(frames).weighted).all()


def test_what_does_not_fit_together_is_refused_with_both_sizes():
    frames = poisson(3)
    with pytest.raises(BadInput, match=r"gain is 10 × 20 .* 260 × 200"):
        correct(frames, gain=np.ones((20, 10), np.float32))
    with pytest.raises(BadInput, match="defect map"):
        correct(frames, defects=np.ones((20, 10), np.bool_))
    with pytest.raises(BadInput, match="4 frames"):
        correct(frames, still(4))
    with pytest.raises(BadInput, match="frames × rows × columns"):
        estimate_motion(frames[0], gain=None, defects=None, pixel_size_angstrom=1.0)
    with pytest.raises(BadInput, match="complex64"):
        estimate_motion(frames.astype(np.complex64), gain=None, defects=None, pixel_size_angstrom=1.0)


def cropped(picture, factor):
    """The low frequencies of a picture as a picture with larger pixels, in sums over what they cover."""
    rows, columns = picture.shape[0] // factor, picture.shape[1] // factor
    spectrum = np.fft.fft2(picture)
    kept = np.concatenate([spectrum[: rows // 2], spectrum[-(rows // 2) :]])
    return np.fft.irfft2(kept[:, : columns // 2 + 1], s=(rows, columns))


@pytest.mark.parametrize("factor", [2, 4])
def test_a_cropped_sum_is_the_fourier_crop_of_the_whole_sum(factor):
    shape = (200, 240)  # needs no padding: both sides are products of small primes
    frames = poisson(7, shape)
    shifts = np.random.default_rng(5).uniform(-4, 4, (7, 2))
    field = MotionField(shifts, np.zeros((2, 7, 2, 2), np.float32), *shape)
    whole, small = correct(frames, field), correct(frames, field, bin_factor=factor)
    for one, other in zip((whole.unweighted, whole.weighted, whole.even, whole.odd), _pictures(small), strict=True):
        assert other.shape == (shape[0] // factor, shape[1] // factor) and other.dtype == np.float32
        np.testing.assert_allclose(other, cropped(one, factor), atol=2e-3 * one.std() * factor)
    np.testing.assert_allclose(small.unweighted.mean(), frames.sum() / small.unweighted.size, rtol=0.02)


def _pictures(sums):
    return sums.unweighted, sums.weighted, sums.even, sums.odd


def test_a_crop_of_odd_sides_stands_where_the_whole_picture_stands():
    shape = (203, 261)
    frames = np.stack([waves(shape, limit=0.1)] * 2).astype(np.float32)
    small = correct(frames, still(2, shape), bin_factor=2, weighted=False)
    assert small.unweighted.shape == (101, 130)
    inner = np.s_[8:-8, 8:-8]
    np.testing.assert_allclose(small.unweighted[inner], (8 * frames[0, :202:2, :260:2])[inner], atol=0.1)
