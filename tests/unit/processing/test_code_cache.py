"""Compiled kernels are kept so that no process ever loads another signature's machine code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from numba.core.caching import IndexDataCacheFile

from passerelle.processing.code_cache import guard_code_cache

SOURCE = str(Path(__file__).resolve().parents[3] / "src")
WRITER = """
import sys
from numba.core.caching import IndexDataCacheFile
from passerelle.processing.code_cache import guard_code_cache
guard_code_cache()
folder, own = sys.argv[1:3]
print("ready", flush=True)
sys.stdin.readline()
for number in range(60):
    IndexDataCacheFile(folder, "kernel-1.py311", "source 1").save((own, number), f"code of {own} {number}")
"""


@pytest.fixture(autouse=True)
def guarded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(IndexDataCacheFile, "save", IndexDataCacheFile.save)  # put back afterwards
    guard_code_cache()


def cache(folder: Path, stamp: str = "source 1") -> Any:
    return IndexDataCacheFile(str(folder), "kernel-1.py311", stamp)


def test_what_was_saved_is_loaded_and_replaced(tmp_path: Path) -> None:
    cache(tmp_path).save("int16", "code a")
    cache(tmp_path).save("uint8", "code b")
    cache(tmp_path).save("int16", "code c")
    assert [cache(tmp_path).load(key) for key in ("int16", "uint8", "float32")] == ["code c", "code b", None]
    assert len(list(tmp_path.glob("*.nbc"))) == 2


def test_processes_that_save_at_the_same_time_lose_nothing_and_mix_up_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    writers = [
        subprocess.Popen([*command, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": SOURCE})
        for name in ("a", "b", "c")
    ]
    for each in writers:
        assert each.stdout is not None and each.stdout.readline() == "ready\n"
    for each in writers:
        assert each.stdin is not None
        each.stdin.write("go\n")
        each.stdin.flush()
    for each in writers:
        each.communicate(timeout=60)
        assert each.returncode == 0
    loaded = {(name, n): cache(tmp_path).load((name, n)) for name in "abc" for n in range(60)}
    assert loaded == {(name, n): f"code of {name} {n}" for name in "abc" for n in range(60)}


@pytest.mark.parametrize("broken", ["_save_data", "_save_index"])
def test_a_process_killed_while_it_saves_leaves_no_code_of_an_older_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    for key in ("int16", "uint8"):
        cache(tmp_path, "source 1").save(key, f"old code of {key}")
    newer = cache(tmp_path, "source 2")

    def killed(*words: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(newer, broken, killed)
    with pytest.raises(KeyboardInterrupt):
        newer.save("uint8", "new code of uint8")
    assert cache(tmp_path, "source 2").load("uint8") is None
    cache(tmp_path, "source 2").save("int16", "new code of int16")
    assert [cache(tmp_path, "source 2").load(key) for key in ("int16", "uint8")] == ["new code of int16", None]
