"""A movie that kills its worker each time ends, with its error in words, and takes nothing with it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from passerelle.compute import PoolExecutor
from passerelle.compute.parsl_executor import ParslExecutor
from passerelle.core.states import MovieState
from passerelle.pipeline import Executor, Policy, Runner
from passerelle.testing.bench import SESSION, Bench
from passerelle.testing.poison import REGISTRY


@pytest.mark.timeout(400)
@pytest.mark.parametrize("kind", ["pool", "parsl"])
def test_a_movie_that_kills_its_worker_each_time_is_set_aside_after_the_last_try(tmp_path: Path, kind: str) -> None:
    bench = Bench(tmp_path, program="generic")
    bench.take(bench.whole(f"{SESSION}/poison.mrc"))
    executor: Executor = (
        PoolExecutor(REGISTRY, workers=1) if kind == "pool" else ParslExecutor(REGISTRY, workers=1, folder=tmp_path / "parsl")
    )
    runner = Runner(bench.ledger, executor, bench.parts.places.outcomes, policy=Policy(max_attempts=3, retry_seconds=1.0))
    try:
        ends = time.monotonic() + 300
        while bench.state() is not MovieState.FAILED:
            assert time.monotonic() < ends, bench.movie()
            runner.step(bench.now)
            bench.now += 1.0
            time.sleep(0.05)
    finally:
        executor.close()
    assert "killed" in (bench.movie().error or "") and "It was tried 3 times" in (bench.movie().error or "")
    assert bench.kinds().count("movie_running") == 3
    bench.parts.close()
