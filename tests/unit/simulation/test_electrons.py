"""The electrons of a micrograph, dealt to frames: none is lost that should not be, none moved where it should not go."""

from __future__ import annotations

import numpy as np
import pytest

from passerelle.core.errors import BadInput
from passerelle.imaging.field import MotionField
from passerelle.simulation import deal, deal_events, draw_electrons, random_field, still_field
from passerelle.simulation.electrons import EFFICIENCY_ONE


def _electrons(height: int = 96, width: int = 120, mean: float = 12.0) -> np.ndarray:
    return np.random.default_rng(3).poisson(mean, (height, width)).astype(np.uint16)


def _uniform_shift(frames: int, dy: float, dx: float, height: int, width: int) -> MotionField:
    return MotionField(np.tile([dy, dx], (frames, 1)).astype(float), np.zeros((2, frames, 2, 2), np.float32), height, width)


def test_frames_of_a_still_specimen_sum_to_it_exactly():
    electrons = _electrons()
    frames = deal(electrons, still_field(7, *electrons.shape), seed=1)
    assert frames.shape == (7, 96, 120)
    assert frames.dtype == np.uint8
    np.testing.assert_array_equal(frames.sum(axis=0), electrons)


def test_the_same_seed_gives_the_same_frames_and_another_seed_does_not():
    electrons = _electrons()
    field = random_field(5, *electrons.shape, global_px=6, local_px=1, seed=2)
    first, again, other = (deal(electrons, field, seed=seed) for seed in (4, 4, 5))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_electrons_that_stay_on_the_detector_are_conserved_under_motion():
    electrons = np.zeros((128, 128), np.uint16)
    electrons[40:88, 40:88] = _electrons(48, 48)
    field = random_field(8, 128, 128, global_px=20, local_px=3, seed=5)
    frames = deal(electrons, field, seed=1)
    assert frames.sum(dtype=np.int64) == electrons.sum(dtype=np.int64)


def test_a_shift_by_whole_pixels_moves_the_picture_as_the_convention_says():
    electrons = _electrons()
    frames = deal(electrons, _uniform_shift(3, 5, -4, *electrons.shape), seed=1, surround=False)
    moved = np.zeros_like(electrons)
    moved[5:, :-4] = electrons[:-5, 4:]  # frame(y + dy, x + dx) = micrograph(y, x)
    np.testing.assert_array_equal(frames.sum(axis=0), moved)


def test_the_specimen_goes_on_beyond_the_border():
    electrons = np.full((64, 64), 10, np.uint16)
    frames = deal(electrons, _uniform_shift(4, 6, 0, 64, 64), seed=1)
    assert (frames.sum(axis=0)[:6] > 0).all()
    frames = deal(electrons, _uniform_shift(4, 6, 0, 64, 64), seed=1, surround=False)
    assert (frames.sum(axis=0)[:6] == 0).all()


def test_every_frame_gets_its_share_and_frames_of_a_poisson_number_are_independent():
    electrons = draw_electrons(np.full((256, 256), 8.0, np.float32), seed=1)
    frames = deal(electrons, still_field(4, 256, 256), seed=2).astype(float)
    means = frames.mean(axis=(1, 2))
    assert means == pytest.approx([2.0] * 4, abs=0.03)
    assert frames.var(axis=(1, 2)) == pytest.approx([2.0] * 4, abs=0.05)
    assert abs(np.corrcoef(frames[0].ravel(), frames[1].ravel())[0, 1]) < 0.015


def test_local_motion_is_that_of_the_field():
    field = random_field(6, 200, 160, global_px=10, local_px=4, seed=8)
    dots = np.zeros((200, 160), np.uint16)
    places = [(30, 30), (30, 120), (100, 80), (170, 30), (160, 130)]
    for y, x in places:
        dots[y, x] = 6000
    frames = deal(dots, field, seed=1, dtype=np.uint16)
    for t in range(6):
        for y, x in places:
            dy, dx = (float(d) for d in field.at(t, y, x))
            cy, cx = round(y + dy), round(x + dx)
            window = frames[t, cy - 2 : cy + 3, cx - 2 : cx + 3].astype(float)
            assert window.sum() > 800
            at_y = cy + (window.sum(axis=1) * np.arange(-2, 3)).sum() / window.sum()
            at_x = cx + (window.sum(axis=0) * np.arange(-2, 3)).sum() / window.sum()
            assert (at_y - y, at_x - x) == pytest.approx((dy, dx), abs=0.06)


def test_steps_within_a_frame_blur_it_along_the_motion():
    dots = np.zeros((64, 64), np.uint16)
    dots[32, 32] = 4000
    path = np.array([[0.0, 0.0], [0.0, 4.0], [0.0, 8.0], [0.0, 12.0]])
    field = MotionField(path, np.zeros((2, 4, 2, 2), np.float32), 64, 64)
    frames = deal(dots, field, seed=1, steps_per_frame=4, dtype=np.uint16)
    assert frames.shape[0] == 1
    assert [int(frames[0, 32, 32 + dx]) for dx in (0, 4, 8, 12)] == pytest.approx([1000] * 4, rel=0.15)


def test_a_pixel_of_half_the_response_counts_half_of_the_electrons():
    electrons = np.full((64, 64), 40, np.uint16)
    efficiency = np.full((64, 64), EFFICIENCY_ONE, np.uint16)
    efficiency[:, :32] = EFFICIENCY_ONE // 2
    efficiency[:, 48:] = EFFICIENCY_ONE + EFFICIENCY_ONE // 4
    efficiency[:8] = 0
    total = deal(electrons, still_field(5, 64, 64), seed=1, efficiency=efficiency).sum(axis=0)
    assert (total[:8] == 0).all()
    assert (total[8:, 32:48] == 40).all()
    assert total[8:, :32].mean() == pytest.approx(20, rel=0.02)
    assert total[8:, 48:].mean() == pytest.approx(50, rel=0.02)


def test_counts_saturate_and_never_wrap():
    electrons = np.full((32, 32), 60000, np.uint16)
    frames = deal(electrons, still_field(2, 32, 32), seed=1)
    assert (frames == 255).all()
    frames = deal(electrons, still_field(2, 32, 32), seed=1, ceiling=15)
    assert (frames == 15).all()


def test_events_are_the_electrons_that_frames_would_show():
    electrons = _electrons()
    field = random_field(5, *electrons.shape, global_px=6, local_px=1, seed=2)
    frames = deal(electrons, field, seed=9)
    events = deal_events(electrons, field, seed=9)
    assert events.frames == 5
    for t in range(5):
        y, x = np.floor(events.places(t)).astype(int).T
        picture = np.zeros(electrons.shape, int)
        np.add.at(picture, (y, x), 1)
        np.testing.assert_array_equal(picture, frames[t])
    quarters = events.quarters[:, 0] % 4
    assert np.bincount(quarters, minlength=4) / quarters.size == pytest.approx([0.25] * 4, abs=0.02)


def test_a_motion_of_another_size_is_refused():
    with pytest.raises(BadInput, match="96 × 120"):
        deal(_electrons(), still_field(3, 10, 10), seed=1)
    with pytest.raises(BadInput, match="whole frames"):
        deal(_electrons(), still_field(3, 96, 120), seed=1, steps_per_frame=2)
