"""What pages are shown: numbers from few queries, alerts by their rules."""

from __future__ import annotations

import io
import os
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from passerelle.compute import InlineExecutor
from passerelle.core.errors import NotFound
from passerelle.core.states import MovieState, Verdict
from passerelle.formats import write_mrc_stack
from passerelle.processing import Threshold
from passerelle.service import alerts as rules
from passerelle.service.access import this_account
from passerelle.service.alerts import DiskUse, Guard, disk_level, share_outside
from passerelle.service.export import export_star
from passerelle.service.health import health
from passerelle.service.live import Live
from passerelle.service.settings import AlertSettings
from passerelle.service.status import StatusReader, hours_until_full, percentile
from passerelle.service.wiring import dispatcher
from passerelle.store import alerts, movies, sessions
from passerelle.store.tables import movies as movies_table
from passerelle.testing.bench import SESSION, Bench
from passerelle.testing.crash_service import QUICK


def reader(bench: Bench) -> StatusReader:
    return StatusReader(bench.database, bench.parts.instruments, bench.parts.places, clock=lambda: bench.now)


def feed(bench: Bench, count: int) -> None:
    for number in range(count):
        bench.take(bench.whole(f"{SESSION}/movie_{number}.mrc", f"movie {number}".encode()))
        bench.now += 1.0


@pytest.fixture
def plain(tmp_path: Path) -> Bench:
    return Bench(tmp_path, program="generic")


def test_counters_tell_where_movies_are(plain: Bench) -> None:
    feed(plain, 4)
    plain.take(plain.growing(f"{SESSION}/movie_9.mrc"))
    plain.runner.step(plain.now)
    (view,) = reader(plain).sessions()
    counters = view.counters
    assert (counters.found, counters.waiting, counters.queued, counters.running) == (5, 1, 3, 1)
    plain.work()
    done = reader(plain).session(view.id).counters
    assert (done.done, done.accepted + done.warned + done.rejected) == (4, 4)


def test_latency_counts_what_was_taken_up_as_it_came(plain: Bench) -> None:
    feed(plain, 3)
    plain.work()
    (view,) = reader(plain).sessions()
    assert view.flow.latency_p50_seconds == pytest.approx(2.3, abs=1.0)
    assert view.flow.start_p95_seconds is not None
    assert view.flow.oldest_waiting_age_seconds is None
    plain.now += 5000.0
    Live(plain.parts, this_account()).process_session_again(view.id, {"ctf": {"box_px": 1024}})
    plain.work()
    assert reader(plain).session(view.id).flow.latency_p95_seconds is None  # done again: no latency of the microscope's


def test_a_session_without_movies_is_not_listed(plain: Bench) -> None:
    plain.take(plain.whole(f"{SESSION}/gain.mrc", b"gain"))
    assert reader(plain).sessions() == []


def test_a_movie_is_shown_with_its_history_and_its_neighbours(plain: Bench) -> None:
    feed(plain, 3)
    plain.work()
    first, middle, last = (row.id for row in reader(plain).movies(1))
    view = reader(plain).movie(middle)
    assert (view.previous_id, view.next_id) == (first, last)
    assert [event.kind for event in view.history] == ["movie_found", "movie_queued", "movie_running", "movie_done"]
    assert view.outputs == {"sum": f"{middle}/sum"}
    with pytest.raises(NotFound):
        reader(plain).output_path(middle, "../../etc/passwd")
    with pytest.raises(NotFound):
        reader(plain).movie(99)


def test_pages_follow_the_events(plain: Bench) -> None:
    feed(plain, 1)
    status = reader(plain)
    cursor = status.last_event_id()
    assert status.events_after(cursor) == []
    plain.work()
    assert [event.kind for event in status.events_after(cursor)] == ["movie_running", "movie_done"]


