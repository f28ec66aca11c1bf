"""MotionCor and CTFFIND as stand-ins: scripts that check what they are asked as the real ones would, and leave what those leave.

The real programs need a GPU or cannot be had here. A stand-in refuses an option or an answer that the real program does not know,
opens the files that it is given, and writes logs in the real layout (programs/motion and ctffind say which versions).
"""

from __future__ import annotations

import json
import math
import os
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from passerelle.cli.app import app
from passerelle.formats import read_image, write_mrc, write_mrc_stack
from passerelle.processing.movie import process_movie
from passerelle.processing.recipe import Recipe
from passerelle.processing.task import MovieOutcome, MovieTask, ProgramUse

FRAMES, HEIGHT, WIDTH = 6, 200, 256
PIXEL, DOSE = 1.5, 1.0
KNOWN = {
    "pixel_size_angstrom": PIXEL,
    "voltage_kv": 300.0,
    "spherical_aberration_mm": 2.7,
    "amplitude_contrast": 0.08,
    "dose_per_frame_e_per_angstrom2": DOSE,
}
RECORDED = Path(__file__).parents[1] / "unit" / "programs" / "recorded"

# Options as MotionCor2 1.6.4 and MotionCor3 1.2.1 list them. Each frame is moved along x by twice its distance from the middle
# one, by a little more towards the top of the picture.
MOTIONCOR = """
import json, os, sys
from pathlib import Path
import numpy as np
from passerelle.formats import load_stack, open_movie, read_image, write_mrc

KNOWN = "InMrc InTiff OutMrc LogDir LogFile PixSize kV FtBin Bft Patch FmDose InitDose Gain DefectMap SplitSum Gpu".split()
if sys.argv[1:] == ["--version"]:
    print("MotionCor{generation} version 1.6.4\\nBuilt on Oct 5 2023")
    sys.exit(0)
given, name = {{}}, None
for word in sys.argv[1:]:
    if word.startswith("-") and word[1:2].isalpha():
        name = word[1:]
        if name not in KNOWN:
            sys.exit("unknown option " + word)
        given[name] = []
    else:
        given[name].append(word)
for words in given.values():
    for word in words:
        if " " in word or word.startswith("/"):
            sys.exit("no plain name: " + word)
Path({record!r}).write_text(json.dumps(given))
with open_movie(Path(given.get("InMrc", given.get("InTiff"))[0])) as reader:
    frames = load_stack(reader).astype(np.float32)
count, height, width = frames.shape
if "Gain" in given:
    frames *= read_image(Path(given["Gain"][0]))
if "DefectMap" in given:
    assert read_image(Path(given["DefectMap"][0])).max() == 1
pixel = float(given["PixSize"][0])
if os.environ.get("STANDS_IN") == "fails":
    print("GPU 0 memory: 8107 MB\\n\\nError: All GPUs are in use, quit.\\n")
    sys.exit(1)
if os.environ.get("STANDS_IN") == "ends without a word":
    sys.exit(0)
if os.environ.get("STANDS_IN") == "other size":
    frames = frames[:, ::2, ::2]
write_mrc(Path("out.mrc"), frames.sum(axis=0), pixel)
if "FmDose" in given:
    write_mrc(Path("out_DW.mrc"), frames.sum(axis=0) / 2, pixel)
    write_mrc(Path("out_DWS.mrc"), frames.sum(axis=0) / 3, pixel)
if "SplitSum" in given:
    write_mrc(Path("out_ODD.mrc"), frames[0::2].sum(axis=0), pixel)
    write_mrc(Path("out_EVN.mrc"), frames[1::2].sum(axis=0), pixel)
root = given["LogDir"][0] + Path(given.get("InMrc", given.get("InTiff"))[0]).stem
local = "Patch" in given
with open(root + ("-Patch" if local else "") + "-Full.log", "w") as log:
    log.write("# full frame alignment\\n")
    for t in range(count):
        log.write("%4d  %8.2f  %8.2f\\n" % (t + 1, 2.0 * (t - count // 2), 1.0 * (t - count // 2)))
if local:
    nx, ny = (int(word) for word in given["Patch"][:2])
    with open(root + "-Patch-Patch.log", "w") as log:
        log.write("# Patch based alignment\\n# Number of patches: %d\\n\\n" % (nx * ny))
        for p in range(nx * ny):
            x, y = width * (p % nx + 0.5) / nx, height * (p // nx + 0.5) / ny
            log.write("#Patch %03d raw and fit shifts\\n" % (p + 1))
            for t in range(count):
                s = (t - count // 2) * (y / height - 0.5)
                last = "%4d" % 0 if {generation} == 3 else "%8.2f %8.2f" % (s, 0.0)
                log.write("%4d %8.2f %8.2f %8.2f %8.2f %s\\n" % (t + 1, x, y, s, 0.0, last))
            log.write("\\n")
print("Total time: 1.0 sec")
"""

