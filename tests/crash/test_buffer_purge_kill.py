"""A purge of the buffer, killed at random moments: nothing is ever gone without its row, and the next run goes on."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from passerelle.core.atomic import TEMPORARY_PREFIX
from passerelle.service.access import this_account
from passerelle.store.purges import PurgeState
from passerelle.testing.buffer_bench import BufferBench
from passerelle.transfer import verify_dataset

KILLS = 55
FILES = {f"g{number % 7}/d/movie {number}.tiff": random.Random(number).randbytes(1500) for number in range(5000)}


def content_of(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def gone_now(bench: BufferBench) -> int:
    return len(FILES) - sum(name.startswith("movie") for n in range(7) for name in os.listdir(bench.session / f"g{n}" / "d"))


def look(bench: BufferBench) -> int:
    """Hold the disk against the record; return how many files are gone."""
    by_path: dict[str, list] = {}
    for row in bench.rows():
        by_path.setdefault(row.intent.path, []).append(row)
    gone = 0
    for name, content in FILES.items():
        rows = by_path.get(f"s1/{name}", [])
        there = content_of(bench.session / name)
        if there is not None:
            assert there == content
            assert all(row.state is not PurgeState.DELETED for row in rows)
            continue
        aside = [content_of((bench.session / name).parent / row.intent.aside) for row in rows]
        if any(each is not None for each in aside):
            assert [each for each in aside if each is not None] == [content]
            continue
        assert {row.state for row in rows} & {PurgeState.DELETED, PurgeState.INTENDED}, f"{name} is gone without a row"
        gone += 1
    return gone


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_at_any_moment_nothing_is_gone_without_its_row(tmp_path: Path) -> None:
    bench = BufferBench(tmp_path)
    bench.fill(FILES)
    copy = bench.send("anna")
    rng = random.Random(7)
    ready = tmp_path / "ready"
    kills = in_mid_way = before = 0
    while kills < KILLS:
        ready.unlink(missing_ok=True)
        running = subprocess.Popen([sys.executable, "-m", "passerelle.testing.buffer_bench", str(tmp_path)])
        while not ready.exists() and running.poll() is None:
            time.sleep(0.001)
        kill_at = before + rng.randint(0, 120)
        while gone_now(bench) < kill_at and running.poll() is None:
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.02))
        assert running.poll() is None, "the purge ended before it could be killed: more files are needed"
        running.send_signal(signal.SIGKILL)
        running.wait()
        kills += 1
        gone = look(bench)
        assert gone >= before
        in_mid_way += gone > before
        before = gone
    print(
        f"{kills} kills, {in_mid_way} of them after files had gone; {before} of {len(FILES)} files were gone before the last run"
    )
    assert in_mid_way >= KILLS // 3
    bench.purge()
    assert look(bench) == len(FILES)
    assert not [path for path in bench.folder.rglob("*") if path.name.startswith(TEMPORARY_PREFIX) or path.is_file()]
    rows = bench.rows()
    assert {row.state for row in rows} <= {PurgeState.DELETED, PurgeState.KEPT}
    deleted = [row.intent.path for row in rows if row.state is PurgeState.DELETED and row.intent.kind == "file"]
    assert len(deleted) == len(set(deleted)) == len(FILES)
    assert verify_dataset(copy).whole
    bench.buffer.recover(this_account())
