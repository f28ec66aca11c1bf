"""One door to the database: SQLite that loses no acknowledged commit, or PostgreSQL by one setting."""

from __future__ import annotations

import json
import math
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.pool import ConnectionPoolEntry

from passerelle.core.errors import (
    BadConfiguration,
    Busy,
    Conflict,
    NotFound,
    OutOfSpace,
    PasserelleError,
    StorageError,
    storage_errors,
)
from passerelle.store import migrate

_WRITES = "passerelle_writes"
_WRITER_LOCK = 0x7061737365  # any number that others are unlikely to take
BUSY_SECONDS = 10.0
_FULL = 2  # PRAGMA synchronous


class Durability(NamedTuple):
    """What keeps the state. safe: what was acknowledged is on the disk; words: by which settings."""

    version: str
    schema: str
    words: str
    safe: bool


class Database:
    """An engine with the settings that durability needs. Safe to share between threads; one process writes.

    SQLite runs with journal_mode=WAL and synchronous=FULL: NORMAL, and Python's default journal, lose acknowledged commits in
    a power cut (docs/decisions/0006). Never put the file on a network mount.
    """

    def __init__(self, url: str, *, busy_seconds: float = BUSY_SECONDS) -> None:
        self.url = _parse(url)
        self.busy_seconds = busy_seconds
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.shown = self.url.render_as_string(hide_password=True)
        self.engine = sa.create_engine(
            self.url, pool_pre_ping=not self.is_sqlite, json_serializer=_json, **_engine_options(self.is_sqlite, busy_seconds)
        )
        if self.is_sqlite:
            event.listen(self.engine, "connect", _settings_of(busy_seconds))
            event.listen(self.engine, "begin", _begin)

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Open a transaction that sees one state of the database and writes nothing.

        Raises:
            Busy: the database does not answer, or is locked.
            StorageError: it is damaged or its disk fails.
        """
        with database_errors(self.shown), self._connection() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """Open a transaction that may write; it is committed, and on the disk, when the block ends without an error.

        Raises:
            Busy: another one held the write lock for too long.
            Conflict: a constraint was violated.
            OutOfSpace: the disk is full; nothing of the block was written.
            StorageError: the database is damaged or its disk fails.
        """
        with database_errors(self.shown), self._connection(writes=True) as connection, connection.begin():
            if not self.is_sqlite:
                # one writer at a time, as in SQLite: event ids are then committed in their order, which pages rely on
                connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{int(self.busy_seconds * 1000)}ms'")
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITER_LOCK})")
            yield connection

    @contextmanager
    def _connection(self, *, writes: bool = False) -> Iterator[sa.Connection]:
        options: dict[str, Any] = {_WRITES: writes}
        if not self.is_sqlite and not writes:
            options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        with self.engine.connect().execution_options(**options) as connection:
            yield connection

    def check(self) -> None:
        """Look for damage, as far as the database can tell of itself (SQLite: quick_check).

        Raises:
            StorageError: the file is damaged; says what to do.
        """
        if not self.is_sqlite:
            with self.read() as connection:
                connection.execute(sa.text("SELECT 1"))
            return
        with self.read() as connection:
            findings = [row[0] for row in connection.exec_driver_sql("PRAGMA quick_check(5)")]
        if findings != ["ok"]:
            raise StorageError(
                f"the database is damaged: {'; '.join(findings)}.",
                advice="Stop the service, keep the file, and restore the latest copy from the `backup` folder beside it.",
                path=self.shown,
            )

    def durability(self) -> Durability:
        """Return what kind of database this is, and whether what it acknowledges survives a power cut.

        Raises:
            Busy, StorageError: it cannot be used now.
        """
        with self.read() as connection:
            schema = str(connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar())
            if self.is_sqlite:
                journal = str(connection.exec_driver_sql("PRAGMA journal_mode").scalar())
                level = int(connection.exec_driver_sql("PRAGMA synchronous").scalar() or 0)
                words = f"journal_mode={journal}, synchronous={level}"
                return Durability(f"SQLite {sqlite3.sqlite_version}", schema, words, journal == "wal" and level >= _FULL)
            version = str(connection.exec_driver_sql("SHOW server_version").scalar())
            names = ("fsync", "synchronous_commit", "full_page_writes")
            found = {name: str(connection.exec_driver_sql(f"SHOW {name}").scalar()) for name in names}
        words = ", ".join(f"{name}={value}" for name, value in found.items())
        return Durability(f"PostgreSQL {version}", schema, words, all(value != "off" for value in found.values()))

    def backup(self, target: Path) -> None:
        """Write a consistent copy of an SQLite database beside running work (VACUUM INTO, then fsync by rename)."""
        if not self.is_sqlite:
            return
        temporary = target.with_name(f".p-{target.name}")
        with storage_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary.unlink(missing_ok=True)
        with database_errors(self.shown), self.engine.connect() as connection:
            driver = connection.connection.driver_connection
            assert isinstance(driver, sqlite3.Connection)
            driver.execute("VACUUM INTO ?", (str(temporary),))
        with storage_errors(target):
            _sync(temporary)
            temporary.replace(target)
            _sync(target.parent)

    def close(self) -> None:
        """Give all connections back."""
        self.engine.dispose()


def connect(url: str, *, busy_seconds: float = BUSY_SECONDS) -> Database:
    """Open the database, make its folder, look for damage and bring its schema up to date.

    Raises:
        BadConfiguration: not a URL of SQLite or PostgreSQL, or a schema made by a newer passerelle.
        StorageError: damaged, or cannot be written.
        Busy: it does not answer, or another process holds it.
    """
    database = Database(url, busy_seconds=busy_seconds)
    try:
        if database.is_sqlite and database.url.database:
            with storage_errors(database.url.database):
                Path(database.url.database).parent.mkdir(parents=True, exist_ok=True)
        database.check()
        with database.write() as connection:
            migrate.upgrade(connection)
    except PasserelleError:
        database.close()
        raise
    return database


def _parse(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(url)
    except exc.ArgumentError as error:
        raise BadConfiguration(
            "is not the URL of a database.", advice="Use sqlite:///FILE or postgresql://USER@HOST/NAME.", path=url
        ) from error
    if parsed.get_backend_name() == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() == "sqlite" and parsed.database not in (None, "", ":memory:"):
        return parsed.set(drivername="sqlite+pysqlite")
    raise BadConfiguration(
        "names a database that passerelle does not keep its state in.",
        advice="Use sqlite:///FILE or postgresql://USER@HOST/NAME.",
        path=parsed.render_as_string(hide_password=True),
    )


def _engine_options(is_sqlite: bool, busy_seconds: float) -> dict[str, Any]:
    if is_sqlite:
        return {"connect_args": {"timeout": busy_seconds, "check_same_thread": False}, "pool_size": 16, "max_overflow": 32}
    return {"pool_size": 16, "max_overflow": 32, "connect_args": {"connect_timeout": max(1, int(busy_seconds))}}


def _json(value: Any) -> str:
    """JSON that both databases take: a number that is none (NaN, infinity) becomes null."""
    try:
        return json.dumps(value, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): _finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value


def _settings_of(busy_seconds: float) -> Any:
    def configure(connection: sqlite3.Connection, _record: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # SQLAlchemy's begin event below opens transactions, not the driver
        for pragma in (
            f"busy_timeout={int(busy_seconds * 1000)}",
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "trusted_schema=OFF",
        ):
            connection.execute(f"PRAGMA {pragma}").close()

    return configure


def _begin(connection: sa.Connection) -> None:
    # a write lock taken late, in the middle of a transaction, cannot be waited for: SQLite would fail at once
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def database_errors(shown: str) -> Iterator[None]:
    """Map SQLAlchemy's errors to ours; `shown` names the database without its password."""
    try:
        yield
    except exc.IntegrityError as error:
        raise Conflict(f"the database refused a row: {error.orig}.", path=shown) from error
    except OverflowError as error:  # SQLite's driver, of a number from a foreign address
        raise NotFound(_NO_SUCH_NUMBER) from error
    except (exc.OperationalError, exc.DatabaseError, exc.TimeoutError) as error:
        raise _ours(error, shown) from error


