"""kill -9 of the service, of a worker, and of both, at random moments of 12-movie sessions: nothing is lost or done twice."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from passerelle.core.states import FileState, MovieState
from passerelle.formats import write_mrc_stack
from passerelle.service.settings import Settings
from passerelle.service.wiring import assemble
from passerelle.store import events, files, movies, sessions
from passerelle.testing.crash_service import crash_settings

SOURCE = str(Path(__file__).resolve().parents[2] / "src")
MOVIES = 12
KILLS = int(os.environ.get("PASSERELLE_KILLS", "100"))
REAL_KILLS = int(os.environ.get("PASSERELLE_REAL_KILLS", "6"))
KILLS_A_SESSION = 10


def make_movies(folder: Path, frames: int, size: int) -> list[Path]:
    """Write 12 small movies of a specimen that drifts, each its own."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for number in range(MOVIES):
        rng = np.random.default_rng(number)
        specimen = rng.random((size + 16, size + 16)) < 0.02
        stack = np.stack([rng.poisson(1.0 + 8.0 * specimen[t : t + size, 8 : 8 + size]) for t in range(frames)]).astype(np.uint8)
        path = folder / f"movie_{number:02d}.mrc"
        write_mrc_stack(path, stack.astype(np.int16), 1.5)
        made.append(path)
    return made