# The questions of CTFFIND 4.1.14 and 5.0.2 for a single picture, and what each takes for an answer.
CTFFIND = """
import os, shutil, sys
from pathlib import Path
from passerelle.formats import read_image

lines = sys.stdin.read().splitlines()
Path({record!r}).write_text("\\n".join(lines))
def ask(kind, low=None, high=None):
    value = kind(lines.pop(0))
    if (low is not None and value < low) or (high is not None and value > high):
        sys.exit("the answer %r is out of range" % value)
    return value
def yes():
    word = lines.pop(0)
    if word not in ("yes", "no"):
        sys.exit("expected yes or no, not " + word)
    return word == "yes"
micrograph, picture = lines.pop(0), lines.pop(0)
image = read_image(Path(micrograph))
ask(float, 0); ask(float, 0); ask(float, 0); ask(float, 0, 1); ask(int, 128)
coarse = ask(float, 0, 50); ask(float, 0, coarse)
least = ask(float); ask(float, least); ask(float, 1)
assert not yes()
yes()
if yes():
    ask(float)
phase = yes()
if phase:
    ask(float, -3.15, 3.15); ask(float, 0, 3.15); ask(float, 0)
tilt = {generation} == 5 and not phase and yes()
thickness = {generation} == 5 and yes()
assert not (tilt or thickness or yes())
if os.environ.get("STANDS_IN") == "fails":
    print("Error: Input file is not a valid MRC file")
    sys.exit(0)
stem = Path(picture).stem
table = Path({recorded!r}, "ctffind-4.1.14.txt" if {generation} == 4 else "ctffind-5.0.2.txt").read_text()
if phase:
    table = table.replace(" 0.000000 0.", " 1.570796 0.")
Path(stem + ".txt").write_text(table)
shutil.copy(Path({recorded!r}, "ctffind-4.1.14_avrot.txt"), stem + "_avrot.txt")
"""


def stand_in(folder: Path, kind: str, generation: int) -> tuple[str, Path]:
    """Write the script; return its path, and that of the record of what it was asked."""
    folder.mkdir(exist_ok=True)
    path, record = folder / f"my {kind}{generation}", folder / f"{kind}{generation}.json"
    text = (MOTIONCOR if kind == "motioncor" else CTFFIND).format(
        generation=generation, record=str(record), recorded=str(RECORDED)
    )
    path.write_text(f"#!{sys.executable}\n{text}")
    path.chmod(0o755)
    return str(path), record


@pytest.fixture(autouse=True)
def _found(monkeypatch: pytest.MonkeyPatch) -> None:
    source = str(Path(__file__).parents[2] / "src")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([source, os.environ.get("PYTHONPATH", "")]))


