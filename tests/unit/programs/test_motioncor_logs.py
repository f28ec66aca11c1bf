"""MotionCor's command line and its logs in the layouts of its versions; damaged ones are refused in words."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from passerelle.core.errors import ProgramFailed
from passerelle.programs import motioncor
from passerelle.programs.motion import MotionRequest

RECORDED = Path(__file__).parent / "recorded" / "motioncor2-1.5.0-Patch-Full.log"
FRAMES, HEIGHT, WIDTH = 16, 400, 600
REQUEST = MotionRequest(
    movie="movie.mrcs", frames=FRAMES, height=HEIGHT, width=WIDTH, pixel_size_angstrom=0.73, voltage_kv=300.0, dose_per_frame=3.23
)
Shift = Callable[[int, float, float], tuple[float, float]]


def write_patches(path: Path, shift: Shift, columns: int, bad: frozenset[int] = frozenset()) -> None:
    """Lay out a log of patches: 7 columns as MotionCor2 and RELION's reader of it, 6 as MotionCor3 1.2.1."""
    lines = ["# Patch based alignment", "# Number of patches: 25", "# Shifts are listed per patch.", f"# Movie size: {WIDTH}", ""]
    for patch in range(25):
        x, y = WIDTH * (patch % 5 + 0.5) / 5, HEIGHT * (patch // 5 + 0.5) / 5
        lines.append(f"#Patch {patch + 1:03d} raw and fit shifts")
        for frame in range(FRAMES):
            sx, sy = (99.0, -99.0) if patch in bad else shift(frame, x, y)
            place = f"{frame + 1:4d} {x:8.2f} {y:8.2f} "
            six = f"{sx:8.2f} {sy:8.2f} {int(patch in bad):4d}"
            seven = f"{sx + 0.3 * (-1) ** frame:8.2f} {sy:8.2f} {sx:8.2f} {sy:8.2f}"  # measured, then fitted
            lines.append(place + (six if columns == 6 else seven))
        lines.append("")
    path.write_text("\n".join(lines))


def bend(frame: int, x: float, y: float) -> tuple[float, float]:
    """A surface of second order, zero at the middle frame."""
    u, v = x / WIDTH, y / HEIGHT
    return (frame - 8) * (0.2 * u - 0.1 * v * v), (frame - 8) * (0.1 * u * v - 0.2)


@pytest.fixture(params=["log/movie", "log/movie0"], ids=["by folder", "by prefix"])
def left(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    (tmp_path / "log").mkdir()
    shutil.copy(RECORDED, tmp_path / f"{request.param}-Patch-Full.log")
    write_patches(tmp_path / f"{request.param}-Patch-Patch.log", bend, 6)
    return tmp_path


def test_the_drift_of_a_real_movie_has_our_sign(left):
    write_patches(next((left / "log").glob("*-Patch-Patch.log")), lambda *_: (0.0, 0.0), 6)
    found = motioncor.read(REQUEST, left, generation=2)
    assert np.allclose(found.field.global_px[0], [-8.51, -2.46])
    assert np.allclose(found.field.global_px[15], [4.60, 1.32])
    assert np.array_equal(found.field.global_px[8], [0, 0])
    assert found.stands_at == 8


@pytest.mark.parametrize(("columns", "generation", "tolerance"), [(7, 2, 0.01), (6, 3, 0.25)])
def test_local_shifts_become_a_field(left, columns, generation, tolerance):
    write_patches(next((left / "log").glob("*-Patch-Patch.log")), bend, columns)
    field = motioncor.read(REQUEST, left, generation=generation).field
    drift = np.loadtxt(RECORDED)[:, 1:]
    for frame, y, x in ((0, 40.0, 60.0), (3, 200.0, 300.0), (15, 360.0, 540.0), (15, 200.0, 180.0)):
        sx, sy = bend(frame, x, y)
        dy, dx = field.at(frame, y, x)
        # MotionCor3 corrects with the shifts of the nearest patches: between them its field is stepped
        assert dx == pytest.approx(-(drift[frame, 0] + sx), abs=tolerance)
        assert dy == pytest.approx(-(drift[frame, 1] + sy), abs=tolerance)


def test_what_motioncor3_marks_as_bad_is_not_used(left):
    write_patches(next((left / "log").glob("*-Patch-Patch.log")), bend, 6, bad=frozenset({3, 12}))
    field = motioncor.read(REQUEST, left, generation=3).field
    assert np.abs(field.local_px).max() < 3


def test_one_patch_needs_no_log_of_patches(tmp_path):
    (tmp_path / "log").mkdir()
    shutil.copy(RECORDED, tmp_path / "log" / "movie-Full.log")
    found = motioncor.read(replace(REQUEST, patches=(1, 5)), tmp_path, generation=3)
    assert not found.field.local_px.any()


def test_pictures_follow_what_was_asked_for(left):
    names = {
        role: path.name for role, path in motioncor.read(replace(REQUEST, half_sums=True), left, generation=3).pictures.items()
    }
    assert names == {"micrograph": "out.mrc", "micrograph_weighted": "out_DW.mrc", "even": "out_ODD.mrc", "odd": "out_EVN.mrc"}
    assert set(motioncor.read(replace(REQUEST, weighted=False), left, generation=3).pictures) == {"micrograph"}


@pytest.mark.parametrize(
    ("log", "damage", "words"),
    [
        ("Full", lambda text: "", "holds the motion of 0 frames"),
        ("Full", lambda text: text[: len(text) // 2].rsplit("\n", 1)[0], "the movie has 16"),
        ("Full", lambda text: text.rstrip()[:-8], "less than 3 numbers"),
        ("Full", lambda text: text.replace("-4.60", "  nan"), "no number"),
        ("Full", lambda text: text.replace("-4.60", "-4.6?"), "not of numbers"),
        ("Full", lambda text: text.replace("  16 ", "  17 "), "the movie has 16"),
        ("Patch", lambda text: "", "holds 0 lines"),
        ("Patch", lambda text: text[: len(text) // 2].rsplit("\n", 1)[0], "25 patches of 16 frames"),
        ("Patch", lambda text: text.replace("  60.00    40.00", "  60.00", 1), "numbers"),
        ("Patch", lambda text: text.replace("#Patch 001 raw", "Patch 001 raw"), "not of numbers"),
    ],
)
def test_a_damaged_log_is_named_with_what_is_wrong(left, log, damage, words):
    path = next((left / "log").glob(f"*-Patch-{log}.log"))
    path.write_text(damage(path.read_text()))
    with pytest.raises(ProgramFailed, match=words) as error:
        motioncor.read(REQUEST, left, generation=3)
    assert error.value.path == str(path)


def test_no_log_says_so(tmp_path):
    (tmp_path / "log").mkdir()
    with pytest.raises(ProgramFailed, match="MotionCor3 found no motion"):
        motioncor.read(REQUEST, tmp_path, generation=3)


def test_the_command_names_all(tmp_path):
    request = replace(
        REQUEST, movie="movie.tif", gain="gain.mrc", defects="defects.mrc", half_sums=True, pre_exposure=1.5, patches=(4, 6)
    )
    command = motioncor.prepare(request, tmp_path, "/opt/MotionCor2", ["-Gpu", "0", "1"], generation=2)
    text = " ".join(command)
    assert text.startswith("/opt/MotionCor2 -InTiff movie.tif -OutMrc out.mrc -LogDir log/ -LogFile log/movie ")
    for part in ("-PixSize 0.73", "-kV 300", "-FmDose 3.23", "-InitDose 1.5", "-Patch 6 4", "-Gain gain.mrc"):
        assert part in text
    for part in ("-DefectMap defects.mrc", "-SplitSum 1", "-Bft 281.479"):
        assert part in text
    assert text.endswith("-Gpu 0 1")
    plain = motioncor.prepare(replace(REQUEST, weighted=False, patches=(1, 1)), tmp_path, "MotionCor3", generation=3)
    assert not {"-FmDose", "-Patch", "-SplitSum", "-Gain", "-LogFile"} & set(plain)
