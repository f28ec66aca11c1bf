"""The tables. The schema in force is the sum of the migrations; a test holds these definitions against it."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# Instants are UTC seconds since 1970. Paths are text with undecodable bytes percent-escaped by store.paths.

sessions = Table(
    "sessions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("instrument", String(100), nullable=False),
    Column("root", Text, nullable=False),  # relative to the instrument's folder
    Column("name", Text, nullable=False),
    Column("program", String(40), nullable=False),
    Column("state", String(20), nullable=False),
    Column("opened_at", Float, nullable=False),
    Column("last_file_at", Float),
    Column("closed_at", Float),
    Column("expected_frames", Integer),  # learnt from sidecars and earlier movies
    Column("recipe", JSON, nullable=False),
    Column("thresholds", JSON, nullable=False),
    UniqueConstraint("instrument", "root"),
)

files = Table(
    "files",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("session_id", ForeignKey("sessions.id"), nullable=False),
    Column("path", Text, nullable=False),  # relative to the instrument's folder
    Column("role", String(30), nullable=False),
    Column("movie_key", Text),
    Column("frame", Integer),
    Column("state", String(20), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("mtime_ns", BigInteger, nullable=False),
    Column("inode", BigInteger, nullable=False),
    Column("generation", Integer, nullable=False, default=0),
    Column("seen_at", Float, nullable=False),
    Column("closed_at", Float),
    Column("whole_at", Float),
    Column("problem", Text),
    UniqueConstraint("session_id", "path"),
    Index(None, "session_id", "movie_key"),
    Index(None, "state"),
)

movies = Table(
    "movies",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("session_id", ForeignKey("sessions.id"), nullable=False),
    Column("key", Text, nullable=False),
    Column("path", Text, nullable=False),  # of the movie or of its first frame
    Column("state", String(20), nullable=False),
    Column("generation", Integer, nullable=False, default=0),
    Column("attempts", Integer, nullable=False, default=0),
    Column("not_before", Float),  # a retry waits until then
    Column("lease_until", Float),
    Column("found_at", Float, nullable=False),
    Column("acquired_at", Float),
    Column("closed_at", Float),  # last close of its file
    Column("whole_at", Float),
    Column("queued_at", Float),
    Column("started_at", Float),
    Column("finished_at", Float),
    Column("fingerprint", String(64)),
    Column("metrics", JSON, nullable=False, default=dict),
    Column("verdict", String(20)),
    Column("reasons", JSON, nullable=False, default=list),
    Column("chosen", String(20)),
    Column("error", Text),
    Column("advice", Text),
    Column("said", JSON, nullable=False, default=dict),  # source -> acquisition.metadata.Metadata as that source gave it
    Column("metadata", JSON, nullable=False, default=dict),  # acquisition.metadata.Reconciled
    Column("inputs", JSON, nullable=False, default=dict),  # gain and defect map of the present run: path and generation
    Column("recipe", JSON),  # overrules the session's for this movie alone
    Column("steps", JSON, nullable=False, default=list),  # processing.task.StepRecord
    Column("grid_square", String(100)),
    Column("foil_hole", String(100)),
    Column("interruptions", Integer, nullable=False, default=0, server_default="0"),  # in a row, by the end of the service
    UniqueConstraint("session_id", "key"),
    Index(None, "state"),
)

events = Table(
    "events",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Float, nullable=False),
    Column("kind", String(40), nullable=False),
    Column("session_id", Integer),
    Column("movie_id", Integer),
    Column("data", JSON, nullable=False, default=dict),
    Index(None, "session_id", "id"),
    Index(None, "movie_id", "id"),
    sqlite_autoincrement=True,  # an id is never given twice: pages follow the stream by it
)

alerts = Table(
    "alerts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("session_id", ForeignKey("sessions.id")),
    Column("kind", String(40), nullable=False),
    Column("level", String(20), nullable=False),
    Column("message", Text, nullable=False),
    Column("advice", Text, nullable=False, default=""),
    Column("opened_at", Float, nullable=False),
    Column("closed_at", Float),
    Column("instrument", String(100)),  # which one it is about; of an alert of a session: that session's
    Index(None, "session_id", "closed_at"),
)
