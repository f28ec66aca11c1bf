"""Pictures show what the arrays hold: right way up, stretched between percentiles, and never fail on odd arrays."""

import io
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from passerelle.imaging.field import MotionField
from passerelle.processing.pictures import as_jpeg, as_png, drift_plot, local_tracks, low_pass, shrink, to_grey


def test_row_0_is_the_bottom_of_the_picture():
    grey = np.zeros((4, 3), np.uint8)
    grey[0] = 255
    shown = np.asarray(Image.open(io.BytesIO(as_png(grey))))
    assert shown[-1].tolist() == [255, 255, 255]
    assert shown[:-1].max() == 0


@pytest.mark.parametrize(("shape", "expected"), [((3710, 3838), (495, 512)), ((512, 100), (512, 100)), ((1000, 30), (512, 15))])
def test_the_longest_side_is_as_asked_and_the_mean_stays(shape, expected):
    image = np.random.default_rng(1).normal(5, 1, shape).astype(np.float32)
    small = shrink(image, 512)
    assert small.shape == expected
    assert float(small.mean()) == pytest.approx(5, abs=0.05)


def test_a_few_extreme_pixels_do_not_darken_the_rest():
    image = np.random.default_rng(2).normal(0, 1, (200, 200)).astype(np.float32)
    image[0, :5] = 1e6
    grey = to_grey(image)
    assert 100 < np.median(grey) < 155


@pytest.mark.parametrize("image", [np.zeros((8, 8)), np.full((8, 8), np.nan), np.full((1, 1), 7.0)])
def test_a_flat_or_empty_image_is_mid_grey(image):
    assert np.all(to_grey(image.astype(np.float32)) == 128)


def test_a_jpeg_can_be_read_back():
    grey = to_grey(np.outer(np.arange(64), np.ones(48)).astype(np.float32))
    assert Image.open(io.BytesIO(as_jpeg(grey))).size == (48, 64)


def test_the_drift_plot_is_well_formed_and_holds_a_track_for_the_whole_and_25_places():
    field = MotionField(np.cumsum(np.ones((6, 2)), axis=0), np.ones((2, 6, 3, 3), np.float32), 100, 120)
    root = ET.fromstring(drift_plot(field, 0.85))
    paths = [element for element in root.iter() if element.tag.endswith("path")]
    assert len(paths) == 26


def test_a_specimen_that_stands_still_has_a_drift_plot_too():
    field = MotionField(np.zeros((1, 2)), np.zeros((2, 1, 2, 2), np.float32), 10, 10)
    assert "nan" not in drift_plot(field, 1.0)


def test_local_tracks_are_what_is_left_beside_the_drift():
    local = np.zeros((2, 3, 2, 2), np.float32)
    local[0, :, 1, :] = np.array([1, 0, -1])[:, None]
    field = MotionField(np.full((3, 2), 7.0), local, 101, 101)
    tracks = local_tracks(field, np.array([[0.0, 50.0], [100.0, 50.0]]))
    assert tracks.shape == (2, 3, 2)
    assert tracks[0] == pytest.approx(0)
    assert tracks[1, :, 0] == pytest.approx([1, 0, -1])


def test_the_low_pass_takes_noise_and_leaves_what_is_large():
    rng = np.random.default_rng(3)
    large = np.kron(rng.normal(0, 1, (8, 8)), np.ones((32, 32))).astype(np.float32)
    noise = rng.normal(0, 1, large.shape).astype(np.float32)
    assert low_pass(noise, 12).std() < 0.25
    assert np.corrcoef(low_pass(large, 12).ravel(), large.ravel())[0, 1] > 0.97
    assert low_pass(noise, 0) is noise
