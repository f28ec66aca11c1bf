"""Notices, mutes with an end, how disks fill, and what was purged; alerts know their instrument."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "mutes",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("alert_id", sa.Integer(), nullable=True),
        sa.Column("session_id", sa.Integer(), nullable=True),
        sa.Column("instrument", sa.String(length=100), nullable=True),
        sa.Column("until", sa.Float(), nullable=True),
        sa.Column("person", sa.String(length=80), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("made_at", sa.Float(), nullable=False),
        sa.Column("ended_at", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["alert_id"], ["alerts.id"], name=op.f("fk_mutes_alert_id")),
        sa.ForeignKeyConstraint(["session_id"], ["sessions.id"], name=op.f("fk_mutes_session_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mutes")),
    )
    op.create_index(op.f("ix_mutes_until"), "mutes", ["until"], unique=False)
    op.create_table(
        "notices",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("cause", sa.String(length=255), nullable=False),
        sa.Column("receiver", sa.String(length=60), nullable=False),
        sa.Column("person", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("level", sa.String(length=20), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("made_at", sa.Float(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.Float(), nullable=False),
        sa.Column("ended_at", sa.Float(), nullable=True),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notices")),
        sa.UniqueConstraint("cause", "receiver", "person", name=op.f("uq_notices_cause_receiver_person")),
    )
    op.create_index(op.f("ix_notices_state_next_at"), "notices", ["state", "next_at"], unique=False)
    op.create_table(
        "fills",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("place", sa.String(length=100), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("free_bytes", sa.BigInteger(), nullable=False),
        sa.Column("total_bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fills")),
    )
    op.create_index(op.f("ix_fills_place_at"), "fills", ["place", "at"], unique=False)
    _purges()
    _alerts()


def _purges() -> None:
    op.create_table(
        "purge_lists",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("person", sa.String(length=80), nullable=False),
        sa.Column("files", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_purge_lists")),
    )
    op.create_index(op.f("ix_purge_lists_digest_at"), "purge_lists", ["digest", "at"], unique=False)
    op.create_table(
        "purged",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("instrument", sa.String(length=100), nullable=False),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("mtime_ns", sa.BigInteger(), nullable=False),
        sa.Column("aside", sa.String(length=80), nullable=False),
        sa.Column("copies", sa.JSON(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("person", sa.String(length=80), nullable=False),
        sa.Column("intended_at", sa.Float(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("ended_at", sa.Float(), nullable=True),
        sa.Column("words", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_purged")),
    )
    op.create_index(op.f("ix_purged_instrument_path"), "purged", ["instrument", "path"], unique=False)
    op.create_index(op.f("ix_purged_state"), "purged", ["state"], unique=False)
    op.create_index(op.f("ix_purged_ended_at"), "purged", ["ended_at"], unique=False)


def _alerts() -> None:
    op.add_column("alerts", sa.Column("instrument", sa.String(length=100), nullable=True))
    op.execute(
        "UPDATE alerts SET instrument = (SELECT sessions.instrument FROM sessions WHERE sessions.id = alerts.session_id) "
        "WHERE session_id IS NOT NULL"
    )
    # what was muted stays so until it is over; who did it was not kept
    op.execute(
        "INSERT INTO mutes (alert_id, person, why, made_at) "
        "SELECT id, '', '', opened_at FROM alerts WHERE muted AND closed_at IS NULL"
    )
    op.drop_column("alerts", "muted")
