"""From the queue to a recorded result, by the real ledger and a real executor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from passerelle.compute import InlineExecutor
from passerelle.core.errors import Conflict, NotFound
from passerelle.core.states import MovieState, Verdict
from passerelle.pipeline import Policy, Runner
from passerelle.processing import Threshold
from passerelle.service.access import this_account
from passerelle.service.instruments import instrument_of
from passerelle.service.live import Live
from passerelle.service.movies import choose, process_again
from passerelle.service.sessions import process_session_again, set_thresholds
from passerelle.store import alerts, events, movies, sessions
from passerelle.testing.bench import SESSION, Bench


def feed(bench: Bench, count: int = 1) -> None:
    bench.take(*(bench.whole(f"{SESSION}/movie_{number}.mrc", f"movie {number}".encode()) for number in range(count)))


@pytest.fixture
def plain(tmp_path: Path) -> Any:
    made = Bench(tmp_path, program="generic")
    yield made
    made.parts.close()


def test_a_movie_is_processed_once_and_its_result_stands(plain: Bench) -> None:
    feed(plain)
    plain.work()
    movie = plain.movie()
    assert movie.state is MovieState.DONE
    assert movie.verdict in {Verdict.ACCEPT, Verdict.WARN}
    assert plain.kinds() == ["movie_found", "movie_queued", "movie_running", "movie_done"]
    assert plain.parts.status.output_path(movie.id, "sum").read_text()
    assert list(plain.parts.places.outcomes.iterdir()) == []


def test_a_result_on_the_disk_is_taken_after_a_restart(plain: Bench) -> None:
    feed(plain)
    plain.runner.step(plain.now)
    plain.executor.poll()  # the worker ends, and then the service is killed before it hears of it
    assert plain.state() is MovieState.RUNNING
    again = InlineExecutor("no such module: nothing may be run again")
    runner = Runner(plain.ledger, again, plain.parts.places.outcomes, policy=Policy())
    runner.reconcile(plain.now)
    assert plain.state() is MovieState.DONE
    assert list(plain.parts.places.outcomes.iterdir()) == []


def test_a_run_without_result_is_queued_again_at_no_cost(plain: Bench) -> None:
    feed(plain)
    plain.runner.step(plain.now)
    (plain.parts.places.outcomes / "movie-99-1.json").write_text("{}")  # of a run that nobody waits for
    runner = Runner(plain.ledger, InlineExecutor("unused"), plain.parts.places.outcomes, policy=Policy())
    runner.reconcile(plain.now)
    assert (plain.state(), plain.movie().attempts) == (MovieState.QUEUED, 0)
    assert list(plain.parts.places.outcomes.iterdir()) == []


def test_a_damaged_result_counts_as_none(plain: Bench) -> None:
    feed(plain)
    plain.runner.step(plain.now)
    token = plain.ledger.running()[0].token
    (plain.parts.places.outcomes / f"{token}.json").write_text('{"movie_id": 1')
    runner = Runner(plain.ledger, InlineExecutor("unused"), plain.parts.places.outcomes, policy=Policy())
    runner.reconcile(plain.now)
    assert plain.state() is MovieState.QUEUED


def outcome(plain: Bench, **error: str) -> dict[str, Any]:
    return {
        "movie_id": 1,
        "fingerprint": "f",
        "steps": [],
        "error": {"kind": "BadFile", "message": "is torn", "step": "stack", "retry": "later"} | error,
        "started_at": 1.0,
        "finished_at": 2.0,
    }


def report(plain: Bench, content: dict[str, Any]) -> None:
    """Let the present run end with this outcome."""
    plain.runner.step(plain.now)
    token = plain.ledger.running()[0].token
    plain.executor.close()  # it never runs
    (plain.parts.places.outcomes / f"{token}.json").write_text(json.dumps(content))
    plain.runner = Runner(plain.ledger, plain.executor, plain.parts.places.outcomes, policy=plain.runner.policy)
    plain.runner.reconcile(plain.now)


def test_poison_is_retried_then_set_aside_and_the_rest_goes_on(plain: Bench) -> None:
    feed(plain)
    report(plain, outcome(plain))
    movie = plain.movie()
    assert (movie.state, movie.attempts, movie.error) == (MovieState.QUEUED, 1, "is torn")
    assert movie.not_before == plain.now + 10.0
    assert plain.runner.step(plain.now).started == 0
    plain.now += 10.0
    report(plain, outcome(plain))
    movie = plain.movie()
    assert (movie.state, movie.error) == (MovieState.FAILED, "is torn. It was tried 2 times.")
    plain.take(plain.whole(f"{SESSION}/other.mrc", b"other"))
    plain.work()
    assert [each.state for each in plain.movies()] == [MovieState.FAILED, MovieState.DONE]


def test_three_failures_in_a_row_raise_an_alert_and_a_success_ends_it(plain: Bench) -> None:
    feed(plain, 3)
    for _ in range(3):
        report(plain, outcome(plain, retry="never"))
        plain.now += 1.0
    with plain.database.read() as connection:
        (alert,) = alerts.standing(connection)
    assert (alert.kind, alert.level) == ("movies_failed", "error")
    process_again(plain.database, plain.movies()[0].id, {}, at=plain.now)
    plain.work()
    with plain.database.read() as connection:
        assert alerts.standing(connection) == []


def test_no_room_for_results_is_told_and_sets_nothing_aside(plain: Bench) -> None:
    feed(plain)
    for _ in range(4):
        report(plain, outcome(plain, kind="OutOfSpace", message="no space left"))
        plain.now += 31.0
    assert (plain.state(), plain.movie().attempts) == (MovieState.QUEUED, 0)
    with plain.database.read() as connection:
        assert [alert.kind for alert in alerts.standing(connection)] == ["no_space"]
    plain.work()
    assert plain.state() is MovieState.DONE
    with plain.database.read() as connection:
        assert alerts.standing(connection) == []


def test_an_answer_that_is_no_outcome_is_an_error_in_words(plain: Bench) -> None:
    feed(plain)
    report(plain, {"surprise": True})
    assert plain.state() is MovieState.QUEUED
    assert "no result" in (plain.movie().error or "")


def test_thresholds_judge_anew_without_work(plain: Bench) -> None:
    feed(plain, 5)
    plain.work()
    (session_id,) = {movie.session_id for movie in plain.movies()}
    set_thresholds(plain.database, session_id, {"defocus_angstrom": Threshold(reject_min=1e9)}, at=plain.now)
    assert {movie.verdict for movie in plain.movies()} == {Verdict.REJECT}
    assert all("Defocus" in movie.reasons[0] for movie in plain.movies())
    assert set_thresholds(plain.database, session_id, {}, at=plain.now) == 5
    assert {movie.verdict for movie in plain.movies()} == {Verdict.ACCEPT}
    assert plain.kinds().count("movie_queued") == 5


def test_a_person_overrules_the_thresholds(plain: Bench) -> None:
    feed(plain)
    plain.work()
    choose(plain.database, plain.movie().id, Verdict.REJECT, at=plain.now)
    (view,) = plain.parts.status.sessions()
    assert (view.counters.rejected, view.counters.accepted) == (1, 0)
    choose(plain.database, plain.movie().id, None, at=plain.now)
    assert plain.movie().chosen is None


def test_again_with_other_parameters_takes_only_that_movie(plain: Bench) -> None:
    feed(plain, 2)
    plain.work()
    first, _ = plain.movies()
    process_again(plain.database, first.id, {"motion": {"patches_x": 7}}, at=plain.now)
    assert [movie.state for movie in plain.movies()] == [MovieState.QUEUED, MovieState.DONE]
    work = plain.ledger.startable(now=plain.now, newest=True, but_not=())
    assert work is not None
    _, spec = plain.ledger.task(work)
    assert (spec["movie_id"], spec["recipe"]["motion"]["patches_x"]) == (first.id, 7)


def test_a_session_done_again_queues_what_the_change_touches(plain: Bench) -> None:
    feed(plain, 3)
    plain.work()
    (session_id,) = {movie.session_id for movie in plain.movies()}
    own = plain.movies()[0]
    process_again(plain.database, own.id, {"ctf": {"box_px": 1024}}, at=plain.now)
    plain.work()
    assert process_session_again(plain.database, session_id, {}, at=plain.now) == 0
    assert process_session_again(plain.database, session_id, {"ctf": {"box_px": 1024}}, at=plain.now) == 2
    assert [movie.state for movie in plain.movies()] == [MovieState.DONE, MovieState.QUEUED, MovieState.QUEUED]
    assert plain.parts.status.session_recipe(session_id).ctf.box_px == 1024


def test_again_is_refused_in_words_where_it_cannot_be(plain: Bench) -> None:
    from passerelle.core.errors import BadConfiguration

    feed(plain)
    with pytest.raises(BadConfiguration, match="patches_y"):
        process_again(plain.database, plain.movie().id, {"motion": {"patches": 7}})
    plain.take(plain.gone(f"{SESSION}/movie_0.mrc"))
    with pytest.raises(Conflict, match="gone"):
        process_again(plain.database, plain.movie().id, {})
    with pytest.raises(NotFound):
        process_again(plain.database, 99, {})


def test_while_a_movie_runs_it_is_not_started_again(plain: Bench) -> None:
    feed(plain)
    plain.runner.step(plain.now)
    process_again(plain.database, plain.movie().id, {}, at=plain.now)
    assert plain.state() is MovieState.QUEUED
    passed = plain.runner.step(plain.now)  # the old run ends, unheard; the new one may begin
    assert (passed.ended, plain.kinds().count("movie_done")) == (1, 0)
    plain.work()
    assert plain.kinds().count("movie_done") == 1


def test_the_first_movies_check_the_gain(plain: Bench) -> None:
    plain.take(plain.whole(f"{SESSION}/gain.mrc", b"gain"))
    feed(plain, 5)
    checked = []
    with plain.database.read() as connection:
        for movie in movies.of_session(connection, plain.movies()[0].session_id):
            spec, inputs = plain.ledger._spec(connection, movie.id)
            checked.append(spec.check_gain)
            assert spec.gain == str(plain.folder / SESSION / "gain.mrc")
    assert checked == [True, True, True, False, False]
    assert inputs == {"gain": f"{SESSION}/gain.mrc#0"}


def test_every_event_has_its_place(plain: Bench) -> None:
    feed(plain, 2)
    plain.work()
    with plain.database.read() as connection:
        (session,) = sessions.every(connection)
        told = events.after(connection, 0, session_id=session.id)
    assert [event.id for event in told] == sorted({event.id for event in told})
    assert {event.session_id for event in told} == {session.id}


def test_done_again_hears_the_configuration_of_now(plain: Bench) -> None:
    feed(plain, 2)
    plain.work()
    live = Live(plain.parts, this_account())
    settings = plain.instrument.settings.model_copy(update={"pixel_size_angstrom": 0.9})
    plain.parts.instruments["krios"] = instrument_of("krios", settings)
    first, _ = plain.movies()
    live.process_again(first.id, {})
    assert [movie.metadata["values"]["pixel_size_angstrom"] for movie in plain.movies()] == [0.9, None]
    assert [movie.state for movie in plain.movies()] == [MovieState.QUEUED, MovieState.DONE]
    live.process_session_again(first.session_id, {})
    assert [movie.state for movie in plain.movies()] == [MovieState.QUEUED, MovieState.QUEUED]
