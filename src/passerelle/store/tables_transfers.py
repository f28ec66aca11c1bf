"""The table of transfers; a test holds this definition against the sum of the migrations."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Boolean, Column, Float, ForeignKey, Index, Integer, String, Table, Text

from passerelle.store.tables import metadata

transfers = Table(
    "transfers",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("person", String(80), nullable=False),
    Column("groups", JSON, nullable=False, default=list),  # of the person, when the transfer was asked for
    Column("through", String(20), nullable=False),  # page, token, command
    Column("made_at", Float, nullable=False),
    Column("started_at", Float),  # for the first time
    Column("begun_at", Float),  # the latest attempt
    Column("ended_at", Float),
    Column("not_before", Float),  # a transfer that must wait for another starts no earlier
    Column("instrument", String(100), nullable=False),
    Column("source", Text, nullable=False),  # relative to the instrument's folder; "" is all of it
    Column("session_id", ForeignKey("sessions.id")),
    Column("name", Text, nullable=False),  # of the dataset, as people know it
    Column("selection", String(20), nullable=False),  # whole, accepted, squares
    Column("squares", JSON, nullable=False, default=list),
    Column("follow", Boolean, nullable=False, default=False),
    Column("zone_id", ForeignKey("zones.id"), nullable=False),
    Column("folder", Text, nullable=False),  # relative to the zone's root
    Column("state", String(20), nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("files", BigInteger, nullable=False, default=0),  # verified in the target
    Column("bytes", BigInteger, nullable=False, default=0),
    Column("known_files", BigInteger, nullable=False, default=0),
    Column("known_bytes", BigInteger, nullable=False, default=0),
    Column("moved_bytes", BigInteger, nullable=False, default=0),  # copied by all attempts, without what was there already
    Column("seconds", Float, nullable=False, default=0.0),  # that all attempts took
    Column("problem_count", Integer, nullable=False, default=0),
    Column("problems", JSON, nullable=False, default=list),  # the first of them: {"path", "error", "message", "advice"}
    Column("note_count", Integer, nullable=False, default=0),
    Column("notes", JSON, nullable=False, default=list),  # the first of them: {"path", "note"}
    Column("progress", JSON, nullable=False, default=dict),  # of the latest attempt
    Column("manifest_digest", String(64)),  # BLAKE3
    Column("error", Text),
    Column("advice", Text),
    Index(None, "state"),
    Index(None, "instrument", "source"),
    Index(None, "person", "id"),
    Index(None, "zone_id"),
)
