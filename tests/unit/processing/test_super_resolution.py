"""Movies in super resolution: micrographs of the camera's own pixels, and every number in the unit of what it describes."""

import json
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from passerelle.formats import write_eer_movie, write_mrc, write_mrc_stack
from passerelle.processing import movie as processing
from passerelle.processing.recipe import Recipe
from passerelle.processing.super_resolution import super_resolution_factor
from passerelle.processing.task import MovieTask

SIDE, FRAMES, FINE_PIXEL = 384, 6, 0.6
KNOWN = {"voltage_kv": 300.0, "spherical_aberration_mm": 2.7, "dose_e_per_angstrom2": 12.0}


@pytest.mark.parametrize(
    ("size", "said", "factor"),
    [
        ((7420, 7676), None, 2),  # K2
        ((7676, 7420), False, 2),  # turned
        ((8184, 11520), None, 2),  # K3
        ((4092, 5760), True, 1),  # K3: binned by the program, which goes on to say that the camera read out in super resolution
        ((3710, 3838), True, 1),
        ((4096, 4096), None, 1),
        ((8192, 8192), True, 2),
        ((8192, 8192), None, 1),  # DE-64: its own pixels
    ],
)
def test_super_resolution_is_known_by_the_size_of_frames_and_by_what_the_program_says(size, said, factor):
    assert super_resolution_factor(*size, said=said) == factor


def test_an_eer_is_as_fine_as_it_is_rendered():
    assert super_resolution_factor(8192, 8192, eer_upsampling=2) == 2


def counts() -> np.ndarray:
    rng = np.random.default_rng(3)
    specimen = gaussian_filter(rng.normal(0, 1, (SIDE + 32, SIDE + 32)), 4)
    specimen /= specimen.std()
    frames = [specimen[16 + 2 * t : 16 + 2 * t + SIDE, 16 - t : 16 - t + SIDE] for t in range(FRAMES)]
    return rng.poisson(4 * np.exp(0.3 * np.stack(frames))).astype(np.uint16)


def task_for(path: Path, folder: Path, gain: Path | None = None, metadata: dict | None = None, **motion: object) -> MovieTask:
    status = path.stat()
    changes = {"motion": {"patches_x": 2, "patches_y": 2} | motion, "ctf": {"box_px": 128}, "dose": {"half_sums": False}}
    return MovieTask(
        movie_id=1,
        name="movie",
        movie=str(path),
        size=status.st_size,
        mtime_ns=status.st_mtime_ns,
        metadata=KNOWN | (metadata or {}),
        gain=None if gain is None else str(gain),
        recipe=Recipe.model_validate(changes),
        thresholds={},
        folder=str(folder),
    )


@pytest.fixture(scope="module")
def movie(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("movie") / "fine.mrc"
    write_mrc_stack(path, counts(), FINE_PIXEL, "uint16")
    return path


def values_of(task: MovieTask):
    outcome = processing.process_movie(task)
    assert outcome.error is None, outcome.error
    return outcome, {record.step: record for record in outcome.steps}


def test_micrographs_of_a_movie_in_super_resolution_have_the_pixels_of_the_camera(movie, tmp_path):
    fine, fine_steps = values_of(task_for(movie, tmp_path / "fine"))
    small, steps = values_of(task_for(movie, tmp_path / "small", metadata={"super_resolution": True}))
    assert (fine.metrics["pixel_size_angstrom"], small.metrics["pixel_size_angstrom"]) == (FINE_PIXEL, 2 * FINE_PIXEL)
    assert steps["stack"].values["pixel_size_angstrom"] == FINE_PIXEL  # of the movie
    for name in ("micrograph.mrc", "micrograph-weighted.mrc"):
        with mrcfile.open(tmp_path / "small" / name) as picture:
            assert picture.data.shape == (SIDE // 2, SIDE // 2)
            assert float(picture.voxel_size.x) == pytest.approx(2 * FINE_PIXEL)
    assert small.metrics["counts_per_pixel"] == pytest.approx(4 * fine.metrics["counts_per_pixel"], rel=0.01)
    # the motion is that of the movie, and does not depend on what is made of it
    assert steps["motion"].values == fine_steps["motion"].values
    assert "cropped 2 ×" in steps["sums"].warnings[0] and not fine_steps["sums"].warnings
    spacing = json.loads((tmp_path / "small" / "ctf.json").read_text())["ctf"]["spacing_per_angstrom"]
    assert max(spacing) <= 1 / (2 * 2 * FINE_PIXEL) * np.sqrt(2)


def test_the_recipe_has_the_last_word_and_asks_for_nothing_but_new_sums(movie, tmp_path):
    said = {"super_resolution": True}
    values_of(task_for(movie, tmp_path / "a", metadata=said))
    outcome, steps = values_of(task_for(movie, tmp_path / "a", metadata=said, bin_factor=1))
    assert outcome.metrics["pixel_size_angstrom"] == FINE_PIXEL and not steps["sums"].warnings
    assert [name for name, step in steps.items() if step.reused] == ["stack", "gain", "motion"]


def test_a_gain_of_the_cameras_pixels_fits_frames_in_super_resolution(movie, tmp_path):
    gain = np.random.default_rng(1).normal(1, 0.1, (SIDE // 2, SIDE // 2)).astype(np.float32)
    write_mrc(tmp_path / "coarse.mrc", gain, 1.2)
    write_mrc(tmp_path / "fine.mrc", gain.repeat(2, axis=0).repeat(2, axis=1), 0.6)
    _, coarse = values_of(task_for(movie, tmp_path / "a", tmp_path / "coarse.mrc", bin_factor=2))
    _, fine = values_of(task_for(movie, tmp_path / "b", tmp_path / "fine.mrc", bin_factor=2))
    assert coarse["sums"].values == fine["sums"].values
    assert (tmp_path / "a" / "micrograph.mrc").read_bytes() == (tmp_path / "b" / "micrograph.mrc").read_bytes()


def test_an_eer_rendered_finer_comes_back_to_the_detectors_pixels(tmp_path):
    rng = np.random.default_rng(5)
    electrons = [rng.uniform(0, 128, (3000, 2)) for _ in range(24)]
    path = tmp_path / "a.eer"
    write_eer_movie(path, electrons, 128, 128, pixel_size_angstrom=1.0, dose_e_per_angstrom2=12.0)
    coarse, _ = values_of(task_for(path, tmp_path / "1", metadata={"pixel_size_angstrom": 1.0}, eer_dose_per_fraction=2.0))
    finer, steps = values_of(
        task_for(path, tmp_path / "2", metadata={"pixel_size_angstrom": 1.0}, eer_dose_per_fraction=2.0, eer_upsampling=2)
    )
    assert (steps["stack"].values["width_px"], steps["stack"].values["pixel_size_angstrom"]) == (256, 0.5)
    assert finer.metrics["pixel_size_angstrom"] == coarse.metrics["pixel_size_angstrom"] == 1.0
    assert finer.metrics["counts_per_pixel"] == pytest.approx(coarse.metrics["counts_per_pixel"], rel=1e-3)
    with mrcfile.open(tmp_path / "2" / "micrograph.mrc") as picture:
        assert picture.data.shape == (128, 128)
