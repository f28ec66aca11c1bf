"""A raw movie and its recompressed copy are one movie; the raw one goes only when that was asked for and nothing needs it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from passerelle.core.states import MovieState
from passerelle.formats import load_stack, open_movie, write_mrc_stack
from passerelle.service.movies import process_again
from passerelle.service.recompressor import Recompressor
from passerelle.store import events
from passerelle.testing.bench import MOVIE, SIDECAR, Bench, sidecar

COPY = MOVIE.removesuffix(".mrc") + ".tif"
FRAMES = np.random.default_rng(0).poisson(1.0, (6, 64, 64)).astype(np.int8)


@pytest.fixture(params=[False, True], ids=["kept", "removed"])
def made(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Bench, bool]]:
    bench = Bench(tmp_path, recompress="deflate", recompress_remove_original=request.param)
    yield bench, request.param
    bench.parts.close()


def raw(bench: Bench) -> bytes:
    path = bench.folder.parent / "raw.mrc"
    write_mrc_stack(path, FRAMES, 0.8, "int8")
    return path.read_bytes()


def kinds(bench: Bench) -> list[str]:
    with bench.database.read() as connection:
        found = [event.kind for event in events.after(connection, 0, limit=1000)]
    return [kind for kind in found if kind in {"movie_recompressed", "original_removed"}]


def test_a_movie_is_recompressed_when_it_has_its_result_and_stays_one_movie(made: tuple[Bench, bool]) -> None:
    bench, removed = made
    bench.take(bench.whole(MOVIE, raw(bench)), bench.whole(SIDECAR, sidecar()))
    worker = Recompressor(bench.database, bench.parts.instruments)
    assert not worker.step()  # it waits for its result
    bench.work()
    told = len(bench.kinds())
    assert worker.step() and not worker.step()  # the copy is there; the original stays until the watch knows the copy whole
    assert (bench.folder / MOVIE).exists() and (bench.folder / COPY).exists()
    content = (bench.folder / COPY).read_bytes()
    bench.take(bench.growing(COPY))
    assert bench.state() is MovieState.DONE
    bench.take(bench.whole(COPY, content))
    assert bench.state() is MovieState.DONE
    assert worker.step() is removed
    assert (bench.folder / MOVIE).exists() is not removed
    if removed:
        bench.take(bench.gone(MOVIE))
    assert bench.state() is MovieState.DONE
    assert bench.kinds()[told:] == ["movie_recompressed"]  # it was not done again
    assert not worker.step()
    assert kinds(bench) == (["movie_recompressed", "original_removed"] if removed else ["movie_recompressed"])
    with open_movie(bench.folder / COPY) as copy:
        np.testing.assert_array_equal(load_stack(copy), FRAMES)


def test_done_again_a_movie_is_read_from_its_original_until_that_is_gone(made: tuple[Bench, bool]) -> None:
    bench, _ = made
    bench.take(bench.whole(MOVIE, raw(bench)), bench.whole(SIDECAR, sidecar()))
    bench.work()
    Recompressor(bench.database, bench.parts.instruments).step()
    bench.take(bench.whole(COPY, (bench.folder / COPY).read_bytes()))
    process_again(bench.database, bench.movie().id, {})
    bench.work()
    assert _read_from(bench) == bench.folder / MOVIE
    (bench.folder / MOVIE).unlink()
    bench.take(bench.gone(MOVIE))
    assert bench.state() is MovieState.DONE
    process_again(bench.database, bench.movie().id, {})
    assert _read_from(bench) == bench.folder / COPY
    bench.work()
    assert bench.state() is MovieState.DONE


def _read_from(bench: Bench) -> Path:
    with bench.database.read() as connection:
        task, _ = bench.ledger._spec(connection, bench.movie().id)
    assert task.size == Path(task.movie).stat().st_size
    return Path(task.movie)


def test_an_original_removed_by_hand_before_the_watch_knew_its_copy_keeps_its_result(made: tuple[Bench, bool]) -> None:
    bench, _ = made
    bench.take(bench.whole(MOVIE, raw(bench)), bench.whole(SIDECAR, sidecar()))
    bench.work()
    Recompressor(bench.database, bench.parts.instruments).step()
    content = (bench.folder / COPY).read_bytes()
    bench.take(bench.growing(COPY), bench.gone(MOVIE))
    assert bench.state() is MovieState.DONE
    bench.take(bench.whole(COPY, content))
    assert bench.state() is MovieState.DONE


def test_a_restarted_service_goes_on_where_it_was(made: tuple[Bench, bool]) -> None:
    bench, removed = made
    bench.take(bench.whole(MOVIE, raw(bench)), bench.whole(SIDECAR, sidecar()))
    bench.work()
    Recompressor(bench.database, bench.parts.instruments).step()
    bench.take(bench.whole(COPY, (bench.folder / COPY).read_bytes()))
    stamp = (bench.folder / COPY).stat().st_mtime_ns
    after = Recompressor(bench.database, bench.parts.instruments)
    assert after.step() and not after.step()
    assert (bench.folder / COPY).stat().st_mtime_ns == stamp
    assert (bench.folder / MOVIE).exists() is not removed
