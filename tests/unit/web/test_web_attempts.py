"""What is refused at the door before any verb is called is in the audit log: who or what tried, where, from where."""

from __future__ import annotations

import pytest

from passerelle.service.access import this_account
from passerelle.service.attempts import Attempt
from tests.web_house import House, page_token


def test_each_kind_of_attempt_is_written_down_with_who_where_and_from_where(house: House) -> None:
    bob = house.client("bob")
    page_token(bob, "/account")
    json, account = {"content-type": "application/json"}, "/api/transfers"
    bob.get("/", headers={"host": "evil.example"})
    bob.post("/log-out", headers={"origin": "https://evil.example"})
    bob.post("/log-out", headers={"x-passerelle-token": "t" * 24})
    bob.post("/log-out", headers={"content-length": "999999999"})
    assert bob.post(account, content=b"{}", headers=json).status_code == 422
    house.client(token="psr_" + "x" * 43).get("/api/sessions")
    found = house.facility.audit.read(this_account(), act="attempt")
    assert {each.words: (each.person, each.through, each.subject) for each in found} == {
        Attempt.HOST: ("unknown", "page", "page:/"),
        Attempt.ORIGIN: ("unknown", "page", "page:/log-out"),
        Attempt.FORM: ("unknown", "page", "page:/log-out"),
        Attempt.SIZE: ("unknown", "page", "page:/log-out"),
        Attempt.BODY: ("bob", "page", f"page:{account}"),
        Attempt.TOKEN: ("unknown", "token", "page:/api/sessions"),
    }
    assert {each.result for each in found} == {"refused"} and all(each.address for each in found)


@pytest.mark.parametrize("address", ["/", "/sessions/99", "/sessions/abc", "/log-in", "/static/nothing"])
def test_what_is_no_attempt_is_not(house: House, address: str) -> None:
    house.client("bob").get(address)
    house.client().get(address)
    assert not house.facility.audit.read(this_account(), act="attempt")
