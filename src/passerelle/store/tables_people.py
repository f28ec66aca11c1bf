"""The tables of people, zones and the audit log; a test holds these definitions against the sum of the migrations."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
)

from passerelle.store.tables import metadata

people = Table(
    "people",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(64), nullable=False),  # as it is typed to log in; never changes
    Column("full_name", Text, nullable=False, default=""),
    Column("mail", Text, nullable=False, default=""),
    Column("role", String(20), nullable=False),  # service.access.PersonRole
    Column("source", String(20), nullable=False),  # who checks the password: local, pam, ldap
    Column("state", String(20), nullable=False),
    Column("password_hash", Text),  # argon2id; of local accounts only
    Column("groups", JSON, nullable=False, default=list),  # as the source said at the latest log-in
    Column("made_at", Float, nullable=False),
    Column("seen_at", Float),  # latest log-in
    Column("password_at", Float),
    Column("must_change", Boolean, nullable=False, default=False, server_default=false()),  # somebody else chose the password
    UniqueConstraint("name"),
)

logins = Table(
    "logins",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("person_id", ForeignKey("people.id"), nullable=False),
    Column("secret_hash", String(64), nullable=False),  # the secret itself lies in the browser's cookie only
    Column("made_at", Float, nullable=False),
    Column("seen_at", Float, nullable=False),
    Column("ended_at", Float),
    Column("why_ended", String(40)),
    Column("address", String(64), nullable=False, default=""),
    Column("agent", Text, nullable=False, default=""),
    UniqueConstraint("secret_hash"),
    Index(None, "person_id", "ended_at"),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("person_id", ForeignKey("people.id"), nullable=False),
    Column("name", String(100), nullable=False),
    Column("secret_hash", String(64), nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("made_at", Float, nullable=False),
    Column("ends_at", Float, nullable=False),
    Column("used_at", Float),
    Column("revoked_at", Float),
    UniqueConstraint("secret_hash"),
    Index(None, "person_id"),
)

login_failures = Table(
    "login_failures",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("account", String(64), nullable=False),  # as it was typed, folded: there need not be such a person
    Column("address", String(64), nullable=False),
    Column("at", Float, nullable=False),
    Index(None, "account", "at"),
    Index(None, "address", "at"),
)

zones = Table(
    "zones",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(64), nullable=False),
    Column("folded_name", String(64), nullable=False),  # Windows and Samba know no difference of case
    Column("kind", String(20), nullable=False),  # zones.ZoneKind
    Column("root", Text, nullable=False),
    Column("owner", String(64), nullable=False),
    Column("readers", JSON, nullable=False),  # {"people": [...], "groups": [...]}
    Column("writers", JSON, nullable=False),
    Column("quota_bytes", BigInteger),
    Column("description", Text, nullable=False, default=""),
    Column("state", String(20), nullable=False),
    Column("made_at", Float, nullable=False),
    Column("archived_at", Float),
    UniqueConstraint("folded_name"),
    UniqueConstraint("root"),
)

zone_usage = Table(
    "zone_usage",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("zone_id", ForeignKey("zones.id"), nullable=False),
    Column("at", Float, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("files", BigInteger, nullable=False),
    Index(None, "zone_id", "at"),
)

# Rows can be added and read; the database itself refuses to change or delete them (migration 0003).
audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Float, nullable=False),
    Column("person", String(80), nullable=False),  # name of the account, or unix:NAME of the command line
    Column("through", String(20), nullable=False),  # page, token, command, service
    Column("address", String(64), nullable=False, default=""),
    Column("act", String(40), nullable=False),
    Column("subject", Text, nullable=False, default=""),
    Column("result", String(20), nullable=False),  # done, refused, failed
    Column("words", Text, nullable=False, default=""),
    Column("data", JSON, nullable=False, default=dict),
    Column("chain", String(64), nullable=False),  # digest of this row and of the chain before it
    Index(None, "subject", "id"),
    Index(None, "person", "id"),
    sqlite_autoincrement=True,
)
