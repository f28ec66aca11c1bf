"""What of the instruments a person sees on pages, in JSON and in the stream; who may steer."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from passerelle.core.errors import NotFound
from passerelle.service.access import Actor, PersonRole, Power, Through, this_account
from passerelle.service.instrument_access import Sight, sight
from passerelle.store import alerts, events
from passerelle.web import stream as module
from passerelle.zones import Who, Zone, ZoneKind
from tests.web_house import House, page_token

READS = [
    "/sessions/1",
    "/sessions/1/grid",
    "/sessions/1/accepted.star",
    "/sessions/1/grid/atlas",
    "/sessions/1/grid/squares/1",
    "/movies/1",
    "/parts/sessions/1/head",
    "/parts/sessions/1/strip",
    "/parts/movies/1/verdict",
    "/files/1/sum",
    "/api/sessions/1",
    "/api/sessions/1/movies",
    "/api/sessions/1/grid",
    "/api/movies/1",
    "/api/events?session=1",
]
CHANGES = [
    ("/api/sessions/1/thresholds", {"thresholds": {}}),
    ("/api/movies/1/choice/reject", None),
    ("/api/movies/1/again", {}),
    ("/api/sessions/1/again", {}),
    ("/api/sessions/1/close", None),
    ("/api/alerts/1/mute", None),
    ("/api/alerts/1/close", None),
    ("/movies/1/again", None),
    ("/sessions/1/again", None),
]
FOLDERS = {"krios": Path("/gw/krios"), "glacios": Path("/gw/glacios")}
READ_BY_BOB = Zone("k", ZoneKind.INSTRUMENT, Path("/gw/krios"), "dora", Who.of(["bob"], ["cryo"]))


def _somebody(name: str, role: PersonRole, *powers: Power, groups: frozenset[str] = frozenset()) -> Actor:
    return Actor(name, role, frozenset(powers), Through.PAGE, groups)


@pytest.mark.parametrize(
    ("actor", "seen"),
    [
        (_somebody("olga", PersonRole.OPERATOR, Power.LOOK, Power.STEER), Sight(everything=True)),
        (_somebody("olga", PersonRole.OPERATOR, Power.LOOK), Sight(everything=True)),
        (_somebody("olga", PersonRole.OPERATOR, Power.STEER), Sight(everything=False)),
        (_somebody("bob", PersonRole.USER, Power.LOOK), Sight(everything=False, instruments=frozenset({"krios"}))),
        (
            _somebody("eve", PersonRole.USER, Power.LOOK, groups=frozenset({"cryo"})),
            Sight(everything=False, instruments=frozenset({"krios"})),
        ),
        (_somebody("bob", PersonRole.USER, Power.SEND), Sight(everything=False)),
        (_somebody("carl", PersonRole.USER, Power.LOOK), Sight(everything=False)),
    ],
)
def test_an_instrument_is_seen_by_who_steers_and_by_who_reads_its_zone(actor: Actor, seen: Sight) -> None:
    elsewhere = Zone("g", ZoneKind.PLATFORM, Path("/gw/glacios"), "bob", Who.of(["carl"]))
    assert sight(actor, FOLDERS, [READ_BY_BOB, elsewhere]) == seen


def test_nothing_of_an_instrument_that_is_not_ones_own_is_found(house: House) -> None:
    bob, carl, olga = house.client("bob"), house.client("carl"), house.client("olga")
    for address in READS:
        assert carl.get(address).status_code == 404, address
    assert carl.get("/api/sessions").json() == [] and "FoilHole" not in carl.get("/").text
    for client in (bob, olga):
        assert len(client.get("/api/sessions").json()) == 1
        assert client.get("/api/movies/1").status_code == 200 and client.get("/sessions/1").status_code == 200
    # the same words as for what is not there at all
    assert carl.get("/api/sessions/1").json() == carl.get("/api/sessions/1").json()
    hidden, absent = carl.get("/api/movies/1").json(), carl.get("/api/movies/99").json()
    assert hidden["error"]["message"].replace("1", "99") == absent["error"]["message"]


def test_only_who_steers_changes_anything(house: House) -> None:
    bob, carl = house.client("bob"), house.client("carl")
    for client in (bob, carl):
        page_token(client, "/")
        for address, body in CHANGES:
            answer = client.post(address, json=body) if body is not None else client.post(address)
            assert answer.status_code == 403, (address, answer.text)
    assert house.bench.movie().chosen is None and house.bench.kinds().count("movie_queued") == 1
    refused = [each for each in house.facility.audit.read(this_account()) if each.result == "refused"]
    assert len(refused) == 2 * len(CHANGES)
    assert {each.person for each in refused} == {"bob", "carl"}


def test_what_an_operator_does_is_in_the_audit_log(house: House) -> None:
    olga = house.client("olga")
    page_token(olga, "/")
    for address, body in CHANGES:
        if "alerts" not in address:
            assert olga.post(address, json=body).status_code == 204 if body is not None else olga.post(address).status_code == 204
    done = {each.act for each in house.facility.audit.read(this_account(), person="olga") if each.result == "done"}
    assert done >= {"session_thresholds", "movie_choose", "movie_again", "session_again", "session_close"}


def test_alerts_are_of_the_instruments_that_a_person_sees(house: House) -> None:
    with house.parts.database.write() as connection:
        alerts.raise_(connection, "disk", level="error", message="The disk of results is full.", at=5.0)
        alerts.raise_(connection, "no_new_movie", level="warning", message="No new movie.", session_id=1, at=6.0)
    told = {name: {a["message"] for a in house.client(name).get("/api/alerts").json()} for name in ("olga", "bob", "carl")}
    assert told == {"olga": {"The disk of results is full.", "No new movie."}, "bob": {"No new movie."}, "carl": set()}
    assert "No new movie." not in house.client("carl").get("/alerts").text


def test_events_are_of_the_instruments_that_a_person_sees(house: House) -> None:
    with house.parts.database.write() as connection:
        events.add_all(connection, [events.row("zone_changed", at=7.0, data={"zone": "secret"}) for _ in range(600)])
        events.add(connection, "movie_done", at=8.0, session_id=1, movie_id=1)
    last = house.facility.last_event_id()
    everything = house.facility.live(house.actor("olga")).events_after(0, None, 10_000)
    bobs = house.facility.live(house.actor("bob")).events_after(0, None, 500)
    assert len(everything) > 600 and {each.session_id for each in bobs} == {1}
    assert bobs[-1].id == last, "what others did does not hide what came after it"
    assert house.facility.live(house.actor("carl")).events_after(0, None, 500) == []
    with pytest.raises(NotFound):
        house.facility.live(house.actor("carl")).events_after(0, 1, 500)


def test_a_stream_ends_soon_after_its_log_in(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BEAT_SECONDS", 0.05)
    made = house.facility.log_ins.log_in("bob", "thick maple orbit lantern", address="a")

    def see():
        return house.facility.live(house.facility.doorkeeper.who(cookie=made.secret))

    async def scene() -> None:
        stream = module.Stream(house.facility)
        stream.open()
        told = stream.events(see, house.facility.last_event_id(), None)
        assert [await anext(told) for _ in range(2)][1].startswith("event: beat")
        house.facility.log_ins.log_out(made.actor)
        async with asyncio.timeout(30):
            rest = [text async for text in told]
        assert len(rest) <= 1 and stream.pages == 0
        await stream.close()

    asyncio.run(scene())