def test_ten_thousand_movies_are_shown_in_a_moment(plain: Bench) -> None:
    feed(plain, 1)
    row = {
        "session_id": 1,
        "path": "p",
        "state": MovieState.DONE,
        "verdict": Verdict.ACCEPT,
        "found_at": 1.0,
        "finished_at": 9.0,
        "whole_at": 2.0,
        "queued_at": 2.0,
        "metrics": {f"metric_{n}": n * 1.5 for n in range(20)},
    }
    with plain.database.write() as connection:
        connection.execute(movies_table.insert(), [row | {"key": f"k{n}"} for n in range(10_000)])
    status = reader(plain)
    began = time.process_time()
    (view,) = status.sessions()
    listed = time.process_time()
    rows = status.movies(1)
    read = time.process_time()
    latest = status.latest_movies(1, 50)
    done = time.process_time()
    assert (view.counters.done, len(rows), len(latest)) == (10_000, 10_001, 50)
    assert listed - began < 0.5
    assert read - listed < 5.0
    assert done - read < 0.3


def test_accepted_micrographs_are_exported_and_a_person_has_the_last_word(plain: Bench) -> None:
    feed(plain, 2)
    live = Live(plain.parts, this_account())
    with pytest.raises(NotFound, match="accepted"):
        live.export_star(1)
    plain.work()
    with plain.database.write() as connection:
        for movie in movies.of_session(connection, 1):
            steps = [dict(movie.steps[0]) | {"outputs": {"micrograph": "micrograph.mrc"}, "values": {"defocus_u_angstrom": 9e3}}]
            movies.change_all(connection, [(movie, {"steps": steps, "verdict": Verdict.ACCEPT})])
    live.choose(1, Verdict.REJECT)
    text = live.export_star(1).decode()
    assert "data_optics" in text and text.count("micrograph.mrc") == 1
    assert "/0000002-movie_1/micrograph.mrc" in text
    assert export_star(plain.database, plain.parts.places, 1).name == "micrographs_accepted.star"


def test_percentiles_are_of_the_nearest_rank() -> None:
    assert percentile([], 50) is None
    assert [percentile([3.0, 1.0, 2.0, 4.0], p) for p in (0, 50, 95, 100)] == [1.0, 2.0, 4.0, 4.0]


def test_a_disk_that_fills_is_foretold() -> None:
    assert hours_until_full([(0.0, 100)], 60.0, 90) is None  # too short to tell
    assert hours_until_full([(0.0, 100)], 3600.0, 90) == pytest.approx(9.0)
    assert hours_until_full([(0.0, 100)], 3600.0, 110) is None
    assert hours_until_full([(0.0, 500), (3000.0, 100)], 6600.0, 90) == pytest.approx(9.0)


@pytest.mark.parametrize(("free", "level"), [(50, None), (10, "warning"), (5, "error"), (0, "error")])
def test_full_disks_are_told(free: int, level: str | None) -> None:
    assert disk_level(DiskUse(Path("/x"), free, 100), AlertSettings()) == level
    assert disk_level(DiskUse(Path("/x"), free, 100), AlertSettings(disk_warn_percent=0, disk_error_percent=0)) is None


def test_one_outlier_is_no_alert_and_a_trend_is() -> None:
    threshold = Threshold(warn_max=6.0)
    good, bad = {"ctf_resolution_angstrom": 4.0}, {"ctf_resolution_angstrom": 8.0}
    assert share_outside("ctf_resolution_angstrom", threshold, [bad] * 24) is None
    assert share_outside("ctf_resolution_angstrom", threshold, [bad] + [good] * 24) == 1 / 25
    assert share_outside("ctf_resolution_angstrom", threshold, [bad] * 20 + [good] * 5) == 0.8


def standing(bench: Bench) -> dict[str, str]:
    with bench.database.read() as connection:
        return {alert.kind: alert.level for alert in alerts.standing(connection)}


