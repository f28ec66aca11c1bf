"""Drift is found in few electrons, and nothing in the camera or in the file leads it astray."""

import numpy as np
import pytest

from passerelle.imaging import MotionOptions, correct_movie, estimate_motion

PIXEL = 1.1
SHAPE = (512, 480)


def specimen_spectrum(shape, seed=0, contrast=0.08):
    """Half transform of a picture with mean 1: noise with a falling spectrum, periodic, so that it can be displaced exactly."""
    rng = np.random.default_rng(seed)
    spectrum = np.fft.rfft2(rng.normal(size=shape))
    s2 = (np.fft.fftfreq(shape[0])[:, None] ** 2 + np.fft.rfftfreq(shape[1])[None] ** 2) / PIXEL**2
    spectrum *= np.exp(-30 * s2) * (1 + 4 * np.exp(-900 * s2))
    spectrum[0, 0] = 0
    spectrum *= contrast / np.fft.irfft2(spectrum, s=shape).std()
    spectrum[0, 0] = shape[0] * shape[1]
    return spectrum


def movie(track, dose=2.0, shape=SHAPE, seed=0, sensitivity=None, dtype=np.uint8):
    rng = np.random.default_rng(seed + 1)
    spectrum = specimen_spectrum(shape, seed)
    ky, kx = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None]
    frames = []
    for dy, dx in track:
        picture = np.fft.irfft2(spectrum * np.exp(-2j * np.pi * (ky * dy + kx * dx)), s=shape)
        frames.append(rng.poisson(np.maximum(picture, 0) * dose * (1 if sensitivity is None else sensitivity)))
    return np.array(frames, dtype)


def drift(frames, length, seed=0):
    rng = np.random.default_rng(seed)
    t = np.linspace(0, 1, frames)[:, None]
    track = (1 - np.exp(-4 * t)) * length * np.array([[0.8, -0.6]]) + np.cumsum(rng.normal(0, 0.15, (frames, 2)), axis=0)
    return track - track[frames // 2]


def estimate(frames, **kwargs):
    options = MotionOptions(patches=kwargs.pop("patches", (1, 1)), max_drift_px=kwargs.pop("max_drift_px", 60.0))
    arguments = {"gain": None, "defects": None, "pixel_size_angstrom": PIXEL, "options": options} | kwargs
    return estimate_motion(frames, **arguments)


def error(found, track):
    difference = found.field.global_px - track
    difference = difference - difference.mean(axis=0)
    return float(np.sqrt((difference**2).sum(axis=1).mean()))


@pytest.mark.parametrize("length", [0.0, 3.0, 30.0])
def test_drift_is_found_to_a_small_part_of_a_pixel(length):
    track = drift(20, length)
    found = estimate(movie(track))
    assert error(found, track) < 0.15
    assert (found.field.global_px[10] == 0).all()
    assert not found.frame_rejected.any()


def test_drift_beyond_the_search_window_is_followed_step_by_step():
    track = drift(20, 90.0)
    assert error(estimate(movie(track), max_drift_px=40.0), track) < 0.2


@pytest.mark.parametrize("length", [0.6, 12.0])
def test_a_gain_that_was_not_applied_does_not_hold_the_drift_at_zero(length):
    rng = np.random.default_rng(3)
    pattern = rng.normal(1, 0.12, SHAPE) + rng.normal(0, 0.05, (1, SHAPE[1])) + rng.normal(0, 0.05, (SHAPE[0], 1))
    track = drift(20, length)
    found = estimate(movie(track, sensitivity=np.clip(pattern, 0.4, 1.6)))
    assert found.pattern_strength > 0.01
    assert error(found, track) < 0.25


def test_hot_pixels_do_not_hold_the_drift_at_zero_and_are_reported():
    track = drift(20, 5.0)
    frames = movie(track)
    rng = np.random.default_rng(5)
    hot = rng.random(SHAPE) < 1e-3
    frames[:, hot] = 60
    found = estimate(frames)
    assert error(found, track) < 0.15
    assert (found.hot_pixels & hot).sum() > 0.98 * hot.sum()


def test_movies_of_one_two_and_three_frames():
    for count in (1, 2, 3):
        track = drift(count, 6.0)
        found = estimate(movie(track, dose=8.0), patches=(5, 5))
        assert found.field.frames == count
        assert error(found, track) < 0.3
        assert np.abs(found.field.local_px).max() < 0.5


def test_blank_and_broken_frames_take_the_place_between_their_neighbours():
    track = drift(20, 10.0)
    frames = movie(track, dtype=np.float32)
    frames[6] = 0
    frames[12] = np.nan
    frames[15, 100:103, 50] = np.nan
    found = estimate(frames)
    assert list(np.flatnonzero(found.blank)) == [6, 12]
    assert error(found, track) < 0.3
    sums = correct_movie(
        frames,
        gain=None,
        defects=found.hot_pixels,
        field=found.field,
        pixel_size_angstrom=PIXEL,
        dose_per_frame=2.0,
        blank=found.blank,
    )
    assert sums.unweighted.mean() == pytest.approx(18 * 2.0, rel=0.01)


@pytest.mark.parametrize(
    "frames",
    [
        np.random.default_rng(0).poisson(1.0, (20, 300, 300)).astype(np.uint8),
        np.zeros((5, 256, 256), np.uint8),
        np.full((5, 256, 256), 7, np.uint16),
        np.full((4, 256, 256), np.nan, np.float32),
        np.ones((3, 1, 1), np.int16),
        np.random.default_rng(0).poisson(1.0, (6, 9, 700)).astype(np.uint8),
    ],
    ids=["noise", "zeros", "constant", "nan", "one pixel", "a strip"],
)
def test_where_there_is_nothing_to_follow_no_motion_is_made_up(frames):
    found = estimate(frames, patches=(5, 5))
    assert (found.field.global_px == 0).all()
    assert (found.field.local_px == 0).all()


def test_frames_that_are_not_square_and_defects_are_taken_into_account():
    shape = (300, 700)
    track = drift(20, 8.0)
    frames = movie(track, shape=shape)
    defects = np.zeros(shape, np.bool_)
    defects[:, 200:206] = True
    frames[:, defects] = 200
    assert error(estimate(frames, defects=defects), track) < 0.25


def test_scaled_and_signed_counts_give_the_same_motion():
    frames = movie(drift(10, 5.0))
    expected = estimate(frames).field.global_px
    for other in (frames.astype(np.int16), frames.astype(np.uint16) * 300, frames.astype(np.float32) * 0.01):
        np.testing.assert_allclose(estimate(other).field.global_px, expected, atol=0.02)
