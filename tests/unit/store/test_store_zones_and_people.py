"""Zones, people, tokens, failed log-ins and the audit log as rows, on SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from passerelle.core.errors import Conflict, IllegalMove, NotFound, PasserelleError
from passerelle.core.states import PersonState, ZoneState
from passerelle.store import Database, audit, connect, events, people, tokens, zones
from passerelle.store.zones import Usage

NOBODY = {"people": [], "groups": []}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    made = connect(f"sqlite:///{tmp_path_factory.mktemp('rows') / 'state.sqlite'}", busy_seconds=0.2)
    yield made
    made.close()


def zone(database: Database, name: str = "Alice", root: str = "/data/alice", **changes: object) -> zones.ZoneRow:
    values = {"kind": "personal", "owner": "alice", "readers": {"people": ["bob"], "groups": ["cryo"]}, "writers": NOBODY}
    with database.write() as connection:
        return zones.create(connection, name=name, root=root, at=1.0, **(values | changes))  # type: ignore[arg-type]


def test_a_zone_is_found_in_any_case_and_its_name_is_kept(database: Database) -> None:
    made = zone(database)
    with database.read() as connection:
        assert zones.find(connection, "aLICE") == made
        assert zones.every(connection) == [made]
        assert [event.kind for event in events.after(connection, 0)] == ["zone_made"]
    assert made.readers == {"people": ["bob"], "groups": ["cryo"]}
    assert made.state is ZoneState.ACTIVE


@pytest.mark.parametrize(("name", "root"), [("ALICE", "/data/other"), ("other", "/data/alice")])
def test_two_zones_share_neither_name_nor_root(database: Database, name: str, root: str) -> None:
    zone(database)
    with pytest.raises(Conflict, match="Alice"):
        zone(database, name, root)


def test_a_zone_is_archived_once_and_made_active_again(database: Database) -> None:
    zone(database)
    with database.write() as connection:
        assert zones.change_state(connection, "alice", ZoneState.ARCHIVED, at=5.0).archived_at == 5.0
        with pytest.raises(IllegalMove):
            zones.change_state(connection, "alice", ZoneState.ARCHIVED, at=6.0)
        assert zones.change_state(connection, "alice", ZoneState.ACTIVE, at=7.0).archived_at is None


def test_usage_is_kept_where_it_changes(database: Database) -> None:
    made = zone(database)
    with database.write() as connection:
        for at, size in ((1.0, 10), (2.0, 10), (3.0, 10), (4.0, 10), (5.0, 20)):
            zones.add_usage(connection, made.id, Usage(at, size, 1))
        assert zones.usages(connection, made.id) == [Usage(5.0, 20, 1), Usage(4.0, 10, 1), Usage(1.0, 10, 1)]


def test_an_account_never_shows_its_password_hash(database: Database) -> None:
    with database.write() as connection:
        person = people.create(connection, name="alice", role="user", source="local", password_hash="$argon2id$x", at=1.0)
        with pytest.raises(Conflict):
            people.create(connection, name="alice", role="user", source="local", at=1.0)
        with pytest.raises(NotFound):
            people.get(connection, "bob")
        assert people.change_state(connection, "alice", PersonState.DISABLED).state is PersonState.DISABLED
    assert person.password_hash == "$argon2id$x"
    assert "argon2" not in repr(person)


def test_log_ins_end_all_but_the_one_in_use(database: Database) -> None:
    with database.write() as connection:
        person = people.create(connection, name="alice", role="user", source="local", at=1.0)
        kept, *_ = [people.open_login(connection, person.id, f"h{n}", address="::1", agent="x" * 500, at=n) for n in range(4)]
        assert people.end_logins(connection, "password changed", at=9.0, person_id=person.id, keep=kept.id) == 3
        assert [login.id for login in people.open_logins(connection, person.id)] == [kept.id]
        ended = people.login_of(connection, "h3")
        assert ended is not None
        assert (ended.ended_at, ended.why_ended, len(ended.agent)) == (9.0, "password changed", 300)


def test_failures_are_counted_by_account_and_by_address_since_an_instant(database: Database) -> None:
    with database.write() as connection:
        for at, account, address in ((1.0, "Alice", "a"), (2.0, "alice", "b"), (3.0, "bob", "b")):
            people.add_failure(connection, account=account, address=address, at=at)
        assert people.failures(connection, since=0.0, account="ALICE") == (2, 2.0)
        assert people.failures(connection, since=1.5, address="b") == (2, 3.0)
        people.forget_failures(connection, account="alice")
        assert people.failures(connection, since=0.0) == (1, 3.0)
        assert people.failures(connection, since=9.0) == (0, 0.0)


def test_a_token_is_found_by_its_digest_and_revoked_once(database: Database) -> None:
    with database.write() as connection:
        person = people.create(connection, name="alice", role="user", source="local", at=1.0)
        made = tokens.create(connection, person.id, name="beamline", secret_hash="h", scopes=["read"], at=1.0, ends_at=2.0)
        assert tokens.by_hash(connection, "h") == made
        assert tokens.by_hash(connection, "H") is None
        assert tokens.revoke(connection, at=3.0, token_id=made.id) == 1
        assert tokens.revoke(connection, at=4.0, person_id=person.id) == 0
        assert tokens.get(connection, made.id).revoked_at == 3.0


def act(database: Database, **changes: object) -> None:
    values = {"at": 1.5, "person": "alice", "through": "page", "act": "zone_change", "result": "done"} | changes
    with database.write() as connection:
        audit.add(connection, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize("statement", ["UPDATE audit SET words = 'x'", "DELETE FROM audit", "DELETE FROM audit WHERE id = 1"])
def test_the_database_refuses_to_change_the_audit_log(database: Database, statement: str) -> None:
    act(database)
    with pytest.raises(PasserelleError, match="only ever added to"), database.write() as connection:
        connection.execute(sa.text(statement))
    with database.read() as connection:
        assert [entry.act for entry in audit.latest(connection)] == ["zone_change"]


@pytest.mark.parametrize("statement", ["UPDATE audit SET words = 'x' WHERE id = 3", "DELETE FROM audit WHERE id = 2"])
def test_a_change_by_the_databases_own_tools_is_found(database: Database, statement: str) -> None:
    for number in range(5):
        act(database, data={"n": number, "share": 0.1})
    with database.read() as connection:
        assert audit.broken_at(connection) is None
    raw = sqlite3.connect(database.url.database or "")
    raw.executescript("DROP TRIGGER audit_update_refused; DROP TRIGGER audit_delete_refused;" + statement)
    raw.close()
    with database.read() as connection:
        assert audit.broken_at(connection) == 3


def test_the_audit_log_is_read_from_its_end_by_person_and_subject(database: Database) -> None:
    for number in range(6):
        act(database, person="alice" if number % 2 else "bob", subject=f"zone:{number % 3}")
    with database.read() as connection:
        assert [entry.id for entry in audit.latest(connection, limit=2)] == [6, 5]
        assert [entry.id for entry in audit.latest(connection, before=5, person="alice")] == [4, 2]
        assert [entry.id for entry in audit.latest(connection, subject="zone:0")] == [4, 1]


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=30), st.text(alphabet=st.characters(), max_size=30))
def test_any_words_are_kept_and_chained(shared: Database, words: str, value: str) -> None:
    act(shared, words=words, data={"value": value, "odd": float("1e300")})
    with shared.read() as connection:
        assert audit.broken_at(connection) is None
