"""The motion field between its control points."""

import numpy as np
import pytest

from passerelle.imaging.field import MotionField


def test_between_control_points_the_displacement_is_bilinear_and_at_the_edges_exact():
    local = np.zeros((2, 1, 2, 3), np.float32)
    local[0, 0] = [[0, 1, 2], [10, 11, 12]]
    field = MotionField(global_px=np.array([[5.0, -1.0]]), local_px=local, height=101, width=201)
    dy, dx = field.at(0, np.array([0.0, 100.0, 50.0]), np.array([0.0, 200.0, 50.0]))
    assert dy == pytest.approx([5.0, 17.0, 10.5])
    assert dx == pytest.approx([-1.0, -1.0, -1.0])


def test_a_single_control_point_moves_everything_alike():
    field = MotionField(global_px=np.zeros((2, 2)), local_px=np.full((2, 2, 1, 1), 3, np.float32), height=8, width=8)
    dy, dx = field.at(1, np.arange(8.0)[:, None], np.arange(8.0)[None, :])
    assert dy.shape == dx.shape == (8, 8)
    assert np.all(dy == 3)
