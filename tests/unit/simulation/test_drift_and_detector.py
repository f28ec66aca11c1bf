"""Random motions and cameras keep what they promise."""

from __future__ import annotations

import numpy as np
import pytest

from passerelle.imaging.gain import ORIENTATIONS, orient, rank_orientations
from passerelle.simulation import deal, random_field, still_field
from passerelle.simulation.detector import make_detector, perfect_detector, unturn
from passerelle.simulation.drift import largest_shift_px, per_frame


@pytest.mark.parametrize("seed", range(5))
def test_a_random_motion_has_the_extent_asked_for_and_stands_still_at_the_middle_frame(seed: int):
    field = random_field(40, 512, 400, global_px=30, local_px=4, seed=seed)
    path = field.global_px
    distances = np.hypot(*(path[:, None] - path[None]).transpose(2, 0, 1))
    assert distances.max() == pytest.approx(30)
    assert path[20] == pytest.approx([0, 0], abs=1e-9)
    assert np.hypot(*field.local_px).max() == pytest.approx(4, rel=1e-5)
    assert abs(field.local_px[:, 20]).max() < 1e-6
    assert abs(field.local_px.mean(axis=(2, 3))).max() < 1e-5
    steps = np.hypot(*np.diff(path, axis=0).T)
    assert steps[:4].mean() > 3 * steps[-10:].mean()  # fast at first


def test_a_random_motion_is_smooth_from_frame_to_frame_and_from_place_to_place():
    field = random_field(40, 2048, 2048, global_px=30, local_px=4, seed=1)
    assert np.hypot(*np.diff(field.global_px, n=2, axis=0).T).max() < 3
    assert abs(np.diff(field.local_px, axis=2)).max() < 1.5  # over 128 px


def test_the_bound_of_a_motion_holds_everywhere():
    field = random_field(12, 64, 48, global_px=9, local_px=3, seed=4)
    bound = largest_shift_px(field)
    y, x = np.mgrid[:64, :48]
    worst = max(max(abs(np.asarray(d)).max() for d in field.at(t, y, x)) for t in range(12))
    assert worst <= bound + 1e-6
    assert bound < 15


def test_the_motion_of_a_frame_is_the_mean_of_its_steps():
    fine = random_field(10, 64, 64, global_px=20, local_px=2, seed=3, steps_per_frame=4)
    coarse = per_frame(fine, 4)
    assert coarse.frames == 10
    assert coarse.global_px[0] == pytest.approx(fine.global_px[:4].mean(axis=0))
    assert coarse.global_px[5] == pytest.approx([0, 0], abs=0.05)


def test_a_single_frame_has_no_motion():
    field = random_field(1, 64, 64, global_px=20, local_px=2, seed=3)
    assert abs(field.global_px).max() == 0
    assert abs(field.local_px).max() == 0


def test_gain_undoes_the_camera_and_dead_and_hot_pixels_are_known():
    detector = make_detector(128, 160, seed=2)
    flat = np.full((128, 160), 200, np.uint16)
    frames = deal(flat, still_field(6, 128, 160), seed=1, efficiency=detector.efficiency())
    detector.add_hot_pixels(frames, 1, 255)
    corrected = frames.sum(axis=0) * detector.gain
    good = ~detector.defects
    assert corrected[good].mean() == pytest.approx(200, rel=2e-3)
    assert corrected[good].std() < 12  # the gain alone gives 8 to 15 %, or 20
    assert (frames.sum(axis=0)[:, detector.dead_columns[0]][good[:, 0]] == 0).all()
    hot = frames[:, detector.hot_rows, detector.hot_columns]
    assert hot.mean() > 12 * 0.8
    assert (detector.listed & ~detector.defects).sum() == 0
    assert 0 < (detector.defects & ~detector.listed).sum() < 15


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_a_gain_written_in_an_orientation_is_found_in_it(name: str):
    detector = make_detector(256, 256, seed=6, hot_pixels=0)
    flat = np.full((256, 256), 60, np.uint16)
    mean = deal(flat, still_field(10, 256, 256), seed=1, efficiency=detector.efficiency()).mean(axis=0)
    file = unturn(detector.gain, name)
    np.testing.assert_array_equal(orient(file, name), detector.gain)
    assert rank_orientations(mean, file)[0].name == name


def test_a_perfect_camera_has_no_faults():
    detector = perfect_detector(32, 32)
    assert (detector.gain == 1).all()
    assert not detector.defects.any()
    frames = np.ones((2, 32, 32), np.uint8)
    detector.add_hot_pixels(frames, 1, 255)
    assert (frames == 1).all()