class Session:
    """A session at the microscope, and the service that is killed while it goes on."""

    def __init__(self, root: Path, source: list[Path], executor: str, tasks: str) -> None:
        self.state, self.folder = root / "state", root / "gateway"
        self.folder.mkdir(parents=True)
        self.state.mkdir()
        self.source, self.executor, self.tasks = source, executor, tasks
        self.service: subprocess.Popen[bytes] | None = None
        self.log = (root / "log").open("wb")
        self.settings: Settings = crash_settings(self.state, self.folder, executor)

    def write(self, seconds: float) -> threading.Thread:
        """Let the microscope write its movies over some time: some at once, some in pieces."""

        def run() -> None:
            (self.folder / "Data").mkdir(exist_ok=True)
            for number, path in enumerate(self.source):
                content = path.read_bytes()
                with (self.folder / "Data" / path.name).open("wb") as stream:
                    pieces = 1 + number % 3
                    for piece in range(pieces):
                        first, last = len(content) * piece // pieces, len(content) * (piece + 1) // pieces
                        stream.write(content[first:last])
                        stream.flush()
                        time.sleep(seconds / MOVIES / pieces)

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    def start(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            (self.state / "ready").unlink()
        command = [sys.executable, "-m", "passerelle.testing.crash_service", str(self.state), str(self.folder)]
        environment = os.environ | {"PYTHONPATH": SOURCE}
        self.service = subprocess.Popen(
            [*command, self.executor, self.tasks], env=environment, stdout=self.log, stderr=self.log, start_new_session=True
        )

    def workers(self) -> list[int]:
        """Return the ids of processes that do work now."""
        if self.executor == "parsl":
            state = str(self.state)
            commands = {process: " ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])}
            pools = [process for process, line in commands.items() if state in line and "process_worker_pool" in line]
            found = []
            for pool in pools:
                with contextlib.suppress(psutil.NoSuchProcess):  # it may end while it is asked, as all that is killed here
                    found += [child.pid for child in pool.children()]
            return found
        try:
            return list(json.loads((self.state / "ready").read_bytes()))
        except (FileNotFoundError, ValueError):
            return []

    def kill_worker(self, rng: random.Random) -> bool:
        found = self.workers()
        if not found:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(rng.choice(found), signal.SIGKILL)
            return True
        return False

    def kill_service(self) -> None:
        assert self.service is not None
        self.service.kill()
        self.service.wait()

    def ready(self, timeout_seconds: float = 120.0) -> None:
        deadline = time.monotonic() + timeout_seconds
        while not (self.state / "ready").exists():
            assert self.service is not None and self.service.poll() is None, f"the service ended: {self.last_words()}"
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def finish(self, timeout_seconds: float = 300.0) -> None:
        """Wait until every movie has its result, then end the service as a crash would, too."""
        deadline = time.monotonic() + timeout_seconds
        parts = assemble(self.settings)
        while True:
            with parts.database.read() as connection:
                done = movies.count_states(connection).get(MovieState.DONE, 0)
            if done == MOVIES:
                break
            assert self.service is not None and self.service.poll() is None, f"the service ended: {self.last_words()}"
            assert time.monotonic() < deadline, f"only {done} of {MOVIES} were done: {self.last_words()}"
            time.sleep(0.05)
        parts.close()
        time.sleep(0.3)  # would it do one again, it would begin now
        self.kill_service()
        self.log.close()

    def last_words(self) -> str:
        return Path(self.log.name).read_text(errors="replace")[-3000:]

    def results(self) -> dict[str, Any]:
        """Return what stands at the end, without what differs from run to run (times, numbers of rows)."""
        parts = assemble(self.settings)
        with parts.database.read() as connection:
            (session,) = sessions.every(connection)
            made = {}
            for movie in movies.of_session(connection, session.id):
                told = Counter(event.kind for event in events.of_movie(connection, movie.id, limit=10_000))
                outputs = sorted(
                    path.relative_to(parts.places.movie_folder(session, movie)).as_posix()
                    for path in parts.places.movie_folder(session, movie).rglob("*")
                    if not path.name.startswith(".p-")
                )
                made[movie.key] = {
                    "state": movie.state,
                    "done": told["movie_done"],
                    "found": told["movie_found"],
                    "metrics": {n: v for n, v in movie.metrics.items() if n != "processing_seconds"},
                    "verdict": movie.verdict,
                    "generation": movie.generation,
                    "outputs": outputs,
                }
            whole = [file for file in files.known(connection, "krios") if file.state is FileState.WHOLE]
            arrived = Counter(e.data["path"] for e in events.after(connection, 0, limit=10**6) if e.kind == "file_whole")
        parts.close()
        assert len(whole) == MOVIES
        assert set(arrived.values()) == {1}, arrived
        return made


def differences(found: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    """Return in words what differs: nothing may."""
    told = [f"{key} is there only once" for key in found.keys() ^ expected.keys()]
    for key in found.keys() & expected.keys():
        is_now, was = ({**each[key], **each[key]["metrics"], "metrics": None} for each in (found, expected))
        for field in is_now.keys() | was.keys():
            if is_now.get(field) != was.get(field):
                told.append(f"{key} {field}: {is_now.get(field)} instead of {was.get(field)}")
    return told


def uninterrupted(root: Path, source: list[Path], executor: str, tasks: str) -> dict[str, Any]:
    session = Session(root, source, executor, tasks)
    session.start()
    session.write(0.5).join()
    session.finish()
    made = session.results()
    assert len(made) == MOVIES
    assert all(movie["done"] == movie["found"] == 1 and movie["state"] is MovieState.DONE for movie in made.values())
    return made


def interrupted(root: Path, source: list[Path], executor: str, tasks: str, kills: int, rng: random.Random) -> dict[str, Any]:
    session = Session(root, source, executor, tasks)
    writing = session.write(kills * 0.5)
    session.start()
    killed = 0
    while killed < kills:
        kind = rng.choice(["service", "worker", "both"])
        if kind == "service" and rng.random() < 0.3:
            time.sleep(rng.uniform(0.0, 1.0))  # while it starts
        else:
            session.ready()
            time.sleep(rng.uniform(0.0, 0.4))
        if kind != "service" and not session.kill_worker(rng):
            continue
        if kind != "worker":
            session.kill_service()
            session.start()
        killed += 1
    writing.join()
    session.ready()
    session.finish()
    return session.results()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_results_are_those_of_an_uninterrupted_run_after_a_hundred_kills(tmp_path: Path) -> None:
    rng = random.Random(20261123)
    source = make_movies(tmp_path / "source", frames=3, size=64)
    expected = uninterrupted(tmp_path / "calm", source, "processes", "quick")
    for number in range(-(-KILLS // KILLS_A_SESSION)):
        root = tmp_path / f"storm{number}"
        found = interrupted(root, source, "processes", "quick", KILLS_A_SESSION, rng)
        assert differences(found, expected) == [], f"session {number}"


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("executor", ["processes", "parsl"])
def test_real_processing_survives_kills(executor: str, tmp_path: Path) -> None:
    rng = random.Random(7)
    source = make_movies(tmp_path / "source", frames=6, size=256)
    expected = uninterrupted(tmp_path / "calm", source, executor, "real")
    for first in range(0, REAL_KILLS, KILLS_A_SESSION):
        kills = min(KILLS_A_SESSION, REAL_KILLS - first)
        found = interrupted(tmp_path / f"storm{first}", source, executor, "real", kills, rng)
        assert differences(found, expected) == [], f"after {first} kills"
