"""The commands that send datasets, as a person or a script types them; nothing runs the transfers here."""

from __future__ import annotations

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
from passerelle.core.errors import BadInput, Conflict, NotFound, PasserelleError
from passerelle.service.access import this_account

ME = this_account().name
OWNER = "games" if os.geteuid() == 0 else ME  # an account that every Debian has: nothing is written as root


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, migrated_file: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    run("init", ".")
    (tmp_path / "state").mkdir()
    shutil.copyfile(migrated_file, tmp_path / "state" / "passerelle.sqlite")
    scan = tmp_path / "gateway" / "krios" / "crystal" / "scan"
    scan.mkdir(parents=True)
    (scan / "1.cbf").write_bytes(b"x" * 2000)
    run("zones", "create", "home", "--kind", "platform", "--owner", OWNER, *([] if OWNER == ME else ["--writer", ME]))
    return tmp_path


@pytest.fixture(autouse=True)
def log() -> Iterator[None]:
    yield
    structlog.reset_defaults()  # a command points it at the runner's standard error, which is closed by now


def run(*words: str) -> str:
    ended = CliRunner().invoke(app, list(words))
    if isinstance(ended.exception, PasserelleError):
        raise ended.exception
    assert ended.exit_code == 0, ended.output
    return ended.stdout


def told(*words: str) -> Any:
    return json.loads(run(*words, "--json"))


def test_a_dataset_is_sent_held_and_ended(folder: Path) -> None:
    made = told("send", "krios/crystal", "home", "--folder", "mine")
    assert (made["id"], made["state"], made["folder"], made["person"]) == (1, "queued", "mine", ME)
    words = run("transfers", "show", "1")
    assert "Transfer 1 is queued" in words and "it is the next" in words and "passerelle serve" in words
    assert told("transfers", "pause", "1")["state"] == "paused"
    assert told("transfers", "resume", "1")["state"] == "queued"
    assert told("transfers", "cancel", "1")["state"] == "cancelled"
    assert "is queued" in run("transfers", "retry", "1")
    assert [each["id"] for each in told("transfers", "list")] == [1]
    assert "krios/crystal" in run("transfers", "list")


def test_the_path_of_a_folder_names_a_dataset(folder: Path) -> None:
    assert told("send", str(folder / "gateway" / "krios" / "crystal"), "home")["source"] == "crystal"


def test_a_certificate_is_given_only_of_what_is_done(folder: Path) -> None:
    run("send", "krios/crystal", "home")
    with pytest.raises(Conflict, match="is queued: there is no certificate"):
        run("transfers", "certificate", "1")


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("send", "krios/crystal", "nowhere"), NotFound),
        (("send", "krios/none", "home"), NotFound),
        (("send", "glacios/crystal", "home"), NotFound),
        (("send", "krios/crystal", "home", "--folder", "../out"), BadInput),
        (("send", "krios/crystal", "home", "--accepted", "--square", "7"), BadInput),
        (("send", "krios/crystal", "home", "--accepted"), Conflict),
        (("transfers", "show", "9"), NotFound),
    ],
)
def test_what_cannot_be_is_refused_in_words(folder: Path, words: tuple[str, ...], error: type[PasserelleError]) -> None:
    with pytest.raises(error):
        run(*words)
