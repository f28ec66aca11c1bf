"""A folder that is processed, recompressed without its originals, and processed again: nothing has to be done anew."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from passerelle.formats import write_mrc_stack


def passerelle(*words: str | Path, at: Path) -> dict:
    command = [sys.executable, "-c", "from passerelle.cli import main; main()", *map(str, words), "--json"]
    ended = subprocess.run(command, cwd=at, capture_output=True, text=True, env=os.environ, check=False)
    assert ended.returncode == 0, ended.stderr + ended.stdout
    return json.loads(ended.stdout)


def test_a_processed_folder_that_is_recompressed_keeps_its_results_and_can_be_done_again(tmp_path):
    folder = tmp_path / "movies"
    folder.mkdir()
    rng = np.random.default_rng(3)
    specimen = gaussian_filter(rng.normal(0, 1, (300, 300)), 2)
    specimen /= specimen.std()
    for name in ("a", "b"):
        frames = [rng.poisson(5 * np.exp(0.3 * specimen[t : t + 256, 20 - t : 276 - t])) for t in range(6)]
        write_mrc_stack(folder / f"{name}.mrc", np.array(frames).astype(np.int8), 1.3, "int8")
    known = ("--voltage", "300", "--cs", "2.7", "--dose-per-frame", "2", "--workers", "1")
    first = passerelle("process", folder, *known, at=tmp_path)
    made = sorted((tmp_path / "movies-processed").rglob("micrograph.mrc"))
    stamps = [path.stat().st_mtime_ns for path in made]
    assert len(made) == 2

    done = passerelle("recompress", folder, "--remove-original", at=tmp_path)
    assert all(each["removed"] for each in done["movies"])
    assert sorted(os.listdir(folder)) == ["a.tif", "b.tif"]

    again = passerelle("process", folder, *known, at=tmp_path)
    assert [row["metrics"] for row in again["movies"]] == [row["metrics"] for row in first["movies"]]
    assert [path.stat().st_mtime_ns for path in made] == stamps  # not done again

    new = passerelle("process", folder, *known, "--output", tmp_path / "fresh", at=tmp_path)  # from the copies alone
    for row, before in zip(new["movies"], first["movies"], strict=True):
        of_time = {"processing_seconds"}
        assert {k: v for k, v in row["metrics"].items() if k not in of_time} == {
            k: v for k, v in before["metrics"].items() if k not in of_time
        }
