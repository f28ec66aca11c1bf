"""What `passerelle serve` tells the operator."""

from pathlib import Path

import pytest

from passerelle.cli.serve import exposure, running
from passerelle.core.errors import BadConfiguration
from passerelle.service.settings import Settings, StateSettings
from passerelle.service.settings_people import PeopleSettings


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


def test_pages_that_do_not_ask_are_not_shown_where_people_are_to_log_in(tmp_path: Path) -> None:
    settings = Settings(state=StateSettings(folder=tmp_path), people=PeopleSettings(log_in=True))
    with pytest.raises(BadConfiguration, match="do not ask"), running(settings):
        pass
