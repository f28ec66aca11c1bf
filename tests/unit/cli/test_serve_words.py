"""What `passerelle serve` tells the operator."""

from pathlib import Path

import pytest

from passerelle.cli.serve import exposure, nobody_yet, running
from passerelle.core.errors import BadConfiguration
from passerelle.service.access import this_account
from passerelle.service.facility import Facility
from passerelle.service.passwords import Passwords
from passerelle.service.settings import Settings
from passerelle.service.wiring import assemble


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_pages_that_only_this_machine_sees_need_no_word(host: str):
    assert exposure(Settings.model_validate({"web": {"host": host}})) == ""


def test_pages_that_a_network_sees_without_a_password_are_warned_of():
    words = exposure(Settings.model_validate({"web": {"host": "0.0.0.0"}}))
    assert "no password" in words
    assert "web.names" in words
    named = exposure(Settings.model_validate({"web": {"host": "0.0.0.0", "names": ["krios.institute.org"]}}))
    assert "no password" in named
    assert "web.names" not in named


def test_pages_that_ask_across_the_network_in_the_clear_are_warned_of(tmp_path: Path) -> None:
    people = {"log_in": True}
    words = exposure(Settings.model_validate({"web": {"host": "0.0.0.0"}, "people": people}))
    assert "in the clear" in words and "no password" not in words
    own = {"host": "0.0.0.0", "names": ["krios.institute.org"]}
    proxied = Settings.model_validate({"web": own, "people": people | {"proxies": ["10.0.0.2"]}})
    encrypted = Settings.model_validate({"web": own | {"certificate": tmp_path / "c", "key": tmp_path / "k"}, "people": people})
    assert exposure(proxied) == exposure(encrypted) == ""


def test_how_the_first_person_gets_in_is_said_until_one_is_there(tmp_path: Path) -> None:
    (tmp_path / "gateway").mkdir()
    for asked in ({}, {"log_in": True}):
        parts = assemble(Settings.model_validate({"state": {"folder": tmp_path / "state"}, "people": asked}))
        facility = Facility(parts, passwords=Passwords(memory_kib=64, rounds=1))
        assert bool(nobody_yet(facility)) is bool(asked)
        if asked:
            facility.people.create(this_account(), "ann", password="thick maple orbit lantern", own=True)
            assert nobody_yet(facility) == ""
        parts.close()


def test_a_certificate_without_its_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="together"):
        Settings.model_validate({"web": {"certificate": tmp_path / "c"}})


def test_a_certificate_that_cannot_be_used_is_said_at_the_start(tmp_path: Path) -> None:
    for name in ("c.pem", "k.pem"):
        (tmp_path / name).write_text("no certificate")
    settings = Settings.model_validate(
        {
            "state": {"folder": tmp_path / "state"},
            "web": {"certificate": tmp_path / "c.pem", "key": tmp_path / "k.pem", "port": 0},
        }
    )
    with pytest.raises(BadConfiguration, match="cannot be used"), running(settings):
        pass
