"""`passerelle doctor` with a real smbd: it runs or not, can be reached or not, and shows what zones ask for or something else."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from passerelle.service import checks_service
from passerelle.service.checks import Check, Level
from passerelle.service.wiring import Parts, assemble
from passerelle.testing.ports import kept_port
from passerelle.testing.samba_facility import ROOT, SambaFacility, missing
from passerelle.zones import ZoneKind


@pytest.fixture
def facility() -> Iterator[SambaFacility]:
    if reason := missing():
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="passerelle-doctor-") as folder:
        made = SambaFacility(Path(folder) / "facility")
        yield made
        made.stop()


def runs(parts: Parts) -> Check:
    (found,) = checks_service.samba_runs(parts)
    return found


def test_the_doctor_tells_how_it_is_with_samba(facility: SambaFacility) -> None:
    facility.zones.create(ROOT, "alice", kind=ZoneKind.PERSONAL, owner="pt-alice")
    parts = assemble(facility.settings)
    facility.shares.apply(ROOT)
    away = runs(parts)
    assert (away.level, away.kind) == (Level.ERROR, "smbd")
    assert "No smbd runs" in away.words
    facility.start()
    there = runs(parts)
    assert there.level is Level.WELL, there.words
    assert "127.0.0.1" in there.words
    (shown,) = checks_service.samba_configuration(parts)
    assert shown.level is Level.WELL, shown.words

    text = facility.config.read_text()
    facility.config.write_text(text.replace("read only = yes", "read only = no"))
    (changed,) = checks_service.samba_configuration(parts)
    assert (changed.level, changed.kind) == (Level.ERROR, "shares")
    assert "alice" in changed.words or "krios" in changed.words
    assert changed.advice == "passerelle shares apply"
    facility.config.write_text(text)

    keeper, port = kept_port()
    with keeper:
        other = facility.settings.shares.model_copy(update={"port": port})
        unreachable = runs(replace(parts, settings=parts.settings.model_copy(update={"shares": other})))
    assert unreachable.level is Level.ERROR
    assert "nothing answers at 127.0.0.1" in unreachable.words
    parts.close()
