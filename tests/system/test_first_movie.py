"""The first movie of a session does not wait for compilers: kernels are compiled ahead, wherever passerelle is installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src"

COMPILED = """
import json, sys, tempfile
from pathlib import Path
from numba import njit
from numba.core import event
from passerelle.service.tasks import REHEARSE, run_movie

def compiled(call):
    with event.install_recorder("numba:compile") as recorder:
        call()
    return sum(1 for _, each in recorder.buffer if each.is_start)

def process(path, **recipe):
    task = {"movie_id": 1, "name": path.name, "movie": str(path), "size": path.stat().st_size, "mtime_ns": 0, "thresholds": {},
            "metadata": {"voltage_kv": 300.0, "spherical_aberration_mm": 2.7, "pixel_size_angstrom": 1.0,
                         "dose_per_frame_e_per_angstrom2": 1.0}, "folder": str(path) + "-out", "recipe": recipe}
    outcome = run_movie(task)
    assert outcome["error"] is None, outcome["error"]
"""


def python(code: str, **environment: str) -> str:
    own = os.environ | {"PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"} | environment
    made = subprocess.run([sys.executable, "-c", code], env=own, capture_output=True, text=True, timeout=900)
    assert made.returncode == 0, made.stderr
    return made.stdout


@pytest.mark.timeout(1000)
def test_after_a_rehearsal_no_movie_waits_for_a_compiler(tmp_path: Path) -> None:
    code = COMPILED + textwrap.dedent("""
        assert REHEARSE() == []
        import numpy as np
        from passerelle.formats import write_mrc_stack
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())
        counts = {}
        for kind in ("int8", "int16", "uint16", "float32", "float16"):
            stack = np.random.default_rng(0).poisson(3, (5, 300, 400)).astype(kind)
            write_mrc_stack(folder / f"{kind}.mrc", stack, 1.0, kind)
            counts[kind] = compiled(lambda: process(folder / f"{kind}.mrc"))
        first = folder / "int16.mrc"
        again = first.rename(folder / "again.mrc")
        counts["phase shift"] = compiled(lambda: process(again, ctf={"phase_shift": True}, motion={"patches_x": 1}))
        counts["a new kernel"] = compiled(lambda: njit(lambda x: x + 1)(1))
        print(json.dumps(counts))
    """)
    counts = json.loads(python(code, TMPDIR=str(tmp_path)))
    assert counts.pop("a new kernel") > 0  # the count counts
    assert set(counts.values()) == {0}, counts


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """An installation on a disk that is mounted for reading only."""
    place = tmp_path / "site-packages"
    shutil.copytree(SOURCE / "passerelle", place / "passerelle", ignore=shutil.ignore_patterns("__pycache__"))
    for command in (["mount", "--bind", str(place), str(place)], ["mount", "-o", "remount,bind,ro", str(place)]):
        made = subprocess.run(command, capture_output=True, text=True)
        if made.returncode:
            subprocess.run(["umount", str(place)], capture_output=True)
            pytest.skip(f"nothing can be mounted by this account: {made.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.timeout(1000)
@pytest.mark.parametrize("home", ["a home", "/proc/no home"], ids=["with-a-home", "without-a-home"])
def test_an_installation_that_is_read_only_keeps_its_kernels_elsewhere(read_only: Path, tmp_path: Path, home: str) -> None:
    place = tmp_path / home if home == "a home" else Path(home)
    code = textwrap.dedent("""
        import os, sys
        from pathlib import Path
        from passerelle.compute.code_place import settle_code_place
        settle_code_place(Path(os.environ["STATE"]) / "kernels")
        from passerelle.processing.code_cache import guard_code_cache
        guard_code_cache()
        import numpy as np
        from passerelle.imaging import spectrum, kernels_bin  # refused by numba where no place is
        print(os.environ["NUMBA_CACHE_DIR"])
    """)
    own = {"PYTHONPATH": str(read_only), "HOME": str(place), "STATE": str(tmp_path / "state"), "PYTHONDONTWRITEBYTECODE": "1"}
    said = Path(python(code, XDG_CACHE_HOME="", NUMBA_CACHE_DIR="", **own).strip())
    expected = place / ".cache" / "passerelle" / "kernels" if home == "a home" else tmp_path / "state" / "kernels"
    assert said == expected and said.is_dir()
    assert said.stat().st_mode & 0o077 == 0  # what lies there is run


@pytest.mark.timeout(1000)
def test_a_rehearsal_is_done_once_for_a_program_and_a_processor(tmp_path: Path) -> None:
    code = textwrap.dedent("""
        from passerelle.compute.code_place import mark_rehearsed, rehearsed
        before = rehearsed()
        mark_rehearsed()
        print(before, rehearsed())
    """)
    own = {"NUMBA_CACHE_DIR": str(tmp_path / "kernels")}
    assert python(code, **own).split() == ["False", "True"]
    assert python(code, **own).split() == ["True", "True"]
    assert python(code, NUMBA_CPU_NAME="generic", **own).split() == ["False", "True"]
    assert len(list((tmp_path / "kernels").glob("rehearsed-*"))) == 1
