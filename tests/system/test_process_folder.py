"""`process_folder` with real processing: a second run does nothing, another parameter only what depends on it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from passerelle.core.errors import BadInput, NotFound
from passerelle.core.states import MovieState
from passerelle.formats import write_mrc_stack
from passerelle.service.process_folder import Processed, Progress, folder_settings, process_folder
from passerelle.service.settings import InstrumentSettings, Settings
from passerelle.service.wiring import assemble
from passerelle.store import events


def make(folder: Path) -> Path:
    folder.mkdir()
    for number in range(2):
        rng = np.random.default_rng(number)
        specimen = rng.random((272, 272)) < 0.02
        stack = np.stack([rng.poisson(1.0 + 8.0 * specimen[t : t + 256, 8:264]) for t in range(6)]).astype(np.int16)
        write_mrc_stack(folder / f"movie {number}.mrc", stack, 1.5)
    shutil.copy(folder / "movie 0.mrc", folder / "torn.mrc")
    with (folder / "torn.mrc").open("r+b") as stream:
        stream.truncate(100_000)
    (folder / "noise.mrc").write_bytes(b"no movie at all" * 1000)
    (folder / "notes.txt").write_text("hello")
    return folder


def run(folder: Path, state: Path, **changes: Any) -> tuple[Processed, list[Progress]]:
    own = InstrumentSettings(
        folder=folder, voltage_kv=300.0, spherical_aberration_mm=2.7, pixel_size_angstrom=1.5, dose_per_frame_e_per_angstrom2=1.0
    )
    base = Settings.model_validate({"work": {"workers": 1}} | changes)
    told: list[Progress] = []
    return process_folder(folder_settings(folder, state, base, own), told=told.append), told


def runs(folder: Path, state: Path) -> int:
    parts = assemble(folder_settings(folder, state))
    with parts.database.read() as connection:
        count = sum(event.kind == "movie_running" for event in events.after(connection, 0, limit=10_000))
    parts.close()
    return count


@pytest.mark.timeout(900)
def test_a_folder_is_processed_once_and_what_changes_is_done_again(tmp_path: Path) -> None:
    folder, state = make(tmp_path / "session"), tmp_path / "results"
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    made, told = run(folder, state)
    found = {row.name: row.state for row in made.movies}
    assert found["movie 0"] is found["movie 1"] is MovieState.DONE
    assert found["torn"] is not MovieState.DONE and found["noise"] is not MovieState.DONE
    assert (told[0].listing, told[-1].listing, told[-1].done) == (True, False, 2)
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before  # it is only read
    assert runs(folder, state) == 2

    again, _ = run(folder, state)
    assert runs(folder, state) == 2
    assert again.movies == made.movies

    other, _ = run(folder, state, processing={"ctf": {"defocus_max_angstrom": 30000.0}})
    assert runs(folder, state) == 4
    parts = assemble(folder_settings(folder, state))
    steps = {step["step"]: step["reused"] for step in parts.status.movie(other.movies[0].id).steps}
    parts.close()
    assert steps["motion"] is True and steps["ctf"] is False


def test_a_place_that_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        folder_settings(tmp_path / "nowhere", tmp_path / "results")
    with pytest.raises(BadInput, match="into the folder that it reads"):
        folder_settings(tmp_path, tmp_path / "results")
