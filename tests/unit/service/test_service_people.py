"""Accounts, log-ins, tokens: who may do what to whom, and what is written down of it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from passerelle.core.errors import (
    BadInput,
    Busy,
    Conflict,
    IllegalMove,
    NotAllowed,
    NotFound,
    NotLoggedIn,
    PasserelleError,
    TooManyTries,
)
from passerelle.service.access import POWERS, Actor, PersonRole, Power, Through, require, this_account
from passerelle.service.audit import acting, check_audit, read_audit
from passerelle.service.guessing import wait_seconds
from passerelle.service.log_in import LogIns, digest
from passerelle.service.passwords import Passwords, check_password
from passerelle.service.people import People
from passerelle.service.settings_people import PeopleSettings
from passerelle.service.sources import Identity
from passerelle.service.tokens import create_token, list_tokens, revoke_token, who_holds
from passerelle.store import Database
from passerelle.store import people as people_rows

GOOD = "thick maple orbit lantern"
OTHER = "silver canoe under bridge"
ROOT = this_account()
DAY = 86400.0


class Directory:
    """A directory in a dictionary: names to passwords; a name may come back in another case, as LDAP does."""

    name = "ldap"

    def __init__(self) -> None:
        self.known = {"alice": "from the directory"}
        self.role = ""
        self.groups: tuple[str, ...] = ("cryo",)
        self.away = False
        self.asked: list[tuple[str, str]] = []

    def check(self, name: str, password: str) -> Identity | None:
        self.asked.append((name, password))
        if self.away:
            raise Busy("does not answer")
        if self.known.get(name.lower()) != password:
            return None
        return Identity(name.lower(), "Alice A", "alice@institute.org", self.groups, self.role)


@pytest.fixture(scope="module")
def passwords() -> Passwords:
    return Passwords(memory_kib=64, rounds=1)


@pytest.fixture
def people(database: Database, passwords: Passwords) -> People:
    made = People(database, passwords, sources=["ldap"], facility="Cryo-EM facility")
    with database.write() as connection:
        for name, role, password in (("anna", "admin", GOOD), ("bob", "user", OTHER)):
            people_rows.create(connection, name=name, role=role, source="local", password_hash=passwords.hash(password), at=1.0)
    return made


@pytest.fixture
def directory() -> Directory:
    return Directory()


@pytest.fixture
def logins(database: Database, passwords: Passwords, people: People, directory: Directory) -> LogIns:
    return LogIns(
        database, PeopleSettings(), passwords, sources={"ldap": directory}, machine_groups=lambda name: frozenset({name})
    )


def page(name: str, role: PersonRole = PersonRole.USER) -> Actor:
    return Actor(name, role, POWERS[role], Through.PAGE, address="10.0.0.7")


def acts(database: Database) -> list[tuple[str, str, str, str]]:
    return [(each.person, each.act, each.subject, each.result) for each in read_audit(database, ROOT)][::-1]


# -- roles --


def test_the_table_of_powers() -> None:
    assert {role: sorted(powers) for role, powers in POWERS.items()} == {
        "user": ["look", "send", "share"],
        "operator": ["look", "send", "share", "steer"],
        "data_manager": ["keep_shares", "keep_zones", "look", "purge", "send", "share", "steer"],
        "admin": sorted(Power),
    }


def test_who_may_not_is_told_who_may() -> None:
    with pytest.raises(NotAllowed, match=r"bob \(user\) may not keep zones\. Ask somebody who may: data_manager, admin\."):
        require(page("bob"), Power.KEEP_ZONES)


# -- accounts --


def test_a_person_sees_and_changes_her_own_account_only(people: People) -> None:
    bob = page("bob")
    assert people.change(bob, "bob", mail="bob@institute.org").mail == "bob@institute.org"
    assert people.get(bob, "bob").role is PersonRole.USER
    for forbidden in (
        lambda: people.get(bob, "anna"),
        lambda: people.list(bob),
        lambda: people.change(bob, "anna", mail="x@y"),
        lambda: people.change(bob, "bob", role=PersonRole.ADMIN),
        lambda: people.create(bob, "eve", password=GOOD),
        lambda: people.disable(bob, "anna"),
        lambda: people.enable(bob, "anna"),
        lambda: people.set_password(bob, "anna", GOOD),
    ):
        with pytest.raises(NotAllowed):
            forbidden()
    assert people.get(ROOT, "anna").state == "enabled"


def test_every_act_is_written_down_done_refused_or_failed(people: People, database: Database) -> None:
    anna, bob = page("anna", PersonRole.ADMIN), page("bob")
    people.change(anna, "bob", role=PersonRole.OPERATOR)
    with pytest.raises(NotAllowed):
        people.disable(bob, "anna")
    with pytest.raises(Conflict):
        people.create(anna, "bob", password=GOOD)
    with pytest.raises(NotFound):
        people.enable(anna, "nobody")
    assert acts(database) == [
        ("anna", "person_change", "person:bob", "done"),
        ("bob", "person_disable", "person:anna", "refused"),
        ("anna", "person_create", "person:bob", "failed"),
        ("anna", "person_enable", "person:nobody", "refused"),
    ]
    latest = read_audit(database, anna, limit=1)[0]
    assert (latest.address, latest.words) == ("10.0.0.7", "There is no account `nobody`.")
    assert check_audit(database, anna) is None
    with pytest.raises(NotAllowed):
        read_audit(database, bob)


def test_an_act_whose_change_is_not_committed_is_not_written_down_as_done(database: Database) -> None:
    with pytest.raises(Conflict), acting(database, ROOT, "try") as deed, database.write() as connection:
        deed.done(connection)
        raise Conflict("undone")
    assert [each.result for each in read_audit(database, ROOT)] == ["failed"]


def test_no_password_and_no_secret_is_ever_written_down(people: People, logins: LogIns, database: Database) -> None:
    anna = page("anna", PersonRole.ADMIN)
    logged_in = logins.log_in("bob", OTHER, address="a")
    made = create_token(database, PeopleSettings(), anna, name="x", scopes=[Power.LOOK], days=1)
    people.set_password(anna, "bob", GOOD)
    with pytest.raises(NotLoggedIn):
        logins.log_in("my secret typed as a name", "x", address="a")
    database.close()
    content = b"".join(path.read_bytes() for path in Path(database.url.database or "").parent.iterdir())
    for secret in (OTHER, GOOD, logged_in.secret, made.secret):
        assert secret.encode() not in content
    assert all("my secret" not in entry.model_dump_json() for entry in read_audit(database, ROOT))


@pytest.mark.parametrize("name", ["", "a b", "-x", "a\nb", "@cryo", "x" * 65])
def test_names_that_are_no_accounts_are_refused(people: People, name: str) -> None:
    with pytest.raises(BadInput):
        people.create(ROOT, name, password=GOOD)


def test_the_last_admin_stays_one_except_by_hand_on_the_machine(people: People) -> None:
    anna = page("anna", PersonRole.ADMIN)
    with pytest.raises(Conflict, match="only admin"):
        people.disable(anna, "anna")
    with pytest.raises(Conflict, match="only admin"):
        people.change(anna, "anna", role=PersonRole.USER)
    people.change(anna, "bob", role=PersonRole.ADMIN)
    people.disable(anna, "anna")
    with pytest.raises(IllegalMove):
        people.disable(ROOT, "anna")
    people.disable(ROOT, "bob")


# -- passwords --


@pytest.mark.parametrize(
    "password",
    ["", "short", "password1234", "aaaaaaaaaaaaaaaa", "qwertyuiop123", "bob bob bob bob", "x" * 300, "Cryo-EM facility"],
)
def test_passwords_that_are_guessed_first_are_refused(password: str) -> None:
    with pytest.raises(BadInput):
        check_password(password, known=("bob", "Cryo-EM facility"))


@pytest.mark.parametrize("password", [GOOD, "häuser im nebel & regen", "日本の山と川と海と空と雲", "kV7#qLm2!xTz"])
def test_any_characters_make_a_password(password: str) -> None:
    check_password(password, known=("bob",))


def test_a_password_is_the_same_however_its_letters_are_composed(passwords: Passwords) -> None:
    hashed = passwords.hash("caf\u00e9 au lait noir")
    assert hashed.startswith("$argon2id$")
    assert passwords.check(hashed, "cafe\u0301 au lait noir")
    assert not passwords.check(hashed, "cafe au lait noir")
    assert not passwords.check(None, "anything")
    assert not passwords.check("damaged", "anything")
    assert passwords.hash("x") != passwords.hash("x")


def test_a_new_password_needs_the_old_one_and_ends_other_log_ins(people: People, logins: LogIns) -> None:
    first = logins.log_in("bob", OTHER, address="a")
    second = logins.log_in("bob", OTHER, address="b")
    bob = logins.who(second.secret)
    with pytest.raises(NotAllowed, match="old password"):
        people.set_password(bob, "bob", GOOD, old="wrong")
    with pytest.raises(NotAllowed, match="old password"):
        people.set_password(bob, "bob", GOOD)
    people.set_password(bob, "bob", GOOD, old=OTHER)
    assert logins.who(second.secret).name == "bob"
    with pytest.raises(NotLoggedIn):
        logins.who(first.secret)
    with pytest.raises(NotLoggedIn):
        logins.log_in("bob", OTHER, address="c")


def test_the_old_password_is_guessed_no_faster_than_at_the_door(people: People, logins: LogIns) -> None:
    bob = logins.log_in("bob", OTHER, address="a", at=1000.0).actor
    for _ in range(5):
        with pytest.raises(NotAllowed, match="old password"):
            people.set_password(bob, "bob", GOOD, old="wrong", at=1001.0)
    with pytest.raises(TooManyTries):
        people.set_password(bob, "bob", GOOD, old=OTHER, at=1001.5)
    with pytest.raises(TooManyTries):
        logins.log_in("bob", OTHER, address="b", at=1001.5)
    people.set_password(bob, "bob", GOOD, old=OTHER, at=1003.0)
    assert logins.log_in("bob", GOOD, address="b", at=1003.0).actor.name == "bob"


def test_a_first_password_leads_to_nothing_but_a_new_one_and_not_for_long(people: People, logins: LogIns) -> None:
    first = "copper willow north engine"
    people.create(ROOT, "carol", role=PersonRole.OPERATOR, password=first, at=0.0)
    carol = logins.log_in("carol", first, address="a", at=6 * DAY).actor
    assert carol.must_change
    assert not carol.powers
    with pytest.raises(NotAllowed, match="first one"):
        require(carol, Power.LOOK)
    with pytest.raises(BadInput, match="the old one"):
        people.set_password(carol, "carol", first, old=first)
    with pytest.raises(NotLoggedIn):
        logins.log_in("carol", first, address="a", at=8 * DAY)
    people.set_password(carol, "carol", GOOD, old=first, at=6 * DAY)
    again = logins.log_in("carol", GOOD, address="a", at=60 * DAY).actor
    assert Power.STEER in again.powers
    people.set_password(page("anna", PersonRole.ADMIN), "carol", first, at=60 * DAY)
    assert not logins.log_in("carol", first, address="a", at=61 * DAY).actor.powers


# -- log-ins --


def test_a_log_in_is_known_by_its_secret_until_log_out(logins: LogIns, database: Database) -> None:
    made = logins.log_in(" bob ", OTHER, address="10.0.0.7", agent="Firefox")
    bob = logins.who(made.secret)
    assert (bob.name, bob.role, bob.through, bob.groups, bob.address) == ("bob", "user", "page", frozenset({"bob"}), "10.0.0.7")
    assert logins.log_out(bob) == 1
    with pytest.raises(NotLoggedIn):
        logins.who(made.secret)
    assert acts(database)[-2:] == [("bob", "log_in", "person:bob", "done"), ("bob", "log_out", "person:bob", "done")]


def test_each_log_in_has_a_secret_of_its_own_and_the_browsers_old_one_ends(logins: LogIns) -> None:
    first = logins.log_in("bob", OTHER, address="a")
    second = logins.log_in("bob", OTHER, address="a", old_secret=first.secret)
    assert first.secret != second.secret
    with pytest.raises(NotLoggedIn):
        logins.who(first.secret)
    third = logins.log_in("bob", OTHER, address="b")
    assert logins.log_out(logins.who(third.secret), everywhere=True) == 2


def test_a_person_sees_and_ends_the_own_log_ins_and_an_admin_anyones(logins: LogIns) -> None:
    made = [logins.log_in("bob", OTHER, address=address, agent="Firefox") for address in ("a", "b", "c")]
    bob = logins.who(made[0].secret)
    seen = logins.open_log_ins(bob)
    assert {(each.address, each.this_one) for each in seen} == {("a", True), ("b", False), ("c", False)}
    other = next(each.id for each in seen if each.address == "b")
    assert logins.end_log_ins(bob, login_id=other) == 1
    with pytest.raises(NotLoggedIn):
        logins.who(made[1].secret)
    eve = page("eve")
    for forbidden in (lambda: logins.open_log_ins(eve, "bob"), lambda: logins.end_log_ins(eve, "bob")):
        with pytest.raises(NotAllowed):
            forbidden()
    assert logins.end_log_ins(page("anna", PersonRole.ADMIN), "bob") == 2
    with pytest.raises(NotLoggedIn):
        logins.who(made[0].secret)


@pytest.mark.parametrize(("idle", "age", "ends"), [(7.9, 7.9, False), (8.1, 8.1, True), (1, 71, False), (1, 73, True)])
def test_a_log_in_ends_when_idle_and_after_its_longest_time(logins: LogIns, idle: float, age: float, ends: bool) -> None:
    made = logins.log_in("bob", OTHER, address="a", at=0.0)
    hour = 0.0
    while hour < age - idle:
        logins.who(made.secret, at=hour * 3600)
        hour += 4
    logins.who(made.secret, at=(age - idle) * 3600)
    if not ends:
        assert logins.who(made.secret, at=age * 3600).name == "bob"
        return
    with pytest.raises(NotLoggedIn, match="ended by itself"):
        logins.who(made.secret, at=age * 3600)
    with pytest.raises(NotLoggedIn):
        logins.who(made.secret, at=0.0)


@pytest.mark.parametrize("secret", ["", "x", "\udcff", "a" * 5000])
def test_a_forged_secret_is_nobody(logins: LogIns, secret: str) -> None:
    with pytest.raises(NotLoggedIn):
        logins.who(secret)


def test_a_wrong_name_a_wrong_password_and_a_disabled_account_are_one_answer(logins: LogIns, people: People) -> None:
    people.disable(ROOT, "bob")
    answers = set()
    for name, password in (("nobody", GOOD), ("anna", OTHER), ("bob", OTHER)):
        with pytest.raises(NotLoggedIn) as told:
            logins.log_in(name, password, address="a")
        answers.add(str(told.value))
    assert len(answers) == 1


def test_disabling_ends_log_ins_and_tokens_at_once(logins: LogIns, people: People, database: Database) -> None:
    made = logins.log_in("bob", OTHER, address="a")
    token = create_token(database, PeopleSettings(), logins.who(made.secret), name="x", scopes=[Power.LOOK], days=1)
    people.disable(ROOT, "bob")
    people.enable(ROOT, "bob")
    with pytest.raises(NotLoggedIn):
        logins.who(made.secret)
    with pytest.raises(NotLoggedIn):
        who_holds(database, token.secret)


def test_guessing_is_slowed_down_by_account_and_forgotten_after_a_log_in(logins: LogIns) -> None:
    for second in range(5):
        with pytest.raises(NotLoggedIn):
            logins.log_in("bob", "wrong", address=f"10.0.0.{second}", at=100.0 + second)
    with pytest.raises(TooManyTries, match="in 1 s"):
        logins.log_in("BOB", OTHER, address="10.0.0.9", at=104.5)
    logins.log_in("bob", OTHER, address="10.0.0.9", at=106.0)
    with pytest.raises(NotLoggedIn):
        logins.log_in("bob", "wrong", address="10.0.0.9", at=106.5)


def test_guessing_is_slowed_down_by_address_whatever_the_names(logins: LogIns) -> None:
    for number in range(30):
        with pytest.raises(NotLoggedIn):
            logins.log_in(f"name{number}", "wrong", address="6.6.6.6", at=100.0)
    with pytest.raises(TooManyTries):
        logins.log_in("bob", OTHER, address="6.6.6.6", at=100.5)
    logins.log_in("bob", OTHER, address="10.0.0.1", at=100.5)


def test_guesses_that_come_at_the_same_moment_are_counted_before_they_are_looked_at(
    database: Database, passwords: Passwords, people: People
) -> None:
    patient = Database(database.url)  # as the service has it: twenty write at once
    logins = LogIns(patient, PeopleSettings(), passwords, sources={}, machine_groups=lambda name: frozenset({name}))

    def guess(number: int) -> type[BaseException]:
        with pytest.raises((NotLoggedIn, TooManyTries)) as told:
            logins.log_in("bob", f"wrong {number}", address=f"10.0.0.{number}", at=100.0)
        return told.type

    with ThreadPoolExecutor(20) as volley:
        answers = list(volley.map(guess, range(40)))
    patient.close()
    assert answers.count(NotLoggedIn) <= 5 + 2, "two are looked at at a time"
    assert answers.count(TooManyTries) >= 33


def test_waits_double_and_have_an_end() -> None:
    waits = [wait_seconds(count, 0.0, now=0.0, free=5) for count in (4, 5, 6, 9, 1000)]
    assert waits == [0.0, 1.0, 2.0, 16.0, 900.0]
    assert wait_seconds(9, 0.0, now=20.0, free=5) == 0.0


# -- a directory --


def test_the_first_log_in_makes_the_account_and_later_ones_follow_the_directory(logins: LogIns, directory: Directory) -> None:
    made = logins.log_in("Alice", "from the directory", address="a")
    assert (made.actor.name, made.actor.role, made.actor.groups) == ("alice", "user", frozenset({"cryo", "alice"}))
    directory.role, directory.groups = "operator", ("cryo", "xray")
    again = logins.log_in("alice", "from the directory", address="a")
    assert (again.actor.role, again.actor.groups) == ("operator", frozenset({"cryo", "xray", "alice"}))


def test_a_directory_hears_neither_name_nor_password_of_a_local_account(logins: LogIns, directory: Directory) -> None:
    directory.known["bob"] = "the directory's bob"
    logins.log_in("bob", OTHER, address="a")
    assert directory.asked == []
    with pytest.raises(NotLoggedIn):
        logins.log_in("bob", "the directory's bob", address="a")
    (asked,) = directory.asked
    assert asked[0] != "bob" and asked[1] != "the directory's bob"


@pytest.mark.parametrize("name", ["bob", "alice", "nobody"])
def test_a_wrong_password_asks_as_many_whoever_it_is(logins: LogIns, directory: Directory, name: str) -> None:
    with pytest.raises(NotLoggedIn):
        logins.log_in(name, "wrong", address="a")
    assert len(directory.asked) == 1


def test_a_wrong_local_password_is_said_although_the_directory_is_away(logins: LogIns, directory: Directory) -> None:
    directory.away = True
    with pytest.raises(NotLoggedIn):
        logins.log_in("bob", "wrong", address="a")


def test_a_disabled_account_of_the_directory_stays_out_in_any_case(logins: LogIns, people: People) -> None:
    logins.log_in("alice", "from the directory", address="a")
    people.disable(ROOT, "alice")
    for name in ("alice", "ALICE"):
        with pytest.raises(NotLoggedIn):
            logins.log_in(name, "from the directory", address="a")


def test_a_directory_that_is_away_is_said_and_local_accounts_still_log_in(logins: LogIns, directory: Directory) -> None:
    directory.away = True
    with pytest.raises(Busy, match="cannot be asked"):
        logins.log_in("alice", "from the directory", address="a")
    logins.log_in("bob", OTHER, address="a")


def test_the_password_of_a_directorys_account_is_not_changed_here(logins: LogIns, people: People) -> None:
    alice = logins.log_in("alice", "from the directory", address="a").actor
    with pytest.raises(BadInput, match="kept by ldap"):
        people.set_password(alice, "alice", GOOD, old="from the directory")


# -- tokens --


def test_a_token_may_what_its_scopes_and_its_person_may(database: Database, people: People) -> None:
    scopes = [Power.LOOK, Power.KEEP_PEOPLE]
    made = create_token(database, PeopleSettings(), page("bob"), name="script", scopes=scopes, days=30, at=0.0)
    assert made.secret.startswith("psr_")
    actor = who_holds(database, made.secret, address="10.1.1.1", at=DAY)
    assert (actor.name, actor.powers, actor.through, actor.address) == ("bob", {Power.LOOK}, "token", "10.1.1.1")
    with pytest.raises(NotAllowed, match="This token may not send"):
        require(actor, Power.SEND)
    (listed,) = list_tokens(database, page("bob"))
    assert (listed.name, listed.used_at) == ("script", DAY)
    assert "secret" not in listed.model_dump()


@pytest.mark.parametrize("at", [30 * DAY, 31 * DAY])
def test_a_token_ends(database: Database, people: People, at: float) -> None:
    made = create_token(database, PeopleSettings(), page("bob"), name="script", scopes=[Power.LOOK], days=30, at=0.0)
    with pytest.raises(NotLoggedIn):
        who_holds(database, made.secret, at=at)


@pytest.mark.parametrize("secret", ["", "psr_", "psr_" + "A" * 43, "x"])
def test_a_forged_token_is_nobody(database: Database, people: People, secret: str) -> None:
    create_token(database, PeopleSettings(), page("bob"), name="script", scopes=[Power.LOOK], days=30)
    with pytest.raises(NotLoggedIn):
        who_holds(database, secret)


def test_a_token_is_its_persons_own_and_revoked_for_good(database: Database, people: People) -> None:
    made = create_token(database, PeopleSettings(), page("bob"), name="script", scopes=[Power.LOOK], days=30)
    with pytest.raises(NotFound):
        revoke_token(database, page("eve"), made.token.id)
    with pytest.raises(NotAllowed):
        list_tokens(database, page("eve"), person="bob")
    revoke_token(database, page("bob"), made.token.id)
    revoke_token(database, page("anna", PersonRole.ADMIN), made.token.id)
    with pytest.raises(NotLoggedIn):
        who_holds(database, made.secret)


@pytest.mark.parametrize("changes", [{"scopes": []}, {"name": " "}, {"days": 0}, {"days": 366}, {"days": float("nan")}])
def test_tokens_without_end_scope_or_name_are_refused(database: Database, people: People, changes: dict[str, object]) -> None:
    values = {"name": "x", "scopes": [Power.LOOK], "days": 1.0} | changes
    with pytest.raises(BadInput):
        create_token(database, PeopleSettings(), page("bob"), **values)  # type: ignore[arg-type]


def test_a_token_makes_no_tokens_and_changes_no_password(database: Database, people: People) -> None:
    made = create_token(database, PeopleSettings(), page("anna", PersonRole.ADMIN), name="x", scopes=list(Power), days=1)
    actor = who_holds(database, made.secret)
    with pytest.raises(NotAllowed):
        create_token(database, PeopleSettings(), actor, name="y", scopes=[Power.LOOK], days=1)
    with pytest.raises(NotAllowed):
        people.set_password(actor, "anna", OTHER, old=GOOD)


def test_only_digests_are_looked_up(database: Database, logins: LogIns) -> None:
    made = logins.log_in("bob", OTHER, address="a")
    with database.read() as connection:
        assert people_rows.login_of(connection, made.secret) is None
        assert people_rows.login_of(connection, digest(made.secret)) is not None
    with pytest.raises(NotLoggedIn):
        logins.who(digest(made.secret))


def test_a_person_of_the_machine_is_told_from_one_of_the_pages() -> None:
    assert ROOT.audit_name.startswith("unix:")
    assert replace(ROOT, through=Through.PAGE).audit_name == ROOT.name
    assert issubclass(TooManyTries, PasserelleError)
    assert (TooManyTries.http_status, NotLoggedIn.http_status) == (429, 401)
