"""Motion in numbers that people judge by."""

import numpy as np
import pytest

from passerelle.imaging import MotionField, summarise_motion


def field(track, local=None):
    track = np.asarray(track, np.float64)
    return MotionField(track, np.zeros((2, len(track), 2, 2), np.float32) if local is None else local, 100, 100)


def test_steps_before_and_after_four_electrons_are_early_and_late_motion():
    track = np.cumsum([[0, 0], [3, 4], [3, 4], [0, 1], [0, 1], [0, 1]], axis=0)
    summary = summarise_motion(field(track), pixel_size_angstrom=2.0, dose_per_frame=2.0)
    # frames at 1, 3, 5 … e/Å²: the first step and half of the second lie before 4
    assert summary.total_angstrom == pytest.approx(26)
    assert summary.early_angstrom == pytest.approx(15)
    assert summary.late_angstrom == pytest.approx(11)
    assert summary.largest_step_angstrom == pytest.approx(10)


def test_a_movie_of_one_frame_does_not_move():
    summary = summarise_motion(field([[0, 0]]), pixel_size_angstrom=1.0, dose_per_frame=None)
    assert (summary.total_angstrom, summary.early_angstrom, summary.local_rms_px) == (0, 0, 0)


def test_dose_before_the_first_frame_leaves_less_early_motion():
    track = np.cumsum(np.ones((10, 2)), axis=0)
    early = [
        summarise_motion(field(track), pixel_size_angstrom=1, dose_per_frame=1.0, pre_exposure=p).early_angstrom
        for p in (0, 2, 9)
    ]
    assert early[0] > early[1] > early[2] == 0
