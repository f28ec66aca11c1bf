"""Files come in any order, grow again, vanish and return; each movie is queued once, with all that it needs."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

import pytest

from passerelle.core.errors import Busy, Conflict, Retry
from passerelle.core.states import MovieState, SessionState
from passerelle.gateway import Returned
from passerelle.service.movies import process_again
from passerelle.service.sessions import close_session
from passerelle.store import Database, alerts, files, movies, sessions
from passerelle.testing.bench import MOVIE, SESSION, SIDECAR, Bench, sidecar


def test_a_movie_waits_for_its_sidecar(bench: Bench) -> None:
    bench.take(bench.whole(MOVIE))
    assert bench.state() is MovieState.FOUND
    bench.take(bench.whole(SIDECAR, sidecar()))
    movie = bench.movie()
    assert movie.state is MovieState.QUEUED
    assert movie.metadata["values"]["pixel_size_angstrom"] == pytest.approx(0.8)
    assert movie.metadata["sources"]["voltage_kv"] == "configuration"


def test_a_sidecar_may_come_first(bench: Bench) -> None:
    bench.take(bench.whole(SIDECAR, sidecar()))
    assert bench.movies() == []
    bench.restart()  # what was read is forgotten, and read again
    bench.take(bench.whole(MOVIE))
    assert bench.state() is MovieState.QUEUED
    assert bench.movie().metadata["values"]["dose_e_per_angstrom2"] == pytest.approx(40.0)


def test_a_sidecar_that_does_not_come_is_not_waited_for_for_ever(bench: Bench) -> None:
    bench.take(bench.whole(MOVIE))
    bench.later(29.0)
    assert bench.state() is MovieState.FOUND
    bench.restart()
    bench.later(2.0)
    assert bench.state() is MovieState.QUEUED
    assert bench.arrivals.next_look() is None


def test_a_late_sidecar_has_the_movie_done_again_only_where_it_matters(bench: Bench) -> None:
    bench.take(bench.whole(MOVIE), bench.whole(SIDECAR, sidecar()))
    bench.work()
    assert bench.state() is MovieState.DONE
    bench.take(bench.whole(SIDECAR, sidecar(stage=1e-3), generation=1))
    assert bench.state() is MovieState.DONE
    assert bench.movie().metadata["values"]["stage_x_um"] == pytest.approx(1000.0)
    bench.take(bench.whole(SIDECAR, sidecar(pixel=9e-11), generation=2))
    assert bench.state() is MovieState.QUEUED
    bench.work()
    assert bench.kinds().count("movie_done") == 2


def test_contradictions_are_kept_for_people_to_see(bench: Bench) -> None:
    bench.take(bench.whole(MOVIE), bench.whole(SIDECAR, sidecar(volt=200000)))
    (conflict,) = [each for each in bench.movie().metadata["conflicts"] if each["name"] == "voltage_kv"]
    assert conflict["said"] == {"configuration": 300.0, "sidecar": 200.0}
    assert conflict["used"] == "configuration"


def test_an_unreadable_sidecar_holds_nothing_up_and_is_told(bench: Bench) -> None:
    bench.take(bench.whole(SIDECAR, b"<MicroscopeImage><"), bench.whole(MOVIE))
    assert bench.state() is MovieState.QUEUED
    with bench.database.read() as connection:
        (alert,) = alerts.standing(connection)
    assert alert.kind == "sidecar_unreadable" and "FoilHole_11" in alert.message


def test_the_same_batch_taken_twice_changes_nothing(bench: Bench) -> None:
    batch = (bench.whole(MOVIE), bench.whole(SIDECAR, sidecar()))
    bench.take(*batch)
    before = (bench.movie(), bench.kinds())
    bench.take(*batch)
    assert (bench.movie(), bench.kinds()) == before


def test_a_movie_that_is_opened_again_loses_its_result_and_gets_another(bench: Bench) -> None:
    bench.take(bench.whole(MOVIE), bench.whole(SIDECAR, sidecar()))
    bench.work()
    first = bench.movie().fingerprint
    bench.take(bench.growing(MOVIE, generation=1))
    assert bench.state() is MovieState.FOUND
    bench.take(bench.whole(MOVIE, b"another movie", generation=1))
    bench.work()
    movie = bench.movie()
    assert (movie.state, movie.generation) == (MovieState.DONE, 1)
    assert movie.fingerprint != first


def test_a_result_made_from_what_is_no_more_is_dropped(bench: Bench) -> None:
    bench.take(bench.whole(MOVIE), bench.whole(SIDECAR, sidecar()))
    bench.runner.step(bench.now)
    assert bench.state() is MovieState.RUNNING
    bench.take(bench.whole(MOVIE, b"another movie", generation=1))
    assert bench.state() is MovieState.QUEUED
    bench.runner.step(bench.now)  # the old run ends here
    assert bench.kinds().count("movie_done") == 0
    bench.work()
    assert bench.kinds().count("movie_done") == 1
    assert (bench.movie().state, bench.movie().generation) == (MovieState.DONE, 1)


def test_a_bad_file_is_set_aside_in_words_and_taken_up_when_it_is_whole(bench: Bench) -> None:
    bench.take(bench.bad(MOVIE, "is not an MRC file"))
    assert (bench.state(), bench.movie().error) == (MovieState.FAILED, "is not an MRC file")
    bench.take(bench.whole(SIDECAR, sidecar()))
    with pytest.raises(Conflict, match="is not an MRC file"):
        process_again(bench.database, bench.movie().id, {})
    assert bench.state() is MovieState.FAILED
    bench.take(bench.whole(MOVIE))
    assert (bench.state(), bench.movie().error) == (MovieState.QUEUED, None)


def test_a_removed_movie_is_gone_until_it_returns(bench: Bench) -> None:
    bench.take(bench.whole(MOVIE), bench.whole(SIDECAR, sidecar()))
    bench.take(bench.gone(MOVIE))
    assert bench.state() is MovieState.GONE
    bench.take(bench.whole(MOVIE))
    assert bench.state() is MovieState.QUEUED
    bench.work()
    bench.take(bench.gone(MOVIE))
    assert bench.state() is MovieState.DONE  # a result stays when the raw file is cleared away


def test_a_gain_that_comes_late_has_all_movies_done_again(bench: Bench) -> None:
    bench.take(bench.whole(MOVIE), bench.whole(SIDECAR, sidecar()))
    bench.work()
    assert bench.movie().inputs == {}
    bench.take(bench.whole("s1/gain.mrc", b"gain"))
    assert bench.state() is MovieState.QUEUED
    bench.work()
    assert bench.movie().inputs == {"gain": "s1/gain.mrc#0"}
    bench.take(bench.whole("s1/gain.mrc", b"gain"))
    assert bench.state() is MovieState.DONE
    bench.take(bench.whole("s1/gain.mrc", b"other", generation=1))
    assert bench.state() is MovieState.QUEUED


def test_a_gain_that_is_being_written_is_waited_for(bench: Bench) -> None:
    bench.take(bench.growing("s1/gain.mrc"), bench.whole(SIDECAR, sidecar()), bench.whole(MOVIE))
    assert bench.state() is MovieState.FOUND
    bench.take(bench.whole("s1/gain.mrc", b"gain"))
    assert bench.state() is MovieState.QUEUED


def test_single_frames_are_stacked_when_all_are_there(tmp_path: Path) -> None:
    bench = Bench(tmp_path, program="falcon", frames_wait_seconds=20.0)
    for number in range(3):
        bench.take(bench.whole(f"s/a_Frame{number:03d}.mrc", frames=1))
    assert bench.state() is MovieState.FOUND
    bench.later(21.0)
    assert bench.state() is MovieState.QUEUED
    _, spec = bench.ledger.task(bench.ledger.startable(now=bench.now, newest=True, but_not=()))  # type: ignore[arg-type]
    assert [Path(name).name for name in spec["frames"]] == [f"a_Frame{number:03d}.mrc" for number in range(3)]
    bench.work()
    for number in range(2):
        bench.take(bench.whole(f"s/b_Frame{number:03d}.mrc", frames=1))
    second = next(movie for movie in bench.movies() if "b" in movie.key)
    assert second.state is MovieState.FOUND  # the first movie had three
    bench.take(bench.whole("s/b_Frame002.mrc", frames=1))
    assert [movie.state for movie in bench.movies() if "b" in movie.key] == [MovieState.QUEUED]
    bench.parts.close()


def test_a_missing_frame_is_never_passed_over(tmp_path: Path) -> None:
    bench = Bench(tmp_path, program="falcon")
    for number in (0, 1, 3):
        bench.take(bench.whole(f"s/a_Frame{number:03d}.mrc", frames=1))
    bench.later(3600.0)
    assert bench.state() is MovieState.FOUND
    bench.parts.close()


@pytest.mark.parametrize("name", ["a b", "ü µ", "line\nbreak", "x" * 240, os.fsdecode(b"\xff\xfe"), "%41", "a%"])
def test_hostile_names_travel_to_the_worker_and_back(name: str, tmp_path: Path) -> None:
    bench = Bench(tmp_path, program="generic")
    bench.take(bench.whole(f"s/{name}.mrc"))
    bench.work()
    movie = bench.movie()
    assert movie.state is MovieState.DONE, movie.error
    assert PurePosixPath(bench.parts.status.movie(movie.id).path).suffix == ".mrc"
    bench.parts.close()


def test_a_closed_session_opens_again_when_a_movie_comes(bench: Bench) -> None:
    bench.take(bench.whole(MOVIE))
    with bench.database.read() as connection:
        (session,) = sessions.every(connection)
    close_session(bench.database, session.id)
    bench.take(bench.whole(SIDECAR, sidecar()))
    with bench.database.read() as connection:
        assert sessions.get(connection, session.id).state is SessionState.CLOSED
    bench.take(bench.whole(f"{SESSION}/FoilHole_11_Data_12_14_20261122_101011_Fractions.mrc"))
    with bench.database.read() as connection:
        assert sessions.get(connection, session.id).state is SessionState.OPEN


def test_a_restarted_watch_is_told_what_is_known(bench: Bench) -> None:
    bench.take(
        bench.whole(MOVIE), bench.whole(SIDECAR, sidecar()), bench.growing(f"{SESSION}/FoilHole_1_Data_1_1_20261122_101010.mrc")
    )
    bench.take(bench.gone(SIDECAR))
    known = {file.path: (file.state.value, file.handed_on) for file in bench.arrivals.known("krios")}
    assert known[PurePosixPath(MOVIE)] == ("whole", True)
    assert known[PurePosixPath(SIDECAR)] == ("gone", True)
    assert sorted(known.values()) == [("gone", True), ("growing", False), ("whole", True)]


def test_a_locked_database_loses_nothing(bench: Bench) -> None:
    batch = (bench.whole(MOVIE), bench.whole(SIDECAR, sidecar()))
    other = Database(str(bench.database.url))
    bench.database.close()
    bench.arrivals.database = Database(str(bench.database.url), busy_seconds=0.1)
    with other.write(), pytest.raises(Busy) as caught:
        bench.take(*batch)
    assert caught.value.retry is Retry.LATER
    assert bench.movies() == []
    bench.take(*batch)
    assert bench.state() is MovieState.QUEUED
    bench.arrivals.database.close()
    other.close()


def test_what_an_instrument_without_processing_writes_is_recorded_and_no_movie_is_made(tmp_path: Path) -> None:
    bench = Bench(tmp_path, program="generic", processing=False)
    bench.take(bench.whole("crystal 1/0001.tif"), bench.whole("crystal 1/log.txt"))
    bench.work()
    with bench.database.read() as connection:
        (session,) = sessions.every(connection)
        assert movies.of_session(connection, session.id) == []
        assert len(list(files.known(connection, "krios"))) == 2
    bench.parts.close()


def test_an_instrument_taken_out_of_the_configuration_holds_nobody_up(bench: Bench) -> None:
    bench.take(bench.whole(MOVIE), bench.whole(SIDECAR, sidecar()))
    del bench.parts.instruments["krios"]
    bench.runner.step(bench.now)
    movie = bench.movie()
    assert movie.state is MovieState.FAILED
    assert "not in the configuration" in (movie.error or "")
    (view,) = bench.parts.status.sessions()
    assert view.counters.failed == 1


def test_a_session_whose_movies_came_with_sidecars_waits_for_the_next_ones(tmp_path: Path) -> None:
    bench = Bench(tmp_path, program="serialem")
    mdoc = b"[ZValue = 0]\nPixelSpacing = 0.85\nExposureDose = 40\nNumSubFrames = 40\n"

    def states() -> list[MovieState]:
        return [movie.state for movie in bench.movies()]

    bench.take(bench.whole("s/frames/one.tif"))
    assert states() == [MovieState.QUEUED]  # nothing is known of this session's habits
    bench.take(bench.whole("s/frames/one.tif.mdoc", mdoc))
    bench.take(bench.whole("s/frames/two.tif"))
    assert states() == [MovieState.QUEUED, MovieState.FOUND]
    bench.take(bench.whole("s/frames/two.tif.mdoc", mdoc))
    assert states() == [MovieState.QUEUED, MovieState.QUEUED]
    bench.take(bench.whole("s/frames/three.tif"))
    bench.later(31.0)
    assert states()[2] is MovieState.QUEUED
    bench.later(1.0)
    bench.take(bench.whole("s/frames/four.tif"))
    assert states()[3] is MovieState.QUEUED  # the habit has ended


def test_a_file_that_is_back_as_it_was_is_not_one_that_came(bench: Bench) -> None:
    bench.take(bench.whole(MOVIE))
    with bench.database.read() as connection:
        (before,) = sessions.every(connection)
    bench.now += 1000.0
    told = bench._told(MOVIE, None, 0)
    bench.take(bench.gone(MOVIE))
    bench.take(Returned(**told))
    with bench.database.read() as connection:
        (after,) = sessions.every(connection)
    assert after.last_file_at == before.last_file_at
