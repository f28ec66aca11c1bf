"""The steps of a movie on another device."""

import numpy as np
import pytest

from passerelle.formats import read_image, write_mrc_stack
from passerelle.processing.movie import process_movie
from passerelle.processing.recipe import Recipe
from passerelle.processing.steps import STEPS
from passerelle.processing.task import MovieTask
from passerelle.processing.workspace import Workspace

SIDE, FRAMES = 320, 6
RECIPE = Recipe.model_validate({"motion": {"patches_x": 2, "patches_y": 2}, "ctf": {"box_px": 128}})


@pytest.fixture
def task(tmp_path):
    rng = np.random.default_rng(3)
    specimen = 4 + 8 * (rng.random((SIDE, SIDE)) < 0.05)
    path = tmp_path / "one.mrc"
    frames = np.stack([rng.poisson(np.roll(specimen, (2 * t, -t), (0, 1))) for t in range(FRAMES)])
    write_mrc_stack(path, frames.astype(np.uint16), 1.0, "uint16")
    return MovieTask(
        movie_id=1,
        name="one",
        movie=str(path),
        size=path.stat().st_size,
        mtime_ns=path.stat().st_mtime_ns,
        metadata={
            "pixel_size_angstrom": 1.0,
            "voltage_kv": 300.0,
            "spherical_aberration_mm": 2.7,
            "dose_per_frame_e_per_angstrom2": 1.0,
        },
        recipe=RECIPE,
        thresholds={},
        folder=str(tmp_path / "here"),
    )


def moved_to(task, device, folder):
    return task.model_copy(update={"device": device, "folder": str(folder)})


def test_the_steps_make_the_same_micrograph_through_torch(task, tmp_path):
    torch = pytest.importorskip("torch", reason='torch is not installed: pip install "passerelle[gpu]"')
    from passerelle.imaging.torch_kernels import TorchKernels

    here = process_movie(task)
    assert here.error is None
    work = Workspace(moved_to(task, "cpu", tmp_path / "there"))
    work.folder.mkdir()
    work.__dict__["kernels"] = TorchKernels(torch.device("cpu"))
    for step in STEPS[: [step.name for step in STEPS].index("sums") + 1]:
        result = step.run(work)
        work.done[step.name] = next(record for record in here.steps if record.step == step.name).model_copy(
            update={"outputs": result.outputs, "values": result.values}
        )
    expected = read_image(tmp_path / "here" / "micrograph-weighted.mrc")
    found = read_image(tmp_path / "there" / "micrograph-weighted.mrc")
    assert np.std(found - expected) < 1e-3 * np.std(expected)


def test_a_movie_for_a_card_that_is_not_there_says_so_and_is_not_tried_again(task, tmp_path):
    outcome = process_movie(moved_to(task, "cuda:998", tmp_path / "there"))
    assert outcome.error is not None and outcome.error.retry == "never" and outcome.error.kind == "BadConfiguration"
    assert "cuda:998" in outcome.error.message


def test_a_result_stands_whichever_device_made_it_and_says_which(task):
    first = process_movie(task)
    assert {step.step: step.device for step in first.steps if step.device} == {"motion": "cpu", "sums": "cpu"}
    again = process_movie(task.model_copy(update={"device": "cuda:998"}))
    assert again.error is None and again.fingerprint == first.fingerprint
    assert all(step.reused for step in again.steps)


def test_a_card_gives_the_same_verdict(task, tmp_path):
    torch = pytest.importorskip("torch", reason='torch is not installed: pip install "passerelle[gpu]"')
    if not torch.cuda.is_available():
        pytest.skip("no graphics card: torch.cuda finds none")
    here, there = process_movie(task), process_movie(moved_to(task, "cuda", tmp_path / "there"))
    assert there.error is None and here.fingerprint == there.fingerprint
    for name, value in here.metrics.items():
        assert there.metrics[name] == pytest.approx(value, rel=0.02, abs=0.02), name
