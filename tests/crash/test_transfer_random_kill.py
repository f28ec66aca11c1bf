"""The copy is killed at random moments, by a real SIGKILL, alone or with its workers: never a wrong file under its final name."""

from __future__ import annotations

import contextlib
import glob
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from passerelle.transfer import copy_dataset
from passerelle.transfer.beneath import Root
from passerelle.transfer.ledger import read_manifest
from passerelle.transfer.medium import BLOCK_BYTES

KILLS = int(os.environ.get("PASSERELLE_SOAK_KILLS", "480"))
WORKER_KILLS = KILLS // 12
_COPY = """
import sys
from pathlib import Path
from passerelle.transfer import copy_dataset
copy_dataset(Path(sys.argv[1]), Path(sys.argv[2]), processes=2)
"""


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: what a kill leaves does not depend on the medium, and runs are many."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        yield Path(name)


def made(folder: Path, small: int) -> Path:
    """Make a source of small files, some of which are not plain, one of a megabyte, one of several blocks, and a link."""
    for number in range(small):
        inside = folder / f"GridSquare {number % 3}"
        inside.mkdir(parents=True, exist_ok=True)
        (inside / f"{number}").write_bytes(os.urandom(2000 + number))
        if number % 4 == 0:
            os.setxattr(inside / f"{number}", "user.grid", b"square")
    (folder / "middling").write_bytes(os.urandom(1 << 20))
    (folder / "large").write_bytes(os.urandom(2 * BLOCK_BYTES + 100))
    (folder / "link").symlink_to("large")
    time.sleep(0.05)
    return folder


def in_child(source: Path, target: Path) -> int:
    child = os.fork()
    if child == 0:
        try:
            copy_dataset(source, target, processes=0)
        finally:
            os._exit(0)
    return child


def in_processes(source: Path, target: Path) -> int:
    return subprocess.Popen([sys.executable, "-c", _COPY, source, target], start_new_session=True).pid


def contents(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink() and ".passerelle" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def known(target: Path) -> set[str]:
    if not target.exists():
        return set()
    with Root(target) as root:
        return set(read_manifest(root).rows)


def all_ended(target: Path) -> None:
    """Wait for workers that die with their parent, a moment after it."""
    deadline = time.monotonic() + 60
    while True:
        held: list[str] = []
        for place in glob.glob("/proc/[0-9]*/fd/*"):
            with contextlib.suppress(OSError):
                held.append(os.readlink(place))
        if not any(name.startswith(str(target)) for name in held):
            return
        assert time.monotonic() < deadline, "a worker outlives its parent"
        time.sleep(0.01)


def undisturbed_seconds(start: Callable[[Path, Path], int], source: Path, target: Path) -> float:
    """Return how long a copy takes, at best: after a first one that was slow, kills would come too late."""
    taken: list[float] = []
    for _ in range(3):
        began = time.monotonic()
        os.waitpid(start(source, target), 0)
        taken.append(time.monotonic() - began)
        shutil.rmtree(target)
    return min(taken)


@pytest.mark.parametrize("workers", [False, True])
def test_killed_at_random_moments_it_leaves_nothing_wrong_and_goes_on(workers: bool, memory: Path) -> None:
    chance = random.Random(3)
    source, target = made(memory / "source", 260 if workers else 24), memory / "target"
    truth = contents(source)
    start, kills = (in_processes, WORKER_KILLS) if workers else (in_child, KILLS)
    longest = undisturbed_seconds(start, source, target)
    struck = ended = gone_on = 0
    while struck < kills:
        before = known(target)
        child = start(source, target)
        time.sleep(chance.uniform(0.3 if workers else 0, 1.1) * longest)
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if workers:
            all_ended(target)
        struck += os.waitstatus_to_exitcode(status) == -signal.SIGKILL
        verified = known(target)
        there = {name: content for name, content in contents(target).items() if not Path(name).name.startswith(".p-")}
        assert before <= verified
        assert verified - {"link"} <= there.keys()
        assert there.items() <= truth.items()
        gone_on += 0 < len(before) < len(truth)
        if len(verified) == len(truth) + 1 or chance.random() < 0.2:  # else the next one goes on from here, and is killed as well
            done = copy_dataset(source, target, processes=0)
            assert done.whole, done.problems
            assert done.unchanged >= len(verified)
            assert contents(target) == truth
            assert sorted(path.name for path in (target / ".passerelle").iterdir()) == ["lock", "manifest.jsonl"]
            ended += 1
            shutil.rmtree(target)
    print(f"\nkilled {struck} times, {gone_on} of them while it went on from another kill; {ended} ran to their end after it")
    assert ended >= kills / 20


def kill_a_worker_in_mid_way(source: Path, target: Path) -> bool:
    """Copy, and kill the first worker while a file of its has no name yet; tell whether there was such a moment."""
    child, struck = in_processes(source, target), False
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0) and not struck:
        workers = Path(f"/proc/{child}/task/{child}/children").read_text().split()
        for worker in map(int, workers[:1]):
            with contextlib.suppress(ProcessLookupError):  # it has done its work
                os.kill(worker, signal.SIGSTOP)
                struck = any(target.rglob(".p-*-0-*"))
                os.kill(worker, signal.SIGKILL if struck else signal.SIGCONT)
        time.sleep(0.002)
    _, status = os.waitpid(child, 0) if ended == (0, 0) else ended
    assert os.waitstatus_to_exitcode(status) == 0
    return struck


def test_a_worker_that_is_killed_costs_nothing_but_time(memory: Path) -> None:
    source, target = made(memory / "source", 3000), memory / "target"
    while not kill_a_worker_in_mid_way(source, target):  # on a busy machine the moment may go by unseen
        shutil.rmtree(target)
    assert contents(target) == contents(source)
    assert len(known(target)) == 3003
