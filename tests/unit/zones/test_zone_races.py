"""Somebody swaps folders for links while rights are set: what lies outside a zone keeps owner and mode."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from passerelle.core.errors import PasserelleError
from passerelle.zones import Wanted, seal, settle_rights
from passerelle.zones.acl import Acl

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="only root could give away what is not its own")

TRIES = 400
WANTED = Wanted(61003, 62003, Acl(7, 0, 0, {61001: 7}), ())


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder like one in the zone, with a file of the same name: what an attacker wants."""
    made = tmp_path / "outside"
    (made / "b").mkdir(parents=True)
    for path in (made / "movie.mrc", made / "b" / "movie.mrc"):
        path.write_text("not yours")
        path.chmod(0o600)
    return made


@pytest.fixture
def zone(tmp_path: Path, outside: Path) -> Iterator[Path]:
    """A zone whose folder `a` is, at any moment, itself, a link to the outside, or away."""
    root = tmp_path / "zone"
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "movie.mrc").write_text("inside")
    (root / "a" / "b" / "movie.mrc").write_text("inside")
    (root / "link").symlink_to(outside)
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            with contextlib.suppress(OSError):
                os.rename(root / "a", root / "aside")
                os.rename(root / "link", root / "a")
                os.rename(root / "a", root / "link")
                os.rename(root / "aside", root / "a")

    thread = threading.Thread(target=swap)
    thread.start()
    yield root
    stop.set()
    thread.join()


def untouched(outside: Path) -> bool:
    found = [outside, *outside.rglob("*")]
    return all(path.stat().st_uid == 0 and not os.listxattr(path) for path in found) and all(
        path.stat().st_mode & 0o777 == 0o600 for path in found if path.is_file()
    )


def test_setting_rights_never_leads_out(zone: Path, outside: Path) -> None:
    changed = 0
    for number in range(TRIES):
        changed += settle_rights(zone, WANTED if number % 2 else Wanted(61004, 62003, WANTED.folder, ())).changed
        assert untouched(outside)
    assert changed > TRIES


def test_sealing_never_leads_out(zone: Path, outside: Path) -> None:
    done = 0
    for number in range(TRIES * 5):
        with contextlib.suppress(PasserelleError):
            done += seal(zone, PurePosixPath("a/b/movie.mrc"), uid=61003 + number % 2)
        assert untouched(outside)
    assert done
