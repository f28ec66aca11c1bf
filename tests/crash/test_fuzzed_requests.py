"""100,000 random requests to every route, by people of every kind: no error 500, nothing reflected, nothing told, little memory.

Each is made from a seed and its number. What breaks a rule is printed as one request, made as small as it can be; the same again:
`python -m tests.attack.run --seed SEED --first NUMBER --count 1`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
REQUESTS = int(os.environ.get("PASSERELLE_SOAK_REQUESTS", "100000"))
WEIGHED = 1500
GROWN_MIB = 64.0


def _run(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "tests.attack.run", *arguments], cwd=ROOT, stdout=subprocess.PIPE)


def _outcomes(running: list[subprocess.Popen[bytes]]) -> list[dict[str, Any]]:
    told = [process.communicate()[0] for process in running]
    assert [process.returncode for process in running] == [0] * len(running)
    return [json.loads(each) for each in told]


@pytest.mark.timeout(3600)
def test_no_request_does_what_it_should_not(capsys: pytest.CaptureFixture[str]) -> None:
    # a change is judged by the same requests as the one before; `make soak` tries others
    seed = int(os.environ.get("PASSERELLE_FUZZ_SEED", "20261129"))
    processes = min(os.cpu_count() or 1, 8)
    each = -(-REQUESTS // processes)
    running = [
        _run("--seed", str(seed), "--first", str(first), "--step", str(processes), "--count", str(each))
        for first in range(processes)
    ]
    found = _outcomes(running)
    statuses = sum((Counter(outcome["statuses"]) for outcome in found), Counter())
    requests, seconds = sum(each["requests"] for each in found), max(each["seconds"] for each in found)
    worked, slowest = sum(each["cpu_seconds"] for each in found), max(each["slowest"] for each in found)
    grown = max(each["grown_mib"] for each in found)
    with capsys.disabled():
        print(f"\n{requests:,} requests, seed {seed}: {seconds:.0f} s ({worked:.0f} s of processors), slowest {slowest:.2f} s,")
        print(f"memory grew by {grown:.0f} MiB, {dict(sorted(statuses.items()))}")
    broken = [line for outcome in found for line in outcome["broken"]]
    assert not broken, "\n".join(broken)
    assert statuses.total() >= REQUESTS
    reached = {route for outcome in found for route in outcome["reached"]}
    unreached = {route for outcome in found for route in outcome["unreached"]} - reached
    if REQUESTS >= 100_000:  # else what lies behind the first check was not attacked
        assert len(reached) > 9 * len(unreached), f"answered well to nobody: {sorted(unreached)}"
    assert grown < GROWN_MIB


@pytest.mark.timeout(900)
def test_no_request_takes_memory_because_a_header_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    (found,) = _outcomes([_run("--seed", "7", "--count", str(WEIGHED), "--weighed")])
    with capsys.disabled():
        print(f"\n{found['requests']:,} requests, the heaviest took {found['heaviest_mib']:.1f} MiB")
    assert not found["broken"], "\n".join(found["broken"])
    assert found["heaviest_mib"] > 0.01
