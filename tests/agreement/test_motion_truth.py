"""Motion and correction against known truth: a phantom that drifts and bends, fresh shot noise in every frame, and a gain.

The phantom is drawn on pixels of half the size and moved by cubic splines: its displacement is exact to a hundredth of a pixel.
"""

from functools import lru_cache

import numpy as np
import pytest
from scipy.ndimage import map_coordinates, spline_filter

from passerelle.imaging import MotionField, MotionOptions, correct_movie, estimate_motion
from passerelle.imaging.fourier_ring import fourier_ring_correlation

SHAPE, FRAMES, PIXEL, MARGIN = (1024, 960), 24, 1.06, 40


def phantom(seed=0):
    rng = np.random.default_rng(seed)
    shape = tuple(2 * (n + 2 * MARGIN) for n in SHAPE)
    spectrum = np.fft.rfft2(rng.normal(size=shape))
    s2 = (np.fft.fftfreq(shape[0])[:, None] ** 2 + np.fft.rfftfreq(shape[1])[None] ** 2) / (PIXEL / 2) ** 2
    spectrum *= np.exp(-30 * s2) * (1 + 4 * np.exp(-900 * s2)) * (s2 < (0.5 / PIXEL) ** 2)
    spectrum[0, 0] = 0
    picture = np.fft.irfft2(spectrum, s=shape)
    return 1 + 0.06 * picture / picture.std()


def true_field(seed=0, length=25.0, local=3.0):
    rng = np.random.default_rng(seed)
    t = np.linspace(0, 1, FRAMES)
    track = (1 - np.exp(-4 * t))[:, None] * length * np.array([[0.7, 0.7]]) + np.cumsum(rng.normal(0, 0.2, (FRAMES, 2)), axis=0)
    y, x = np.meshgrid(np.linspace(-1, 1, 21), np.linspace(-1, 1, 21), indexing="ij")
    shapes = np.stack([y, x, x * y, y**2 - x**2, np.sin(2 * y) * np.cos(2 * x)])
    bend = np.stack([np.tensordot(rng.normal(size=5), shapes, 1) for _ in range(2)])
    grid = (1 - np.exp(-3 * t))[None, :, None, None] * bend[:, None]
    grid -= grid.mean(axis=(2, 3), keepdims=True)
    grid -= grid[:, FRAMES // 2 : FRAMES // 2 + 1]
    grid *= local / np.hypot(*grid).max()
    return MotionField(track - track[FRAMES // 2], grid.astype(np.float32), *SHAPE)


@lru_cache(maxsize=1)
def simulated(dose=2.0):
    rng = np.random.default_rng(1)
    picture = phantom()
    coefficients = spline_filter(picture, order=3, mode="grid-wrap")
    field = true_field()
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)
    sensitivity = np.clip(rng.normal(1, 0.03, SHAPE) + rng.normal(0, 0.01, (1, SHAPE[1])), 0.6, 1.4)
    hot = rng.random(SHAPE) < 2e-4
    frames = np.empty((FRAMES, *SHAPE), np.uint8)
    for t in range(FRAMES):
        dy, dx = field.at(t, y, x)
        dy, dx = field.at(t, y - dy, x - dx)  # the field is defined at the specimen's place, not at the frame's
        places = [2 * (y - dy + MARGIN), 2 * (x - dx + MARGIN)]
        seen = map_coordinates(coefficients, places, order=3, mode="grid-wrap", prefilter=False)
        frames[t] = rng.poisson(np.maximum(seen, 0) * dose * sensitivity + 8 * hot)
    clean = picture[2 * MARGIN : 2 * (MARGIN + SHAPE[0]) : 2, 2 * MARGIN : 2 * (MARGIN + SHAPE[1]) : 2]
    return frames, field, (1 / sensitivity).astype(np.float32), clean.astype(np.float32)


@lru_cache(maxsize=1)
def found():
    frames, _, gain, _ = simulated()
    return estimate_motion(frames, gain=gain, defects=None, pixel_size_angstrom=PIXEL, options=MotionOptions(patches=(5, 5)))


def errors():
    """Error of the motion at the patch centres, each place's mean left free: (global, local) RMS over frames, pixels."""
    _, truth, _, _ = simulated()
    centres = found().patch_centres_px
    difference = np.array(
        [
            np.subtract(found().field.at(t, centres[:, 0], centres[:, 1]), truth.at(t, centres[:, 0], centres[:, 1])).T
            for t in range(FRAMES)
        ]
    )
    difference -= difference.mean(axis=0)
    whole = difference.mean(axis=1)
    return np.sqrt((whole**2).sum(-1).mean()), np.sqrt(((difference - whole[:, None]) ** 2).sum(-1).mean())


def corrected(field):
    frames, _, gain, _ = simulated()
    return correct_movie(
        frames, gain=gain, defects=found().hot_pixels, field=field, pixel_size_angstrom=PIXEL, dose_per_frame=2.0, half_sums=False
    )


def test_global_drift_is_recovered_within_a_tenth_of_a_pixel():
    assert errors()[0] < 0.1


def test_local_motion_is_recovered_within_three_tenths_of_a_pixel_and_far_better_than_by_none():
    _, truth, _, _ = simulated()
    centres = found().patch_centres_px
    moved = np.array([truth.at(t, centres[:, 0], centres[:, 1]) for t in range(FRAMES)]) - truth.global_px[:, :, None]
    assert errors()[1] < 0.3
    assert errors()[1] < 0.4 * np.sqrt((moved**2).sum(axis=1).mean())


@pytest.mark.parametrize("kind", ["unweighted", "weighted"])
def test_the_corrected_sum_keeps_97_percent_of_what_the_true_motion_gives_in_every_band(kind):
    _, truth, _, clean = simulated()
    ours = fourier_ring_correlation(getattr(corrected(found().field), kind), clean, rings=12)[1]
    best = fourier_ring_correlation(getattr(corrected(truth), kind), clean, rings=12)[1]
    told = best > 0.1  # beyond, noise alone moves the ratio by more
    assert told.sum() >= 6
    assert (ours[told] >= 0.97 * best[told]).all()


def test_without_correction_the_detail_is_lost():
    _, truth, _, clean = simulated()
    still = MotionField(np.zeros((FRAMES, 2)), np.zeros((2, FRAMES, 2, 2), np.float32), *SHAPE)
    lost = fourier_ring_correlation(corrected(still).unweighted, clean, rings=12)[1]
    best = fourier_ring_correlation(corrected(truth).unweighted, clean, rings=12)[1]
    assert (lost[4:7] < 0.25 * best[4:7]).all()
