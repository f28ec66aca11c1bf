"""The commands on zones, people and shares as a person or a script types them, on a facility with nothing configured."""

from __future__ import annotations

import getpass
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from typer.testing import CliRunner

from passerelle.cli.app import app
from passerelle.core.errors import PasserelleError

OWN = getpass.getuser()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, migrated_file: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    run("init", ".")
    (tmp_path / "state").mkdir()
    shutil.copyfile(migrated_file, tmp_path / "state" / "passerelle.sqlite")
    return tmp_path


@pytest.fixture(autouse=True)
def log() -> Iterator[None]:
    yield
    structlog.reset_defaults()  # a command points it at the runner's standard error, which is closed by now


def run(*words: str, answers: str = "", code: int = 0) -> str:
    ended = CliRunner().invoke(app, list(words), input=answers)
    problem = ended.exception
    if isinstance(problem, PasserelleError):  # as `main` ends with it
        assert problem.exit_code == code, problem
        return str(problem)
    assert ended.exit_code == code, ended.output
    return ended.output


def told(*words: str, answers: str = "") -> Any:
    return json.loads(run(*words, "--json", answers=answers))


def test_a_zone_is_made_measured_browsed_archived_by_one_person_with_nothing_configured(folder: Path) -> None:
    made = told("zones", "create", "mine", "--owner", OWN, "--quota", "1G", "--description", "of mine")
    assert (made["linux"], made["quota_bytes"], made["notes"]) == (str(folder / "zones/mine"), 10**9, [])
    (folder / "zones/mine/grid 1%41").mkdir()
    (folder / "zones/mine/grid 1%41/movie.tiff").write_bytes(os.urandom(100_000))
    assert told("zones", "measure", "mine")["files"] == 1
    listed = told("zones", "browse", "mine", "grid 1%41")
    assert [entry["shown"] for entry in listed["entries"]] == ["movie.tiff"]
    (zone,) = told("zones", "list")
    assert zone["usage"]["bytes"] >= 100_000
    assert told("zones", "archive", "mine")["state"] == "archived"
    assert "archived" in run("zones", "list")
    assert told("zones", "activate", "mine")["state"] == "active"
    history = told("zones", "history", "mine")
    assert [event["act"] for event in history["events"]] == ["zone_activate", "zone_archive", "zone_create"]


def test_mistakes_are_told_in_words_with_their_exit_codes(folder: Path) -> None:
    run("zones", "create", "mine", "--owner", OWN)
    assert "Choose another name" in run("zones", "create", "MINE", "--owner", OWN, code=65)
    assert "no zone `other`" in run("zones", "browse", "other", code=66)
    assert "without . and .." in run("zones", "browse", "mine", "../..", code=2)
    assert "is no size" in run("zones", "change", "mine", "--quota", "lots", code=2)
    assert "means something else" in run("zones", "create", "homes", "--owner", OWN, code=2)
    assert "shares.folder is not set" in run("shares", "apply", code=78)


def test_an_account_is_made_with_a_password_from_a_pipe_and_every_act_is_in_the_log(folder: Path) -> None:
    made = told("people", "create", "anna", "--role", "admin", answers="thick maple orbit lantern\n")
    assert (made["name"], made["role"], made["state"]) == ("anna", "admin", "enabled")
    assert "easily guessed" in run("people", "create", "bob", answers="password1234\n", code=2)
    token = told("people", "token", "anna", "--name", "script", "--scope", "look", "--days", "7")
    assert token["secret"].startswith("psr_")
    assert told("people", "tokens", "anna", "--revoke", str(token["token"]["id"]))[0]["revoked_at"]
    assert told("people", "disable", "anna")["state"] == "disabled"
    acts = [(entry["act"], entry["result"]) for entry in told("people", "audit")]
    assert acts == [
        ("person_disable", "done"),
        ("token_revoke", "done"),
        ("token_create", "done"),
        ("person_create", "failed"),
        ("person_create", "done"),
    ]
    assert told("people", "audit", "--check") == {"sound": True}
    assert token["secret"] not in (folder / "state/passerelle.sqlite").read_bytes().decode("latin-1")