@pytest.fixture
def movie(tmp_path: Path) -> MovieTask:
    folder = tmp_path / "-in; a folder"
    folder.mkdir()
    path = folder / "- a\nmovie.mrc"
    rng = np.random.default_rng(1)
    write_mrc_stack(path, rng.poisson(4, (FRAMES, HEIGHT, WIDTH)).astype(np.int16), PIXEL, "int16")
    gain = np.ones((HEIGHT, WIDTH), np.float32)
    gain[50, 60] = 0
    write_mrc(folder / "gain.mrc", gain, PIXEL)
    return MovieTask(
        movie_id=1,
        name="a",
        movie=str(path),
        size=path.stat().st_size,
        mtime_ns=path.stat().st_mtime_ns,
        metadata=KNOWN,
        gain=str(folder / "gain.mrc"),
        recipe=Recipe.model_validate({"ctf": {"box_px": 128}}),
        thresholds={},
        folder=str(tmp_path / "results"),
    )


def using(task: MovieTask, folder: Path, name: str, **groups: dict[str, Any]) -> tuple[MovieTask, Path]:
    """Return the task with one of its steps done by a stand-in, and where that writes what it was asked."""
    kind, generation = name[:-1], int(name[-1])
    path, record = stand_in(folder / "programs", kind, generation)
    group = "motion" if kind == "motioncor" else "ctf"
    recipe = task.recipe.model_dump()
    for each, fields in ({group: {"program": name}} | groups).items():
        recipe[each] |= fields
    recipe[group]["program"] = name
    use = ProgramUse(executable=path, version="1", arguments=("-Gpu", "0") if kind == "motioncor" else ())
    return task.model_copy(update={"recipe": Recipe.model_validate(recipe), "programs": {name: use}}), record


def done(outcome: MovieOutcome) -> MovieOutcome:
    assert outcome.error is None, outcome.error
    return outcome


@pytest.mark.parametrize("name", ["motioncor2", "motioncor3"])
def test_motioncor_is_asked_and_heard(movie, tmp_path, name):
    task, record = using(movie, tmp_path, name)
    outcome = done(process_movie(task))
    asked = json.loads(record.read_text())
    assert (asked["InMrc"], asked["Gain"], asked["DefectMap"], asked["Gpu"]) == (
        ["movie.mrcs"],
        ["gain.mrc"],
        ["defects.mrc"],
        ["0"],
    )
    assert (asked["Patch"], asked["FmDose"], asked["kV"], asked["SplitSum"]) == (["5", "5"], ["1"], ["300"], ["1"])
    outputs = {role: file for step in outcome.steps for role, file in step.outputs.items()}
    pictures = {
        role: read_image(Path(task.folder) / outputs[role]) for role in ("micrograph", "micrograph_weighted", "even", "odd")
    }
    assert np.allclose(pictures["even"] + pictures["odd"], pictures["micrograph"])
    assert np.allclose(pictures["micrograph_weighted"] * 2, pictures["micrograph"])
    with np.load(Path(task.folder) / "motion.npz") as kept:
        drift, local, stands_at = kept["global_px"], kept["local_px"], int(kept["stands_at"])
    assert stands_at == FRAMES // 2
    # moved by (2, 1) px a frame: the specimen went the other way
    assert np.allclose(np.diff(drift, axis=0), [-1, -2], atol=0.05)
    # and at the top (more y) by more along x; MotionCor3 takes the shift of the nearest patch beyond its middle
    assert local[1, 0, -1].mean() == pytest.approx(1.35, abs=0.2) and local[1, 0, 0].mean() == pytest.approx(-1.35, abs=0.2)
    assert outcome.metrics["total_motion_angstrom"] == pytest.approx(5 * math.sqrt(5) * PIXEL, rel=0.02)
    assert done(process_movie(task)).steps[2].reused


