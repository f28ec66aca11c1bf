"""Fourier ring correlation."""

from __future__ import annotations

import numpy as np
import pytest

from passerelle.core.errors import BadInput
from passerelle.imaging.fourier_ring import fourier_ring_correlation

RANDOM = np.random.default_rng(2)
PICTURE = RANDOM.standard_normal((200, 160))
OTHER = RANDOM.standard_normal((200, 160))


def test_a_picture_agrees_with_itself_in_every_ring():
    spacing, correlation = fourier_ring_correlation(PICTURE, PICTURE, rings=20)
    assert correlation == pytest.approx(np.ones(20), abs=1e-6)
    assert spacing == pytest.approx((np.arange(20) + 0.5) / 40)


def test_a_negative_disagrees_in_every_ring():
    assert fourier_ring_correlation(PICTURE, -PICTURE, rings=10)[1] == pytest.approx(-np.ones(10), abs=1e-6)


def test_two_noises_have_nothing_in_common():
    assert np.abs(fourier_ring_correlation(PICTURE, OTHER, rings=10)[1]).max() < 0.25


def test_a_shared_signal_under_equal_noise_gives_one_half():
    _, correlation = fourier_ring_correlation(PICTURE + OTHER, PICTURE + RANDOM.standard_normal(PICTURE.shape), rings=4)
    assert correlation == pytest.approx(np.full(4, 0.5), abs=0.12)


@pytest.mark.parametrize("shape", [(64, 64), (63, 65), (40, 90)])
def test_the_half_transform_gives_what_the_whole_transform_does(shape: tuple[int, int]):
    a, b = RANDOM.standard_normal(shape), RANDOM.standard_normal(shape)
    b += a
    rings = 8
    _, ours = fourier_ring_correlation(a, b, rings=rings, soft_edge=False)
    fa, fb = np.fft.fft2(a - a.mean()), np.fft.fft2(b - b.mean())
    radius = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.fftfreq(shape[1])[None, :])
    ring = (radius * 2 * rings).astype(int)
    for k in range(rings):
        at = ring == k
        expected = (fa[at] * fb[at].conj()).sum().real / np.sqrt((np.abs(fa[at]) ** 2).sum() * (np.abs(fb[at]) ** 2).sum())
        assert ours[k] == pytest.approx(expected, abs=1e-4)


def test_a_shared_edge_is_not_taken_for_likeness():
    step = np.zeros((200, 160))
    step[:, 80:] = 0.0
    step += np.linspace(0, 20, 160)[None, :]
    hard = fourier_ring_correlation(PICTURE + step, OTHER + step, soft_edge=False, rings=20)[1]
    soft = fourier_ring_correlation(PICTURE + step, OTHER + step, soft_edge=True, rings=20)[1]
    assert abs(soft[5:]).mean() < abs(hard[5:]).mean()


def test_a_constant_picture_correlates_with_nothing():
    assert (fourier_ring_correlation(np.ones((50, 50)), PICTURE[:50, :50], rings=5)[1] == 0).all()


@pytest.mark.parametrize(("a", "b"), [((10, 10), (10, 11)), ((10,), (10,)), ((2, 2), (2, 2))])
def test_pictures_that_cannot_be_compared_are_refused(a: tuple[int, ...], b: tuple[int, ...]):
    with pytest.raises(BadInput, match="compared"):
        fourier_ring_correlation(np.zeros(a), np.zeros(b))


@pytest.mark.parametrize("rings", [0, -3, 10_000])
def test_a_number_of_rings_that_makes_no_sense_is_refused(rings: int):
    with pytest.raises(BadInput, match="rings"):
        fourier_ring_correlation(PICTURE, OTHER, rings=rings)
