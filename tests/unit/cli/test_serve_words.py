"""What `passerelle serve` tells the operator."""

import pytest

from passerelle.cli.serve import exposure
from passerelle.service.settings import Settings


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
