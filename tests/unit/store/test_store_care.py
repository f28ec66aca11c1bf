"""What the sixth migration makes of alerts that were muted for ever; and the outbox, which sends nothing twice."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command

from passerelle.store import Database, alerts, connect, mutes, notices
from passerelle.store.migrate import _config
from passerelle.store.notices import NoticeState


def test_what_was_muted_stays_muted_until_it_is_over(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'state.sqlite'}"
    before = Database(url)
    with before.write() as connection:
        command.upgrade(_config(connection), "0005")
        connection.execute(
            sa.text(
                "INSERT INTO sessions (id, instrument, root, name, program, state, opened_at, recipe, thresholds) "
                "VALUES (1, 'krios', 'r', 'n', 'epu', 'open', 1.0, '{}', '{}')"
            )
        )
        for number, (session, closed, muted) in enumerate([("1", "NULL", 1), ("NULL", "NULL", 0), ("NULL", "5.0", 1)], 1):
            connection.execute(
                sa.text(
                    "INSERT INTO alerts (id, session_id, kind, level, message, advice, opened_at, closed_at, muted) "
                    f"VALUES ({number}, {session}, 'k{number}', 'error', 'm', '', 2.0, {closed}, {muted})"
                )
            )
    before.close()
    after = connect(url)
    with after.read() as connection:
        assert [alert.id for alert in alerts.standing(connection, at=1e9)] == [2]
        found = {alert.id: alert for alert in alerts.standing(connection, muted=True)}
        assert {number: alert.instrument for number, alert in found.items()} == {1: "krios", 2: None}
        assert [mute.alert_id for mute in mutes.standing(connection, at=1e9)] == [1]
    after.close()


def test_the_outbox_has_one_row_a_cause_and_receiver(database: Database) -> None:
    words = {"kind": "x", "level": "error", "title": "t \ud800 \x00", "body": "b", "at": 1.0}
    with database.write() as connection:
        assert notices.add(connection, ["a", "b", "a"], cause="c", **words) == 2
        assert notices.add(connection, ["b", "c"], cause="c", **words) == 1
        assert notices.add(connection, ["a"], cause="c", person="anna", **words) == 1
        notices.later(connection, 1, problem="no", next_at=50.0)
        notices.ended(connection, 2, NoticeState.GIVEN_UP, problem="never", at=60.0)
    with database.read() as connection:
        assert [each.id for each in notices.due(connection, at=10.0, limit=9)] == [3, 4]
        assert [each.id for each in notices.due(connection, at=50.0, limit=9)] == [3, 4, 1]
        assert [each.id for each in notices.troubled(connection, since=0.0)] == [1, 2]
        assert [each.id for each in notices.troubled(connection, since=61.0)] == [1]
        assert notices.counts(connection) == {NoticeState.WAITING: 3, NoticeState.GIVEN_UP: 1}
    with database.write() as connection:
        notices.clear_before(connection, 61.0)
        assert len(notices.latest(connection, limit=9)) == 3
