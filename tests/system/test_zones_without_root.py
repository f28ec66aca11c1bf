"""Zones as one person without root makes them, in a process of that person: nothing is configured but a folder."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from passerelle.cli.app import app  # noqa: F401 - loaded now: the person cannot read root's Python
from passerelle.core.errors import NotAllowed
from passerelle.service.access import this_account
from passerelle.service.settings import Settings, anchored
from passerelle.service.zones import Zones
from passerelle.store import Database
from passerelle.zones import Who, ZoneKind

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="other accounts are taken on by root only")
READER, STRANGER = "daemon", "games"  # accounts that every Debian has


@pytest.fixture
def home(migrated_file: Path) -> Iterator[Path]:
    """A folder of nobody's with a database: where the checkout lies, nobody may read no migrations."""
    made = Path(tempfile.mkdtemp(prefix="passerelle-person-"))
    made.chmod(0o711)
    (made / "state").mkdir()
    shutil.copyfile(migrated_file, made / "state" / "passerelle.sqlite")
    for path in (made, *made.rglob("*")):
        os.chown(path, pwd.getpwnam("nobody").pw_uid, pwd.getpwnam("nobody").pw_gid)
    yield made
    shutil.rmtree(made)


def as_person(home: Path, work: Callable[[Path], Any]) -> Any:
    """Run `work` in a process of nobody and return what it returns."""
    account = pwd.getpwnam("nobody")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setgroups([])
            os.setgid(account.pw_gid)
            os.setuid(account.pw_uid)
            os.chdir(home)
            (home / "answer.json").write_text(json.dumps(work(home)))
            code = 0
        except BaseException:  # noqa: BLE001 - a child tells and ends, whatever it was
            traceback.print_exc()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    return json.loads((home / "answer.json").read_text())


def reads(account: str, path: Path) -> bool:
    entry = pwd.getpwnam(account)
    ended = subprocess.run(
        ["cat", path], user=entry.pw_uid, group=entry.pw_gid, extra_groups=[], capture_output=True, check=False, cwd="/"
    )
    return ended.returncode == 0


def opened(home: Path) -> Zones:
    settings = anchored(Settings(), home)
    return Zones(Database(settings.database_url), settings)


def test_one_person_makes_uses_and_archives_a_zone(home: Path) -> None:
    def work(home: Path) -> Any:
        zones, me = opened(home), this_account()
        view = zones.create(me, "mine", kind=ZoneKind.PERSONAL, owner=me.name)
        (home / "zones/mine/d").mkdir()
        (home / "zones/mine/d/movie").write_bytes(b"x")
        listed = zones.browse(me, "mine", "d")
        return [
            view.notes,
            [entry.name for entry in listed.entries],
            zones.archive(me, "mine").state,
            zones.activate(me, "mine").state,
        ]

    assert as_person(home, work) == [[], ["movie"], "archived", "active"]
    movie = home / "zones/mine/d/movie"
    assert movie.stat().st_uid == pwd.getpwnam("nobody").pw_uid
    assert not reads(READER, movie)


def test_others_are_let_in_by_name_and_out_again_without_root(home: Path) -> None:
    def let_in(home: Path) -> Any:
        zones, me = opened(home), this_account()
        view = zones.create(me, "shared", kind=ZoneKind.PLATFORM, owner=me.name, readers=Who.of([READER]))
        (home / "zones/shared/movie").write_bytes(b"x")
        return view.notes

    def let_out(home: Path) -> Any:
        return opened(home).change(this_account(), "shared", readers=Who()).notes

    assert as_person(home, let_in) == []
    movie = home / "zones/shared/movie"
    assert (reads(READER, movie), reads(STRANGER, movie)) == (True, False)
    assert as_person(home, let_out) == []
    assert (reads(READER, movie), reads(STRANGER, movie)) == (False, False)


def test_a_folder_of_another_person_is_refused_in_words(home: Path) -> None:
    (home / "roots").mkdir(mode=0o755)

    def work(home: Path) -> Any:
        me = this_account()
        try:
            opened(home).create(
                me, "theirs", kind=ZoneKind.PLATFORM, owner=me.name, root=home / "roots", readers=Who.of([READER])
            )
        except NotAllowed as problem:
            return str(problem)
        return ""

    assert "is not this account's to change" in as_person(home, work)