def test_without_dose_or_patches_motioncor_is_asked_for_less(movie, tmp_path):
    plain = {"motion": {"patches_x": 1, "patches_y": 1}, "dose": {"weighted": False, "half_sums": False}}
    task, record = using(movie, tmp_path, "motioncor3", **plain)
    outcome = done(process_movie(task))
    assert not {"Patch", "FmDose", "SplitSum"} & set(json.loads(record.read_text()))
    assert "micrograph_weighted" not in {role for step in outcome.steps for role in step.outputs}
    assert outcome.metrics["local_motion_px"] == 0


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        ("fails", "All GPUs are in use"),
        ("ends without a word", "MotionCor2 found no motion"),
        ("other size", r"out\.mrc has 128 × 100 pixels; 256 × 200 were expected.*Its last words: Total time"),
    ],
)
def test_a_motioncor_that_fails_is_told_and_tried_again(movie, tmp_path, monkeypatch, behaviour, words):
    monkeypatch.setenv("STANDS_IN", behaviour)
    task, _ = using(movie, tmp_path, "motioncor2")
    outcome = process_movie(task)
    assert outcome.error is not None
    assert (outcome.error.kind, outcome.error.step, outcome.error.retry) == ("ProgramFailed", "motion", "later")
    assert re.search(words, outcome.error.message, re.DOTALL), outcome.error.message
    assert not (Path(task.folder) / "program").exists()
    monkeypatch.delenv("STANDS_IN")
    done(process_movie(task))


def test_one_that_takes_too_long_is_ended(movie, tmp_path):
    task, _ = using(movie, tmp_path, "motioncor2")
    use = task.programs["motioncor2"].model_copy(update={"seconds": 0.05})
    outcome = process_movie(task.model_copy(update={"programs": {"motioncor2": use}}))
    assert outcome.error is not None
    assert (outcome.error.kind, outcome.error.retry) == ("Busy", "later")
    assert "0.05 s" in outcome.error.message


@pytest.mark.parametrize(
    ("name", "defocus", "resolution"),
    [("ctffind4", (5881.591797, 5851.229004), 4.598205), ("ctffind5", (8984.742188, 8709.236328), 3.72)],
)
def test_ctffind_is_asked_and_heard(movie, tmp_path, name, defocus, resolution):
    task, record = using(movie, tmp_path, name)
    outcome = done(process_movie(task))
    answers = record.read_text().splitlines()
    assert answers[:7] == ["micrograph.mrc", "diagnostic.mrc", "1.5", "300", "2.7", "0.08", "128"]
    values = next(step.values for step in outcome.steps if step.step == "ctf")
    assert (values["defocus_u_angstrom"], values["defocus_v_angstrom"]) == defocus
    assert outcome.metrics["astigmatism_angstrom"] == pytest.approx(defocus[0] - defocus[1])
    assert outcome.metrics["ctf_resolution_angstrom"] == resolution
    assert values["program"] == {"ctffind4": "CTFFIND 4.1.14", "ctffind5": "CTFFIND 5.0.2"}[name]
    assert {"contamination_percent", "ice_ring_score"} & set(outcome.metrics)  # these are ours
    curves = json.loads((Path(task.folder) / "ctf.json").read_text())["ctf"]
    assert len(curves["spacing_per_angstrom"]) == len(curves["model"]) == 10  # from a little before the fit on
    assert (Path(task.folder) / "spectrum.png").stat().st_size > 1000
    assert done(process_movie(task)).fingerprint == outcome.fingerprint


@pytest.mark.parametrize("name", ["ctffind4", "ctffind5"])
def test_a_phase_shift_and_16_bit_floats(movie, tmp_path, name):
    task, _ = using(movie, tmp_path, name, ctf={"phase_shift": True}, dose={"output": "float16"})
    assert done(process_movie(task)).metrics["phase_shift_deg"] == pytest.approx(90, abs=0.01)


