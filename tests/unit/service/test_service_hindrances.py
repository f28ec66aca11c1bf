"""What keeps a movie from being processed through no fault of its own costs it nothing, and is said in words."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from passerelle.core.errors import OutOfSpace, StorageError, Unreachable, storage_errors
from passerelle.core.states import MovieState
from passerelle.formats import write_mrc_stack
from passerelle.gateway import FolderChange, FolderState
from passerelle.processing import MovieTask
from passerelle.processing.movie import process_movie
from passerelle.service.dispatcher import Dispatcher
from passerelle.service.reach import Reach
from passerelle.store import alerts
from passerelle.testing.bench import SESSION, Bench

MOVIE = f"{SESSION}/movie_0.mrc"


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path, program="generic")
    yield made
    made.parts.close()


def folder_is(bench: Bench, state: FolderState, reason: str = "") -> FolderChange:
    return FolderChange(instrument="krios", state=state, reason=reason, at=bench.now)


def shared_reach(bench: Bench) -> Reach:
    bench.ledger.reach = bench.arrivals.reach
    return bench.arrivals.reach


def run_really(bench: Bench) -> None:
    """Let the next movie be processed by the real steps, and its outcome be taken."""
    bench.runner.step(bench.now)
    (work,) = bench.ledger.running()
    bench.executor.close()
    _, spec = bench.ledger.task(work)
    outcome = process_movie(MovieTask.model_validate(spec))
    (bench.parts.places.outcomes / f"{work.token}.json").write_text(json.dumps(outcome.model_dump(mode="json")))
    bench.runner._live.clear()
    bench.runner.reconcile(bench.now)


def standing(bench: Bench) -> list[str]:
    with bench.database.read() as connection:
        return [alert.kind for alert in alerts.standing(connection)]


def test_a_movie_whose_folder_is_away_waits_at_no_cost_and_says_so(plain: Bench) -> None:
    plain.take(plain.whole(MOVIE))
    away = plain.folder.rename(plain.folder.with_name("unmounted"))
    for _ in range(4):
        run_really(plain)
        plain.now += 31.0
    movie = plain.movie()
    assert (movie.state, movie.attempts) == (MovieState.QUEUED, 0)
    assert "movie_0.mrc" in (movie.error or "") and "not there" in (movie.error or "")
    away.rename(plain.folder)
    plain.work()
    assert plain.state() is MovieState.DONE


def test_nothing_is_started_of_a_folder_that_the_watch_cannot_reach(plain: Bench) -> None:
    shared_reach(plain)
    plain.take(plain.whole(MOVIE))
    plain.take(folder_is(plain, FolderState.UNREACHABLE, "It is empty, although 1 files of it are known."))
    assert plain.runner.step(plain.now).started == 0
    assert standing(plain) == ["folder_krios"]
    plain.take(folder_is(plain, FolderState.WATCHING))
    assert standing(plain) == []
    plain.work()
    assert plain.state() is MovieState.DONE


def test_a_folder_that_is_back_is_worked_on_at_once(plain: Bench) -> None:
    shared_reach(plain)
    plain.take(plain.whole(MOVIE))
    away = plain.folder.rename(plain.folder.with_name("unmounted"))
    run_really(plain)
    assert plain.movie().not_before is not None
    plain.take(folder_is(plain, FolderState.UNREACHABLE, "It cannot be read."))
    away.rename(plain.folder)
    plain.take(folder_is(plain, FolderState.WATCHING))
    assert plain.runner.step(plain.now).started == 1


def test_a_movie_that_was_really_deleted_is_said_to_be_gone_and_comes_back(plain: Bench) -> None:
    plain.take(plain.whole(MOVIE))
    (plain.folder / MOVIE).unlink()
    run_really(plain)
    plain.take(plain.gone(MOVIE))
    movie = plain.movie()
    assert (movie.state, movie.not_before) == (MovieState.GONE, None)
    assert "removed before it was processed" in (movie.error or "") and "back" in (movie.advice or "")
    plain.take(plain.whole(MOVIE, generation=1))
    assert (plain.state(), plain.movie().error) == (MovieState.QUEUED, None)


def test_a_configured_gain_that_is_away_is_waited_for_and_told(tmp_path: Path) -> None:
    bench = Bench(tmp_path, program="generic", gain=tmp_path / "gains" / "k3.mrc", pixel_size_angstrom=1.0)
    write_mrc_stack(tmp_path / "movie.mrc", np.ones((4, 64, 64), np.int16), 1.0)  # the gain is what is missing
    bench.take(bench.whole(MOVIE, (tmp_path / "movie.mrc").read_bytes()))
    for _ in range(4):
        run_really(bench)
        bench.now += 31.0
    assert (bench.state(), bench.movie().attempts) == (MovieState.QUEUED, 0)
    assert "k3.mrc" in (bench.movie().error or "")
    assert standing(bench) == ["reference_absent"]
    bench.parts.close()


def test_a_share_whose_server_is_down_is_told_apart_from_a_bad_disk(plain: Bench) -> None:
    for number, kind in ((errno.ESTALE, Unreachable), (errno.EHOSTDOWN, Unreachable), (errno.EIO, StorageError)):
        with pytest.raises(StorageError) as caught, storage_errors("/gateway/movie.mrc"):
            raise OSError(number, os.strerror(number))
        assert type(caught.value) is kind


def test_a_full_disk_holds_all_work_and_lets_one_movie_try(plain: Bench) -> None:
    plain.take(*(plain.whole(f"{SESSION}/movie_{number}.mrc") for number in range(5)))
    plain.parts.places.outcomes.rmdir()
    plain.parts.places.outcomes.write_text("in the way of every outcome")  # as a full disk: nothing can be written there
    seen: list[int] = []
    for _ in range(30):
        seen.append(plain.runner.step(plain.now).started)
        plain.now += 1.0
    assert 2 <= sum(seen) <= 5  # not one after the other as fast as it goes
    assert {(movie.state, movie.attempts) for movie in plain.movies()} <= {(MovieState.QUEUED, 0), (MovieState.RUNNING, 1)}
    assert "outcomes" in plain.runner.waits_for
    assert standing(plain) == ["no_space"]
    plain.parts.places.outcomes.unlink()
    plain.parts.places.outcomes.mkdir()
    for _ in range(60):
        plain.runner.step(plain.now)
        plain.now += 1.0
    assert {movie.state for movie in plain.movies()} == {MovieState.DONE}
    assert (plain.runner.waits_for, standing(plain)) == ("", [])


def test_a_state_that_cannot_be_written_is_told_by_the_loop_itself(plain: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    loop = Dispatcher(plain.database, plain.arrivals, plain.runner, plain.executor, watch=None, guard=None)

    def full() -> None:
        raise OutOfSpace("could not be written: the disk is full.", advice="Free space.", path="/state/passerelle.sqlite")

    monkeypatch.setattr(loop, "step", full)
    loop._thread.start()
    try:
        for _ in range(100):
            if loop.obstacles:
                break
            loop._stop.wait(0.05)
        assert "/state/passerelle.sqlite" in loop.obstacles[0] and "Free space" in loop.obstacles[0]
    finally:
        loop.stop()