_NO_SUCH_NUMBER = "There is nothing with a number as large as this."
_OUT_OF_RANGE = "22003"
_BUSY_STATES = ("08", "40", "53300", "55P03", "57P")  # connection, serialisation, too many connections, lock, shut down


def _ours(error: exc.SQLAlchemyError, shown: str) -> PasserelleError:
    original = getattr(error, "orig", None)
    words = str(original if original is not None else error).strip()
    state = str(getattr(original, "sqlstate", None) or "")
    if state == _OUT_OF_RANGE:
        return NotFound(_NO_SUCH_NUMBER)
    if "database or disk is full" in words or state == "53100":
        return OutOfSpace("could not be written: the disk is full.", advice="Free space; work goes on by itself.", path=shown)
    if "locked" in words or "busy" in words or state.startswith(_BUSY_STATES) or isinstance(error, exc.TimeoutError):
        return Busy(f"is busy: {words}.", advice="It is tried again; see which other program holds it open.", path=shown)
    if "unable to open" in words or "readonly" in words or "read-only" in words:
        return StorageError(f"cannot be written: {words}.", advice="Check owner and mode of the file and its folder.", path=shown)
    if "connection" in words and isinstance(error, exc.OperationalError):
        return Busy(f"does not answer: {words}.", advice="See whether the PostgreSQL server runs.", path=shown)
    return StorageError(f"failed: {words}.", advice="Keep the file and restore the latest copy if it is damaged.", path=shown)
