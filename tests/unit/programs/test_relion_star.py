"""RELION's command line and its STAR file, as version 3.1.3 wrote it; a damaged one is refused in words."""

from __future__ import annotations

import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from passerelle.core.errors import ProgramFailed
from passerelle.formats import read_star
from passerelle.programs import relion
from passerelle.programs.motion import MotionRequest

RECORDED = Path(__file__).parent / "recorded"
REQUEST = MotionRequest(
    movie="movie.mrcs",
    frames=8,
    height=640,
    width=768,
    pixel_size_angstrom=1.0,
    voltage_kv=300.0,
    dose_per_frame=1.0,
    patches=(4, 4),
)


@pytest.fixture
def left(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    shutil.copy(RECORDED / "relion-3.1.3.star", tmp_path / "out" / "movie.star")
    return tmp_path


def test_the_drift_has_our_sign_and_is_zero_at_the_middle_frame(left):
    found = relion.read(REQUEST, left)
    # _rlnMicrographShiftX 0 … 5.179886 (frame 5) … 6.503008: the frame is moved by +5.18, so the specimen stood at -5.18
    assert found.field.global_px.shape == (8, 2)
    assert np.array_equal(found.field.global_px[4], [0, 0])
    steps = np.diff(found.field.global_px, axis=0)
    assert np.all(steps[:, 1] < 0) and np.all(steps[:, 0] > 0)
    assert found.field.global_px[0, 1] == pytest.approx(5.18, abs=0.2)  # and the mean of the local part, which RELION keeps apart
    assert found.stands_at == 0


def test_the_local_motion_is_its_polynomial(left):
    found = relion.read(REQUEST, left)
    column = read_star(left / "out" / "movie.star")["local_motion_model"].column("rlnMotionModelCoeff")
    coefficients = np.array(column, float).reshape(2, 6, 3)
    t, y, x = 6, 120.0, 600.0
    u, v = x / 767 - 0.5, y / 639 - 0.5
    space, time = np.array([1, u, u * u, v, v * v, u * v]), np.array([t, t**2, t**3], float)
    said = [-(axis @ time) @ space for axis in coefficients]  # x, y
    shifts = [[float(word) for word in row] for row in read_star(left / "out" / "movie.star")["global_shift"].rows()]
    dy, dx = found.field.at(t, y, x)
    middle_y, middle_x = found.field.at(0, y, x)
    # of the first frame the polynomial is zero: what is left is the difference between two frames at one place
    assert dx - middle_x == pytest.approx(said[0] - shifts[t][1], abs=0.01)
    assert dy - middle_y == pytest.approx(said[1] - shifts[t][2], abs=0.01)


def test_without_local_motion_the_field_is_flat(left):
    path = left / "out" / "movie.star"
    text = path.read_text()
    path.write_text(text[: text.index("data_local_motion_model")])
    assert not relion.read(REQUEST, left).field.local_px.any()


def test_names_of_pictures_follow_dose_weighting(left):
    weighted = relion.read(REQUEST, left).pictures
    assert {role: path.name for role, path in weighted.items()} == {
        "micrograph": "movie_noDW.mrc",
        "micrograph_weighted": "movie.mrc",
    }
    plain = relion.read(replace(REQUEST, weighted=False), left).pictures
    assert {role: path.name for role, path in plain.items()} == {"micrograph": "movie.mrc"}


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda text: "", "not a STAR file"),
        (lambda text: text[: text.index("data_global_shift")], "global_shift"),
        (lambda text: text[: text.index("           6     5.727259")], "5 frames; the movie has 8"),
        (lambda text: text.replace("5.727259", "nan"), "no number"),
        (lambda text: text.replace("5.727259", "5.7x"), "not of numbers"),
        (lambda text: text.replace("_rlnMicrographShiftX", "_rlnOther"), "no column rlnMicrographShiftX"),
        (lambda text: text.replace("   768", "   700"), "this one has 768"),
        (lambda text: text.replace("          35 ", "          34 "), "36 coefficients; 36 were expected"),
    ],
)
def test_a_damaged_file_is_named_with_what_is_wrong(left, damage, words):
    path = left / "out" / "movie.star"
    path.write_text(damage(path.read_text()))
    with pytest.raises(ProgramFailed, match=words) as error:
        relion.read(REQUEST, left)
    assert error.value.path == str(path)


def test_no_file_says_that_relion_found_nothing(tmp_path):
    with pytest.raises(ProgramFailed, match="RELION found no motion"):
        relion.read(REQUEST, tmp_path)


def test_the_command_names_all_and_its_list_is_read_back(tmp_path):
    request = replace(REQUEST, gain="gain.mrc", defects="defects.mrc", pixel_size_angstrom=0.5, pre_exposure=2.0, threads=3)
    command = relion.prepare(request, tmp_path, "/opt/relion", ["--skip_defect"])
    given = dict(pairwise(command))
    assert command[0] == "/opt/relion" and command[-1] == "--skip_defect" and "--use_own" in command
    assert (given["--bfactor"], given["--patch_x"], given["--j"]) == ("600", "4", "3")
    assert (given["--dose_per_frame"], given["--preexposure"]) == ("1", "2")
    assert (given["--gainref"], given["--defect_file"]) == ("gain.mrc", "defects.mrc")
    blocks = read_star(tmp_path / "movies.star")
    assert blocks["movies"].column("rlnMicrographMovieName") == ["movie.mrcs"]
    assert float(blocks["optics"].column("rlnMicrographOriginalPixelSize")[0]) == 0.5