def test_silence_and_missing_results_are_told_until_they_end(plain: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "disk_use", lambda folder: DiskUse(folder, 50, 100))
    guard = Guard(plain.database, AlertSettings(), plain.parts.places.results)
    feed(plain, 1)
    assert guard.look(plain.now)
    assert standing(plain) == {}
    plain.now += 16 * 60
    guard.look(plain.now)
    assert standing(plain) == {"no_result": "error"}
    plain.now += 10 * 60
    guard.look(plain.now)
    assert standing(plain) == {"no_result": "error", "no_new_movie": "warning"}
    plain.work()
    plain.take(plain.whole(f"{SESSION}/other.mrc"))
    plain.now += 60
    guard.look(plain.now)
    assert standing(plain) == {}


def test_a_full_disk_stops_new_work_and_only_that(plain: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    use = SimpleNamespace(free=3)
    monkeypatch.setattr(rules, "disk_use", lambda folder: DiskUse(folder, use.free, 100))
    guard = Guard(plain.database, AlertSettings(), plain.parts.places.results)
    assert guard.look(plain.now) is False
    feed(plain, 1)
    assert plain.runner.step(plain.now, start=False).started == 0
    use.free = 60
    assert guard.look(plain.now) is False  # looked at a moment ago
    assert guard.look(plain.now + 16.0) is True
    assert standing(plain) == {}


def test_a_closed_session_has_no_alerts(plain: Bench) -> None:
    feed(plain, 1)
    with plain.database.write() as connection:
        alerts.raise_(connection, "no_result", level="error", message="x", session_id=1, at=plain.now)
    Live(plain.parts, this_account()).close_session(1)
    assert standing(plain) == {}
    with plain.database.read() as connection:
        assert sessions.get(connection, 1).closed_at is not None


def test_a_copy_of_the_database_is_kept(plain: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "disk_use", lambda folder: DiskUse(folder, 50, 100))
    feed(plain, 1)
    copy = plain.parts.places.backup
    guard = Guard(plain.database, AlertSettings(), plain.parts.places.results, backup=copy)
    guard.look(plain.now)
    os.utime(copy, (1, 1))  # two that are made within one tick of the clock have one time
    plain.now += 60.0
    guard.look(plain.now)
    assert copy.stat().st_mtime == 1
    plain.now += 3600.0
    guard.look(plain.now)
    assert copy.stat().st_mtime > 1


def test_health_names_what_is_wrong(plain: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("passerelle.service.checks_machine.disk_use", lambda folder: DiskUse(folder, 50, 100))
    assert {check.name: check.well for check in health(plain.parts)} == {
        "database": True,
        "durability": True,
        "disk of results": True,
        "disk of state": True,
        "folder of krios": True,
    }
    plain.folder.rename(plain.folder.with_name("elsewhere"))
    (wrong,) = [check for check in health(plain.parts) if not check.well]
    assert (wrong.name, "not there" in wrong.words, bool(wrong.advice)) == ("folder of krios", True, True)


@pytest.mark.timeout(120)
def test_the_loop_turns_files_into_results_and_stops(tmp_path: Path) -> None:
    made = Bench(tmp_path, program="generic")
    content = io.BytesIO()
    loop = dispatcher(made.parts, executor=InlineExecutor(QUICK))
    write_mrc_stack(tmp_path / "movie.mrc", np.random.default_rng(1).poisson(3.0, (3, 64, 64)).astype(np.int16), 1.5)
    content.write((tmp_path / "movie.mrc").read_bytes())
    loop.start()
    try:
        (made.folder / "a.mrc").write_bytes(content.getvalue())
        deadline = time.monotonic() + 60
        while not [movie for movie in made.movies() if movie.state is MovieState.DONE]:
            assert loop.error is None and time.monotonic() < deadline
            time.sleep(0.02)
        assert all(check.well or check.name.startswith("disk") for check in health(made.parts, loop))
    finally:
        loop.stop()
    assert [check.name for check in health(made.parts, loop) if not check.well and not check.name.startswith("disk")] == ["work"]
    movie = made.movie()
    assert movie.started_at is not None and movie.closed_at is not None
    assert movie.started_at - movie.closed_at < 30.0
    made.parts.close()
