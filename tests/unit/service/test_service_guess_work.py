"""Whether there is an account is told by no answer, and by no difference in work."""

from __future__ import annotations

import pytest

from passerelle.core.errors import NotLoggedIn
from passerelle.service.access import this_account
from passerelle.service.log_in import LogIns
from passerelle.service.passwords import Passwords
from passerelle.service.people import People
from passerelle.service.settings_people import PeopleSettings
from passerelle.store import Database, people

WORDS = "thick maple orbit lantern"


class Counted(Passwords):
    """Counts how often argon2 is asked."""

    def __init__(self) -> None:
        super().__init__(memory_kib=64, rounds=1)
        self.asked = 0

    def check(self, password_hash: str | None, password: str) -> bool:
        self.asked += 1
        return super().check(password_hash, password)


@pytest.mark.parametrize("name", ["alice", "nobody", "disabled", "", "unix:root", "alice\x00", "é" * 500])
def test_a_wrong_name_is_as_much_work_as_a_wrong_password(database: Database, name: str) -> None:
    passwords = Counted()
    accounts = People(database, passwords)
    for each in ("alice", "disabled"):
        accounts.create(this_account(), each, password=WORDS, own=True)
    accounts.disable(this_account(), "disabled")
    logins = LogIns(database, PeopleSettings(log_in=True), passwords)
    with pytest.raises(NotLoggedIn) as caught:
        logins.log_in(name, "wrong words of somebody", address="192.0.2.1")
    assert passwords.asked == 1
    assert str(caught.value) == "Name or password is not right."


def test_a_right_password_of_a_disabled_account_is_told_from_a_wrong_one_by_nothing(database: Database) -> None:
    passwords = Counted()
    accounts = People(database, passwords)
    accounts.create(this_account(), "alice", password=WORDS, own=True)
    accounts.disable(this_account(), "alice")
    logins = LogIns(database, PeopleSettings(log_in=True), passwords)
    told = []
    for password in (WORDS, "wrong words of somebody"):
        with pytest.raises(NotLoggedIn) as caught:
            logins.log_in("alice", password, address="192.0.2.1")
        told.append((str(caught.value), caught.value.advice, passwords.asked))
        passwords.asked = 0
    assert told[0] == told[1]


def test_a_hash_of_former_costs_is_made_anew_when_its_person_logs_in(database: Database) -> None:
    former, now = Passwords(memory_kib=64, rounds=1), Passwords(memory_kib=64, rounds=2)
    People(database, former).create(this_account(), "alice", password=WORDS, own=True)
    logins = LogIns(database, PeopleSettings(log_in=True), now)

    def kept() -> str:
        with database.read() as connection:
            return people.get(connection, "alice").password_hash or ""

    before = kept()
    with pytest.raises(NotLoggedIn):
        logins.log_in("alice", "wrong words of somebody", address="192.0.2.1")
    assert now.outdated(kept()) and kept() == before
    logins.log_in("alice", WORDS, address="192.0.2.1")
    assert not now.outdated(kept())
    renewed = kept()
    logins.log_in("alice", WORDS, address="192.0.2.1")
    assert kept() == renewed
