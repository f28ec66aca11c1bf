"""Who is at the door, and from where."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passerelle.core.errors import NotLoggedIn
from passerelle.service.access import Power, Through, this_account
from passerelle.service.doorkeeper import Doorkeeper, client_address
from passerelle.service.log_in import LogIns
from passerelle.service.passwords import Passwords
from passerelle.service.people import People
from passerelle.service.settings_people import PeopleSettings
from passerelle.service.tokens import create_token
from passerelle.store import Database

WORDS = "thick maple orbit lantern"


@pytest.fixture
def secrets(database: Database) -> tuple[str, str]:
    """A cookie and a token of bob."""
    passwords = Passwords(memory_kib=64, rounds=1)
    People(database, passwords).create(this_account(), "bob", password=WORDS, own=True)
    made = LogIns(database, PeopleSettings(), passwords).log_in("bob", WORDS, address="a")
    token = create_token(database, PeopleSettings(), made.actor, name="x", scopes=[Power.LOOK], days=1)
    return made.secret, token.secret


def keeper(database: Database, *, log_in: bool = True) -> Doorkeeper:
    settings = PeopleSettings(log_in=log_in)
    return Doorkeeper(database, settings, LogIns(database, settings, Passwords(memory_kib=64, rounds=1)))


def test_a_cookie_a_token_and_nothing(database: Database, secrets: tuple[str, str]) -> None:
    cookie, token = secrets
    door = keeper(database)
    assert door.asks
    assert (door.who(cookie=cookie).name, door.who(cookie=cookie).through) == ("bob", Through.PAGE)
    both = door.who(cookie=cookie, authorization=f"bearer  {token}", address="10.0.0.1")
    assert (both.through, both.powers, both.address) == (Through.TOKEN, {Power.LOOK}, "10.0.0.1")
    for shown in ({}, {"cookie": token}, {"cookie": "x"}):
        with pytest.raises(NotLoggedIn):
            door.who(**shown)


@pytest.mark.parametrize("header", ["Bearer", "Bearer ", "Bearer x", "psr_x", "Bearer psr_" + "A" * 43])
def test_a_header_that_is_no_token_is_refused_even_where_nobody_is_asked(
    database: Database, secrets: tuple[str, str], header: str
) -> None:
    for door in (keeper(database), keeper(database, log_in=False)):
        with pytest.raises(NotLoggedIn):
            door.who(cookie=secrets[0], authorization=header)


def test_what_a_proxy_asked_for_is_no_business_of_ours(database: Database, secrets: tuple[str, str]) -> None:
    for header in ("Basic Ym9iOng=", "negotiate YII="):
        assert keeper(database, log_in=False).who(authorization=header).name == this_account().name
        assert keeper(database).who(cookie=secrets[0], authorization=header).name == "bob"
        with pytest.raises(NotLoggedIn):
            keeper(database).who(authorization=header)


def test_where_nobody_is_asked_it_is_the_person_who_runs_the_service(database: Database, secrets: tuple[str, str]) -> None:
    door = keeper(database, log_in=False)
    actor = door.who(address="127.0.0.1")
    assert (actor.name, actor.powers, actor.through) == (this_account().name, frozenset(Power), Through.PAGE)
    assert door.who(authorization=f"Bearer {secrets[1]}").powers == {Power.LOOK}


@pytest.mark.parametrize(
    ("peer", "forwarded", "proxies", "found"),
    [
        ("10.0.0.7", [], [], "10.0.0.7"),
        ("10.0.0.7", ["6.6.6.6"], [], "10.0.0.7"),
        ("127.0.0.1", ["10.0.0.7"], ["127.0.0.1"], "10.0.0.7"),
        ("127.0.0.1", ["6.6.6.6, 10.0.0.7"], ["127.0.0.1"], "10.0.0.7"),
        ("127.0.0.1", ["6.6.6.6", "10.0.0.7, 10.0.0.2"], ["127.0.0.1", "10.0.0.2"], "10.0.0.7"),
        ("127.0.0.1", ["6.6.6.6, nonsense"], ["127.0.0.1"], "127.0.0.1"),
        ("::ffff:127.0.0.1", ["[fd00::1]"], ["127.0.0.1"], "fd00::1"),
        ("127.0.0.1", [""], ["127.0.0.1"], "127.0.0.1"),
        ("testclient", ["10.0.0.7"], ["127.0.0.1"], "testclient"),
    ],
)
def test_the_word_of_a_proxy_counts_only_if_the_proxy_is_known(
    peer: str, forwarded: list[str], proxies: list[str], found: str
) -> None:
    assert client_address(peer, forwarded, proxies) == found


@given(st.lists(st.text(max_size=30), max_size=4))
def test_nobody_becomes_another_address_by_words(forwarded: list[str]) -> None:
    assert client_address("10.0.0.7", forwarded, ["127.0.0.1"]) == "10.0.0.7"
