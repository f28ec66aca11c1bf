"""The state in a real PostgreSQL server: same schema, same rows, same pipeline as in SQLite."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from passerelle.core.errors import Busy, Conflict, StorageError
from passerelle.core.states import MovieState, TransferState
from passerelle.service.access import this_account
from passerelle.service.log_in import LogIns
from passerelle.service.passwords import Passwords
from passerelle.service.people import People
from passerelle.service.settings import Settings
from passerelle.service.wiring import assemble
from passerelle.store import (
    Database,
    alerts,
    audit,
    connect,
    events,
    files,
    fills,
    movies,
    mutes,
    notices,
    purges,
    sessions,
    tallies,
    transfers,
    zones,
)
from passerelle.store.fills import Fill
from passerelle.store.notices import NoticeState
from passerelle.store.purges import Intent, PurgeState
from passerelle.store.tables import metadata
from passerelle.testing.bench import SESSION, Bench
from passerelle.testing.ports import kept_port

PROGRAMS = next((path for path in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None)
USER = "postgres"


class Server:
    """A PostgreSQL server of this test run alone, on a free port of 127.0.0.1."""

    def __init__(self, folder: Path) -> None:
        assert PROGRAMS is not None
        self.folder, self.programs = folder, PROGRAMS
        shutil.chown(folder, USER)
        self._run("initdb", "-D", str(folder / "data"), "-U", "gw", "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8")
        self._keeper, self.port = kept_port()
        self.start()

    def _run(self, program: str, *arguments: str) -> None:
        account = pwd.getpwnam(USER)
        subprocess.run(
            [str(self.programs / program), *arguments],
            check=True,
            capture_output=True,
            cwd="/",
            user=account.pw_uid,
            group=account.pw_gid,
            extra_groups=[],
            timeout=400,
        )

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder} -c fsync=off"
        self._control("-l", str(self.folder / "log"), "-o", options, "start")

    def stop(self) -> None:
        self._control("-m", "fast", "stop")

    def _control(self, *words: str) -> None:
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-w", "-t", "300", *words)

    def database(self, name: str) -> str:
        with sa.create_engine(self.url("postgres"), isolation_level="AUTOCOMMIT").connect() as connection:
            connection.execute(sa.text(f'CREATE DATABASE "{name}"'))
        return f"postgresql://gw@127.0.0.1:{self.port}/{name}"

    def url(self, name: str) -> str:
        return f"postgresql+psycopg://gw@127.0.0.1:{self.port}/{name}"


def missing() -> str:
    if PROGRAMS is None:
        return "PostgreSQL's server is not installed"
    try:
        pwd.getpwnam(USER)
    except KeyError:
        return f"there is no account {USER}"
    return "" if os.getuid() == 0 else "a PostgreSQL server is started as another account, which needs root"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    if reason := missing():
        if os.environ.get("PASSERELLE_REQUIRE_ALL"):
            pytest.fail(reason)
        pytest.skip(reason)
    # not pytest's folder: another run of pytest closes that one to all accounts but root
    with tempfile.TemporaryDirectory(prefix="passerelle-postgresql-") as folder:
        Path(folder).chmod(0o711)
        (Path(folder) / "server").mkdir()
        made = Server(Path(folder) / "server")
        yield made
        made.stop()


_numbers = iter(range(1000))


@pytest.fixture
def url(server: Server) -> str:
    return server.database(f"passerelle{next(_numbers)}")


@pytest.fixture
def bench(url: str, tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path, database=url, program="generic")
    yield made
    made.parts.close()


def test_the_sum_of_the_migrations_is_the_tables(url: str) -> None:
    database = connect(url)
    with database.read() as connection:
        differences = compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata)
    database.close()
    assert differences == []


def test_movies_go_from_file_to_result(bench: Bench) -> None:
    bench.take(*(bench.whole(f"{SESSION}/movie_{n}.mrc", f"{n}".encode()) for n in range(20)))
    bench.work()
    assert {movie.state for movie in bench.movies()} == {MovieState.DONE}
    (view,) = bench.parts.status.sessions()
    assert view.counters.done == 20
    assert bench.kinds().count("movie_done") == 20


@pytest.mark.parametrize("name", ["a b", "ü µ", "line\nbreak", os.fsdecode(b"\xff\xfe"), "%41", "x" * 200])
def test_hostile_names_are_kept(name: str, bench: Bench) -> None:
    bench.take(bench.whole(f"s/{name}.mrc"))
    bench.work()
    assert bench.movie().state is MovieState.DONE
    (known,) = bench.arrivals.known("krios")
    assert str(known.path) == f"s/{name}.mrc"


def test_what_no_column_holds_is_kept_readable(url: str) -> None:
    database = connect(url)
    with database.write() as connection:
        session = sessions.create(connection, instrument="k", root="r", name="n", program="p", recipe={}, thresholds={}, at=1.0)
        movies.find_or_create(connection, session.id, {"a": "a"}, at=1.0)
        movie = movies.by_key(connection, session.id, ["a"])["a"]
        values = {"error": "NUL \x00 and \udcff", "metrics": {"x": float("nan")}, "grid_square": "q" * 300}
        movies.change_all(connection, [(movie, values)])
        found = movies.get(connection, movie.id)
    database.close()
    assert found.error == "NUL \\x00 and \\udcff"
    assert found.grid_square == "q" * 100


def test_writers_come_one_after_the_other_and_one_that_waits_too_long_is_told(url: str) -> None:
    database, other = connect(url), Database(url, busy_seconds=0.3)
    with database.write() as connection:
        events.add(connection, "first", at=1.0)
        with pytest.raises(Busy), other.write() as second:
            events.add(second, "second", at=2.0)
        with other.read() as reading:
            assert events.last_id(reading) == 0
    with other.read() as reading:
        assert [event.kind for event in events.after(reading, 0)] == ["first"]
    database.close()
    other.close()


def test_a_burst_is_recorded_in_batches(url: str) -> None:
    from passerelle.core.states import FileState

    database = connect(url)
    with database.write() as connection:
        session = sessions.create(connection, instrument="k", root="r", name="n", program="p", recipe={}, thresholds={}, at=1.0)
    seen = [
        files.Seen(
            path=f"r/{n}",
            role="movie",
            movie_key=str(n),
            frame=None,
            state=FileState.WHOLE,
            size=1,
            mtime_ns=2**62,
            inode=-1,
            generation=0,
            at=1.0,
            whole_at=1.0,
        )
        for n in range(3000)
    ]
    began = time.monotonic()
    with database.write() as connection:
        assert len(files.record(connection, session.id, seen)) == 3000
    assert time.monotonic() - began < 20
    database.close()


def test_work_goes_on_when_the_server_comes_back(server: Server, bench: Bench) -> None:
    bench.take(bench.whole(f"{SESSION}/movie.mrc"))
    server.stop()
    with pytest.raises((Busy, StorageError)):
        bench.runner.step(bench.now)
    server.start()
    bench.runner.reconcile(bench.now, sweep=False)
    bench.work()
    assert bench.movie().state is MovieState.DONE


def test_a_facility_is_assembled_on_it_by_one_setting(url: str, bench: Bench) -> None:
    again = assemble(bench.parts.settings)
    assert again.database.url.get_backend_name() == "postgresql"
    assert not (bench.parts.places.state / "passerelle.sqlite").exists()
    again.close()


@pytest.mark.parametrize("statement", ["UPDATE audit SET words = 'x'", "DELETE FROM audit", "TRUNCATE audit"])
def test_the_audit_log_is_only_ever_added_to(url: str, statement: str) -> None:
    database = connect(url)
    with database.write() as connection:
        for number in range(3):
            audit.add(connection, at=1.1, person="alice", through="page", act="try", result="done", data={"n": number, "x": 0.1})
    with pytest.raises(Conflict, match="only ever added to"), database.write() as connection:
        connection.execute(sa.text(statement))
    with database.read() as connection:
        assert len(audit.latest(connection)) == 3
        assert audit.broken_at(connection) is None
    with database.write() as connection:
        connection.execute(sa.text("ALTER TABLE audit DISABLE TRIGGER USER"))
        connection.execute(sa.text("UPDATE audit SET person = 'bob' WHERE id = 2"))
    with database.read() as connection:
        assert audit.broken_at(connection) == 2
    database.close()


def test_people_log_in_and_zones_are_kept(url: str) -> None:
    database = connect(url)
    passwords = Passwords(memory_kib=64, rounds=1)
    People(database, passwords).create(this_account(), "alice", password="thick maple orbit lantern", own=True)
    logins = LogIns(database, Settings().people, passwords, machine_groups=lambda name: frozenset())
    made = logins.log_in("alice", "thick maple orbit lantern", address="::1")
    assert logins.who(made.secret).name == "alice"
    nobody = {"people": [], "groups": []}
    with database.write() as connection:
        zone = zones.create(
            connection, name="Alice", kind="personal", root="/data/\udcff", owner="alice", readers=nobody, writers=nobody, at=1.0
        )
        zones.add_usage(connection, zone.id, zones.Usage(2.0, 1 << 50, 7))
        assert zones.usages(connection, zone.id) == [zones.Usage(2.0, 1 << 50, 7)]
        assert zones.find(connection, "ALICE") == zone
    database.close()


def test_notices_mutes_fills_and_purges_are_kept_there_too(server: Server, tmp_path: Path) -> None:
    bench = Bench(tmp_path, database=server.database("care"))
    bench.take(bench.whole(f"{SESSION}/FoilHole_1_Data_2_3_20261122_101010_Fractions.mrc"))
    bench.work()
    database = bench.database
    durable = database.durability()
    assert durable.version.startswith("PostgreSQL")
    assert not durable.safe  # this server runs with fsync=off
    with database.write() as connection:
        alerts.raise_(connection, "disk_krios", level="error", message="full", session_id=1, at=1.0)
        mutes.add(connection, instrument="krios", until=100.0, person="olaf", at=1.0)
        notices.add(connection, ["staff", "chat"], cause="a/b%_/1", kind="x", level="error", title="t", body="b", at=1.0)
        notices.ended(connection, 1, NoticeState.SENT, at=2.0)
        fills.add(connection, "krios", Fill(1.0, 10**13, 4 * 10**13), keep_seconds=10.0)
        intent = Intent("krios", "s1", "s1/a", "file", 10**13, "0" * 64, 10**18, ".p-x", [{"zone": "anna"}], "a rule", "mara")
        (row,) = purges.intend(connection, [intent], at=1.0)
        purges.end(connection, row, PurgeState.DELETED, at=2.0)
        purges.show_list(connection, "0" * 64, person="mara", files=1, size=10**13, at=3.0)
    with database.read() as connection:
        assert alerts.standing(connection, at=50.0) == []
        assert [alert.instrument for alert in alerts.standing(connection, at=150.0)] == ["krios"]
        assert notices.last_told(connection, "a/b%_/") == (1, 1.0)
        assert notices.last_told(connection, "a/bXY/") is None
        assert [each.receiver for each in notices.due(connection, at=5.0, limit=9)] == ["chat"]
        assert fills.since(connection, "krios", 0.0) == [Fill(1.0, 10**13, 4 * 10**13)]
        assert purges.bytes_since(connection, "krios", 1.0) == 10**13
        assert purges.totals(connection) == (1, 10**13)
        assert purges.of_paths(connection, "krios", ["s1/a"])["s1/a"].intent == intent
        assert purges.shown_at(connection, "0" * 64, person="mara") == 3.0
        assert tallies.movies_by_state(connection) != {}
        assert tallies.latencies(connection, (1.0, 1e6)) is not None
        assert tallies.alerts_by_level(connection) == {"error": 1}
        assert tallies.transfers_by_state(connection) == {}
        assert tallies.copied_bytes(connection) == 0
        assert tallies.latest_files(connection).keys() == {"krios"}
        assert tallies.files_by_state(connection) and tallies.oldest_waiting(connection) is not None
        assert files.close_offsets(connection, "krios", since=0.0, limit=5)
    bench.parts.close()


def test_transfers_go_their_way_and_copies_are_found(url: str) -> None:
    database = connect(url)
    with database.write() as connection:
        nobody = {"people": [], "groups": []}
        zone = zones.create(
            connection, name="home", kind="personal", root="/z", owner="anna", readers=nobody, writers=nobody, at=1.0
        )
        made = transfers.create(
            connection,
            person="anna",
            groups=["cryo"],
            through="page",
            instrument="krios",
            source="a/b",
            session_id=None,
            name="b\udcff",
            selection="squares",
            squares=["7"],
            zone_id=zone.id,
            folder="d",
            at=2.0,
        )
        transfers.change_state(connection, made.id, TransferState.RUNNING, at=3.0, progress={}, problems=[])
        transfers.note(connection, made.id, bytes=5 << 40, progress={"latest": [["x", 1]]})
    with database.read() as connection:
        assert [each.id for each in transfers.standing(connection)] == [made.id]
        assert transfers.latest(connection, limit=5, states={TransferState.RUNNING})[0].bytes == 5 << 40
        assert transfers.last_starts(connection) == {"anna": 3.0}
    with database.write() as connection:
        transfers.change_state(connection, made.id, TransferState.DONE, at=4.0, manifest_digest="ab" * 32)
    with database.read() as connection:
        (copy,) = transfers.copies_of(connection, "krios", "a/b/c")
        assert (copy.within, copy.squares, copy.whole) == ("c", ("7",), False)
    database.close()
