"""The tables of notices, mutes, disk fill and purges; a test holds these definitions against the sum of the migrations."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, Float, ForeignKey, Index, Integer, String, Table, Text, UniqueConstraint

from passerelle.store.tables import metadata

mutes = Table(
    "mutes",
    metadata,
    Column("id", Integer, primary_key=True),
    # what is quiet: one alert, a session, an instrument; the whole facility where none of them is named
    Column("alert_id", ForeignKey("alerts.id")),
    Column("session_id", ForeignKey("sessions.id")),
    Column("instrument", String(100)),
    Column("until", Float),  # without it: until the alert is over
    Column("person", String(80), nullable=False),
    Column("why", Text, nullable=False, default=""),
    Column("made_at", Float, nullable=False),
    Column("ended_at", Float),  # taken back before its time
    Index(None, "until"),
)

# The outbox: one row a notice and receiver. Receivers are known by their names; their addresses lie in a file of their own.
notices = Table(
    "notices",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("cause", String(255), nullable=False),  # one notice a cause and receiver
    Column("receiver", String(60), nullable=False),
    Column("person", String(64), nullable=False, default=""),  # whose address is meant, where the receiver writes to people
    Column("kind", String(40), nullable=False),
    Column("level", String(20), nullable=False),
    Column("title", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("state", String(20), nullable=False),
    Column("made_at", Float, nullable=False),
    Column("tries", Integer, nullable=False, default=0),
    Column("next_at", Float, nullable=False),
    Column("ended_at", Float),
    Column("problem", Text, nullable=False, default=""),
    UniqueConstraint("cause", "receiver", "person"),
    Index(None, "state", "next_at"),
)

fills = Table(
    "fills",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("place", String(100), nullable=False),  # name of the instrument whose folder lies on that disk
    Column("at", Float, nullable=False),
    Column("free_bytes", BigInteger, nullable=False),
    Column("total_bytes", BigInteger, nullable=False),
    Index(None, "place", "at"),
)

# Dry runs of a purge that a person was shown: what was not shown is not deleted.
purge_lists = Table(
    "purge_lists",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("at", Float, nullable=False),
    Column("person", String(80), nullable=False),
    Column("files", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Index(None, "digest", "at"),
)

# A row is written, and on the disk, before its file is deleted; how it ended is written after.
purged = Table(
    "purged",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("instrument", String(100), nullable=False),
    Column("dataset", Text, nullable=False),  # relative to the instrument's folder, as is `path`
    Column("path", Text, nullable=False),
    Column("kind", String(20), nullable=False),  # file, link, folder
    Column("size", BigInteger, nullable=False),
    Column("digest", String(64), nullable=False, default=""),  # BLAKE3, as read from the medium just before
    Column("mtime_ns", BigInteger, nullable=False),
    Column("aside", String(80), nullable=False),  # the name that the file bears between the last look and its end
    Column("copies", JSON, nullable=False),  # where its verified copies lie
    Column("rule", Text, nullable=False),
    Column("person", String(80), nullable=False),
    Column("intended_at", Float, nullable=False),
    Column("state", String(20), nullable=False),
    Column("ended_at", Float),
    Column("words", Text, nullable=False, default=""),
    Index(None, "instrument", "path"),
    Index(None, "state"),
    Index(None, "ended_at"),
)
