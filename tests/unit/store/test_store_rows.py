"""Rows and values: what is recorded, what is news, what a move needs, on SQLite."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passerelle.core.errors import BadConfiguration, Busy, Conflict, IllegalMove, NotFound, OutOfSpace, StorageError
from passerelle.core.states import FileState, MovieState, SessionState
from passerelle.store import Database, Session, alerts, connect, events, files, movies, paths, sessions, statistics


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = connect(f"sqlite:///{tmp_path / 'state.sqlite'}", busy_seconds=0.2)
    yield made
    made.close()


@pytest.fixture
def session(database: Database) -> Session:
    with database.write() as connection:
        return sessions.create(
            connection, instrument="krios", root="s1", name="s1", program="epu", recipe={}, thresholds={}, at=1.0
        )


def seen(path: str = "s1/a.mrc", state: FileState = FileState.WHOLE, **changes: object) -> files.Seen:
    values = {
        "path": path,
        "role": "movie",
        "movie_key": "a",
        "frame": None,
        "state": state,
        "size": 10,
        "mtime_ns": 1,
        "inode": 1,
        "generation": 0,
        "at": 5.0,
        "whole_at": 5.0 if state is FileState.WHOLE else None,
    } | changes
    return files.Seen(**values)  # type: ignore[arg-type]


def kinds(database: Database) -> list[str]:
    with database.read() as connection:
        return [event.kind for event in events.after(connection, 0)]


def test_a_file_said_twice_is_recorded_once(database: Database, session: Session) -> None:
    for _ in range(2):
        with database.write() as connection:
            changes = files.record(connection, session.id, [seen()])
    assert changes == []
    assert kinds(database) == ["session_open", "file_whole"]


def test_a_file_that_grows_again_is_no_longer_known_as_whole(database: Database, session: Session) -> None:
    with database.write() as connection:
        files.record(connection, session.id, [seen()])
    with database.write() as connection:
        (change,) = files.record(connection, session.id, [seen(state=FileState.GROWING, generation=1, size=20)])
    assert change.before is not None and change.before.whole_at == 5.0
    assert (change.file.state, change.file.whole_at, change.file.generation) == (FileState.GROWING, None, 1)


def test_a_file_that_is_gone_is_found_by_its_instrument_alone(database: Database, session: Session) -> None:
    with database.write() as connection:
        files.record(connection, session.id, [seen()])
        assert files.gone(connection, "talos", ["s1/a.mrc"], at=6.0) == {}
        (changes,) = files.gone(connection, "krios", ["s1/a.mrc", "s1/unknown.mrc"], at=6.0).values()
        assert [(change.file.state, change.file.whole_at) for change in changes] == [(FileState.GONE, 5.0)]
        (known,) = files.known(connection, "krios")
    assert known.state is FileState.GONE


def test_a_thousand_files_take_one_batch(database: Database, session: Session) -> None:
    with database.write() as connection:
        changes = files.record(connection, session.id, [seen(f"s1/{n}.mrc", movie_key=str(n)) for n in range(1100)])
        assert len(changes) == 1100
        assert files.counts(connection, session.id) == {FileState.WHOLE: 1100}


def test_each_move_of_a_movie_writes_its_event(database: Database, session: Session) -> None:
    with database.write() as connection:
        movies.find_or_create(connection, session.id, {"a": "s1/a.mrc"}, at=2.0)
        movies.find_or_create(connection, session.id, {"a": "s1/a.mrc"}, at=3.0)
        movie = movies.by_key(connection, session.id, ["a"])["a"]
        movies.move_all(connection, [movies.Step(movie, MovieState.QUEUED, {"queued_at": 4.0}, {"why": "whole"})], at=4.0)
    assert kinds(database) == ["session_open", "movie_found", "movie_queued"]
    with database.read() as connection:
        (event,) = [each for each in events.of_movie(connection, movie.id) if each.kind == "movie_queued"]
        assert event.data == {"from": "found", "generation": 0, "why": "whole"}
        assert movies.get(connection, movie.id).queued_at == 4.0


def test_a_forbidden_move_changes_nothing(database: Database, session: Session) -> None:
    with database.write() as connection:
        movies.find_or_create(connection, session.id, {"a": "a"}, at=2.0)
    with pytest.raises(IllegalMove, match="found and cannot become done"), database.write() as connection:
        movie = movies.by_key(connection, session.id, ["a"])["a"]
        movies.move_all(connection, [movies.Step(movie, MovieState.DONE)], at=3.0)
    assert kinds(database) == ["session_open", "movie_found"]


def test_a_metric_that_is_no_number_comes_back_as_none_other(database: Database, session: Session) -> None:
    with database.write() as connection:
        movies.find_or_create(connection, session.id, {"a": "a"}, at=2.0)
        movie = movies.by_key(connection, session.id, ["a"])["a"]
        movies.change_all(connection, [(movie, {"metrics": {"good": 1.5, "bad": math.nan, "far": math.inf}})])
        metrics = movies.get(connection, movie.id).metrics
    assert metrics["good"] == 1.5
    assert math.isnan(metrics["bad"]) and math.isnan(metrics["far"])


def test_the_order_of_work_is_by_exposure(database: Database, session: Session) -> None:
    with database.write() as connection:
        movies.find_or_create(connection, session.id, {"a": "a", "b": "b", "c": "c"}, at=2.0)
        for key, acquired, not_before in (("a", 30.0, None), ("b", 10.0, None), ("c", 20.0, 100.0)):
            movie = movies.by_key(connection, session.id, [key])[key]
            step = movies.Step(movie, MovieState.QUEUED, {"acquired_at": acquired, "not_before": not_before})
            movies.move_all(connection, [step], at=3.0)

        def order(newest: bool, now: float) -> list[str]:
            return [movie.key for movie in movies.startable(connection, now=now, newest=newest, limit=9)]

        assert order(newest=True, now=50.0) == ["a", "b"]
        assert order(newest=False, now=50.0) == ["b", "a"]
        assert order(newest=False, now=100.0) == ["b", "c", "a"]
        assert movies.next_wake(connection, now=50.0) == 100.0


def test_totals_count_by_the_verdict_in_force(database: Database, session: Session) -> None:
    with database.write() as connection:
        movies.find_or_create(connection, session.id, {key: key for key in "abc"}, at=2.0)
        for key, verdict, chosen in (("a", "accept", None), ("b", "reject", "accept"), ("c", "reject", None)):
            movie = movies.by_key(connection, session.id, [key])[key]
            values = {"verdict": verdict, "chosen": chosen, "finished_at": 9.0}
            for target in (MovieState.QUEUED, MovieState.RUNNING, MovieState.DONE):
                movies.move_all(connection, [movies.Step(movies.get(connection, movie.id), target, values)], at=3.0)
        (total,) = statistics.totals(connection, since=5.0).values()
    assert total.count == {(MovieState.DONE, "accept"): 2, (MovieState.DONE, "reject"): 1}
    assert (total.found_lately, total.done_lately) == (0, 3)


def test_an_alert_is_open_once_and_refreshed(database: Database) -> None:
    for words in ("91 % full", "92 % full"):
        with database.write() as connection:
            alerts.raise_(connection, "disk", level="warning", message=words, at=1.0)
    with database.write() as connection:
        (alert,) = alerts.standing(connection)
        assert alert.message == "92 % full"
        alerts.clear(connection, "disk", at=2.0)
        alerts.clear(connection, "disk", at=3.0)
        assert alerts.standing(connection) == []
    assert kinds(database) == ["alert_open", "alert_closed"]


def test_a_session_is_closed_once(database: Database, session: Session) -> None:
    with database.write() as connection:
        assert sessions.change_state(connection, session.id, SessionState.CLOSED, at=9.0).closed_at == 9.0
    with pytest.raises(IllegalMove), database.write() as connection:
        sessions.change_state(connection, session.id, SessionState.CLOSED, at=10.0)
    with pytest.raises(NotFound), database.read() as connection:
        sessions.get(connection, 99)


def test_two_sessions_in_one_place_are_a_conflict(database: Database, session: Session) -> None:
    with pytest.raises(Conflict), database.write() as connection:
        sessions.create(connection, instrument="krios", root="s1", name="x", program="epu", recipe={}, thresholds={}, at=1.0)


def test_a_locked_database_is_busy_and_says_so(database: Database) -> None:
    other = Database(str(database.url), busy_seconds=0.2)
    with database.write(), pytest.raises(Busy, match="locked"), other.write():
        pass
    with database.write(), other.read() as connection:  # reading goes on
        assert events.last_id(connection) == 0
    other.close()


def test_a_full_disk_is_told_as_such(database: Database, session: Session) -> None:
    with database.engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
        with pytest.raises(OutOfSpace):
            _fill(database, connection, session)


def _fill(database: Database, connection: object, session: Session) -> None:
    from passerelle.store.database import database_errors

    with database_errors(database.shown):
        files.record(connection, session.id, [seen(f"s1/{n}.mrc") for n in range(5000)])  # type: ignore[arg-type]


def test_a_damaged_database_is_refused_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    made = connect(f"sqlite:///{path}")
    with made.write() as connection:
        session = sessions.create(connection, instrument="k", root="r", name="n", program="p", recipe={}, thresholds={}, at=1.0)
        files.record(connection, session.id, [seen(f"r/{n}.mrc") for n in range(2000)])
    with made.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    made.close()
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 8192] = b"\x5a" * 8192
    path.write_bytes(content)
    with pytest.raises(StorageError, match=r"damaged|malformed"):
        connect(f"sqlite:///{path}")


def test_settings_that_lose_no_commit_are_in_force(database: Database) -> None:
    with database.read() as connection:
        values = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert values == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_a_backup_is_a_whole_database(database: Database, session: Session, tmp_path: Path) -> None:
    database.backup(tmp_path / "backup" / "copy.sqlite")
    copy = connect(f"sqlite:///{tmp_path / 'backup' / 'copy.sqlite'}")
    with copy.read() as connection:
        assert sessions.get(connection, session.id) == session
    copy.close()
    assert [path.name for path in (tmp_path / "backup").iterdir() if path.name.startswith(".p-")] == []


@pytest.mark.parametrize("url", ["mysql://h/d", "sqlite://", "sqlite:///:memory:", "no url at all"])
def test_other_databases_are_refused(url: str) -> None:
    with pytest.raises(BadConfiguration):
        Database(url)


@given(st.binary(min_size=1, max_size=40).filter(lambda raw: b"\0" not in raw))
def test_every_path_comes_back_byte_for_byte(raw: bytes) -> None:
    import os
    from pathlib import PurePosixPath

    path = PurePosixPath(os.fsdecode(raw))
    text = paths.to_text(path)
    text.encode("utf-8")
    assert os.fsencode(paths.from_text(text)) == os.fsencode(path)


@given(st.text(max_size=20))
def test_what_is_storable_fits_every_column(text: str) -> None:
    assert "\0" not in paths.storable(text)
    paths.storable(text + "\udcff").encode("utf-8")


@pytest.mark.parametrize("number", [2**31, 2**63, 10**30])
def test_a_number_larger_than_any_column_holds_is_not_found(database: Database, number: int) -> None:
    with pytest.raises(NotFound), database.read() as connection:
        movies.get(connection, number)
    with pytest.raises(NotFound), database.read() as connection:
        sessions.get(connection, number)
