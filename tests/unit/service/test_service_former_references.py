"""A configured gain that is replaced in place: told, never mixed silently, done again when asked."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from passerelle.core.states import MovieState
from passerelle.service.access import this_account
from passerelle.service.alerts import Guard
from passerelle.service.live import Live
from passerelle.store import alerts
from passerelle.testing.bench import SESSION, Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    (tmp_path / "k3.mrc").write_bytes(b"gain of monday")
    made = Bench(tmp_path, program="generic", gain=tmp_path / "k3.mrc")
    made.take(*(made.whole(f"{SESSION}/movie_{number}.mrc") for number in range(3)))
    made.work()
    yield made
    made.parts.close()


def told(bench: Bench) -> list[str]:
    bench.now += 20.0
    parts = bench.parts
    Guard(bench.database, parts.settings.alerts, parts.places.results, instruments=parts.instruments).look(bench.now)
    with bench.database.read() as connection:
        return [alert.message for alert in alerts.standing(connection) if alert.kind == "reference_changed"]


def replace_gain(bench: Bench, content: bytes, mtime_ns: int) -> None:
    gain = bench.instrument.settings.gain
    assert gain is not None
    gain.write_bytes(content)
    os.utime(gain, ns=(mtime_ns, mtime_ns))


def test_nothing_is_told_while_the_gain_is_the_same(bench: Bench) -> None:
    assert told(bench) == []
    assert bench.parts.status.movie(1).notes == ()


def test_a_gain_replaced_in_place_is_told_with_the_number_of_movies_and_redone_when_asked(bench: Bench) -> None:
    replace_gain(bench, b"gain of tuesday", 2_000_000_000)
    (words,) = told(bench)
    assert "3 movies were made with the former one" in words
    assert "another gain" in bench.parts.status.movie(1).notes[0]
    bench.take(bench.whole(f"{SESSION}/movie_3.mrc"))
    bench.work()
    assert {movie.state for movie in bench.movies()} == {MovieState.DONE}
    assert "3 movies" in told(bench)[0]  # the new one is made with the new gain, the others were not touched

    Live(bench.parts, this_account()).process_session_again(1, {})
    assert [movie.state for movie in bench.movies()] == [MovieState.QUEUED] * 3 + [MovieState.DONE]
    bench.work()
    assert told(bench) == []
    assert bench.parts.status.movie(1).notes == ()


def test_a_finished_movie_is_not_done_again_by_itself_because_the_configuration_names_another_gain(bench: Bench) -> None:
    other = bench.folder.with_name("other.mrc")
    other.write_bytes(b"another gain")
    settings = bench.instrument.settings.model_copy(update={"gain": other})
    bench.parts.instruments["krios"] = replace(bench.instrument, settings=settings)
    bench.take(bench.whole(f"{SESSION}/movie_0.mrc"))  # it is looked at again, unchanged
    assert [movie.state for movie in bench.movies()] == [MovieState.DONE] * 3
    assert "3 movies" in told(bench)[0]


def test_a_gain_that_is_away_for_a_moment_raises_nothing(bench: Bench) -> None:
    assert bench.instrument.settings.gain is not None
    bench.instrument.settings.gain.unlink()
    assert told(bench) == []
