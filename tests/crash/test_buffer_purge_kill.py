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
FILES = {f"g{number % 7}/d/movie {number}.tiff": random.Random(number).randbytes(1500) for number in range(3000)}


def content_of(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def gone_now(bench: BufferBench) -> int:
    return len(FILES) - sum(name.startswith("movie") for n in range(7) for name in names_in(bench.session / f"g{n}" / "d"))


def names_in(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:  # it was empty, and has gone, too
        return []


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
    rng = random.Random(7)
    kills = in_mid_way = gateways = 0
    while kills < KILLS:  # how much is gone by a kill depends on the machine: as many gateways are purged as it takes
        more, of_them = purge_with_kills(tmp_path / f"gateway {gateways}", rng, KILLS - kills)
        kills, in_mid_way, gateways = kills + more, in_mid_way + of_them, gateways + 1
    print(f"{kills} kills of {gateways} purges of {len(FILES)} files, {in_mid_way} of them after files had gone")
    assert in_mid_way >= KILLS // 3


def purge_with_kills(root: Path, rng: random.Random, most: int) -> tuple[int, int]:
    """Purge all of a gateway and kill each try of it; return how often, and how often files had gone meanwhile."""
    root.mkdir()
    bench = BufferBench(root)
    bench.fill(FILES)
    copy = bench.send("anna")
    ready = root / "ready"
    kills = in_mid_way = before = 0
    while kills < most:
        ready.unlink(missing_ok=True)
        running = subprocess.Popen([sys.executable, "-m", "passerelle.testing.buffer_bench", str(root)])
        while not ready.exists() and running.poll() is None:
            time.sleep(0.001)
        kill_at = before + rng.randint(0, 60)
        while gone_now(bench) < kill_at and running.poll() is None:
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.02))
        if running.poll() is not None:
            break  # it was done sooner
        running.send_signal(signal.SIGKILL)
        running.wait()
        kills += 1
        gone = look(bench)
        assert gone >= before
        in_mid_way += gone > before
        before = gone
    bench.purge()
    assert look(bench) == len(FILES)
    assert not [path for path in bench.folder.rglob("*") if path.name.startswith(TEMPORARY_PREFIX) or path.is_file()]
    rows = bench.rows()
    assert {row.state for row in rows} <= {PurgeState.DELETED, PurgeState.KEPT}
    deleted = [row.intent.path for row in rows if row.state is PurgeState.DELETED and row.intent.kind == "file"]
    assert len(deleted) == len(set(deleted)) == len(FILES)
    assert verify_dataset(copy).whole
    bench.buffer.recover(this_account())
    return kills, in_mid_way