def test_a_ctffind_that_says_all_is_well_and_leaves_nothing(movie, tmp_path, monkeypatch):
    monkeypatch.setenv("STANDS_IN", "fails")
    task, _ = using(movie, tmp_path, "ctffind4")
    outcome = process_movie(task)
    assert outcome.error is not None and outcome.error.step == "ctf"
    assert "diagnostic.txt was not written: CTFFIND left no fit. Its last words: Error: Input file" in outcome.error.message


def test_going_back_to_our_own_needs_no_program(movie, tmp_path):
    task, _ = using(movie, tmp_path, "ctffind5")
    done(process_movie(task))
    own = done(process_movie(movie))
    assert {step.step: step.reused for step in own.steps}["sums"] and not {step.step: step.reused for step in own.steps}["ctf"]


def test_a_run_with_a_program_that_is_missing_ends_before_the_first_movie(tmp_path, movie):
    folder = tmp_path / "session"
    folder.mkdir()
    os.link(movie.movie, folder / "a.mrc")
    command = ["process", str(folder), "-o", str(tmp_path / "out"), "--voltage", "300", "--set", "motion.program=motioncor3"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code != 0
    said = result.output + str(result.exception)
    assert "MotionCor3" in said and "programs.motioncor3" in said


def test_a_configured_path_and_its_arguments_reach_the_program(tmp_path, movie):
    path, record = stand_in(tmp_path / "programs", "motioncor", 2)
    ctf, _ = stand_in(tmp_path / "programs", "ctffind", 5)
    folder = tmp_path / "session"
    folder.mkdir()
    os.link(movie.movie, folder / "a.mrc")
    config = tmp_path / "passerelle.toml"
    relative = os.path.relpath(path, tmp_path)
    lines = [
        "[programs]",
        f"motioncor2 = {json.dumps(relative)}",
        'motioncor2_arguments = ["-Gpu", "3"]',
        f"ctffind5 = {json.dumps(ctf)}",
    ]
    lines += ["[processing.motion]", 'program = "motioncor2"', "[processing.ctf]", 'program = "ctffind5"', "box_px = 128"]
    config.write_text("\n".join(lines))
    command = ["process", str(folder), "-o", str(tmp_path / "out"), "--config", str(config), "--voltage", "300", "--json"]
    result = CliRunner().invoke(app, [*command, "--dose-per-frame", "1", "--cs", "2.7", "--workers", "1"])
    assert result.exit_code == 0, result.output
    (row,) = json.loads(result.stdout)["movies"]
    assert row["state"] == "done" and row["metrics"]["ctf_resolution_angstrom"] == 3.72
    assert json.loads(record.read_text())["Gpu"] == ["3"]


def test_a_program_that_fails_is_tried_as_often_as_the_configuration_says(tmp_path, movie, monkeypatch):
    monkeypatch.setenv("STANDS_IN", "fails")
    path, _ = stand_in(tmp_path / "programs", "motioncor", 2)
    counted = tmp_path / "counted.sh"
    counted.write_text(f'#!/bin/sh\n[ "$1" = --version ] || echo run >>"{tmp_path}/runs"\nexec "{path}" "$@"\n')
    counted.chmod(0o755)
    folder = tmp_path / "session"
    folder.mkdir()
    os.link(movie.movie, folder / "a.mrc")
    config = tmp_path / "passerelle.toml"
    lines = ["[work]", "max_attempts = 2", "retry_seconds = 0", "[programs]", 'motioncor2 = "./counted.sh"']
    config.write_text("\n".join([*lines, "[processing.motion]", 'program = "motioncor2"']))
    command = ["process", str(folder), "-o", str(tmp_path / "out"), "--config", str(config), "--voltage", "300", "--json"]
    result = CliRunner().invoke(app, [*command, "--dose-per-frame", "1", "--cs", "2.7", "--workers", "1"])
    assert result.exit_code == 1
    (row,) = json.loads(result.stdout)["movies"]
    assert row["state"] == "failed" and "All GPUs are in use" in row["error"]
    assert (tmp_path / "runs").read_text().split() == ["run", "run"]
