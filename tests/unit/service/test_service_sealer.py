"""Movies that were taken over are sealed in their time; what is added to for hours, or is open, is not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from passerelle.core.states import FileState
from passerelle.service.sealer import Sealer, sealer_of
from passerelle.service.settings import Settings
from passerelle.store import Database, files, sessions

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="files are given away by root only")

PC = 61001


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "krios"
    (made / "s1").mkdir(parents=True)
    os.chown(made / "s1", PC, PC)
    return made


@pytest.fixture
def session(database: Database) -> int:
    with database.write() as connection:
        return sessions.create(
            connection, instrument="krios", root="s1", name="s1", program="epu", recipe={}, thresholds={}, at=1.0
        ).id


def taken(database: Database, session: int, folder: Path, name: str, *, role: str = "movie", whole_at: float = 100.0) -> Path:
    path = folder / "s1" / name
    path.write_bytes(b"x" * 100)
    os.chown(path, PC, PC)
    status = path.stat()
    seen = files.Seen(
        path=f"s1/{name}",
        role=role,
        movie_key=name,
        frame=None,
        state=FileState.WHOLE,
        size=100,
        mtime_ns=status.st_mtime_ns,
        inode=status.st_ino,
        generation=0,
        at=whole_at,
        whole_at=whole_at,
    )
    with database.write() as connection:
        files.record(connection, session, [seen])
    return path


def sealed(path: Path) -> bool:
    status = path.stat()
    return status.st_uid == 0 and not status.st_mode & 0o222 and path.parent.stat().st_mode & 0o1000 != 0


def test_a_movie_is_sealed_when_its_time_has_come_and_sidecars_never(database: Database, session: int, folder: Path) -> None:
    now = [150.0]
    movie = taken(database, session, folder, "a.mrc")
    sidecar = taken(database, session, folder, "a.mdoc", role="movie_metadata")
    later = taken(database, session, folder, "b.mrc", whole_at=120.0)
    sealer = Sealer(database, {"krios": folder}, after_seconds=60.0, clock=lambda: now[0])
    assert sealer.step() == 0
    now[0] = 165.0
    assert sealer.step() == 1
    assert (sealed(movie), sealed(sidecar), sealed(later)) == (True, False, False)
    now[0] = 185.0
    assert (sealer.step(), sealer.step()) == (1, 0)
    assert sealed(later)
    assert Sealer(database, {"krios": folder}, after_seconds=60.0, clock=lambda: now[0]).step() == 0


def test_a_movie_that_is_open_waits_and_one_that_changed_is_left_to_the_watch(
    database: Database, session: int, folder: Path
) -> None:
    movie, changed = taken(database, session, folder, "a.mrc"), taken(database, session, folder, "b.mrc")
    os.utime(changed, ns=(1, 1))
    sealer = Sealer(database, {"krios": folder}, after_seconds=0.0, clock=lambda: 200.0)
    with movie.open("ab"):
        assert sealer.step() == 0
    assert sealer.step() == 1
    assert (sealed(movie), sealed(changed)) == (True, False)


def test_what_vanished_or_became_a_link_is_passed_over(database: Database, session: int, folder: Path, tmp_path: Path) -> None:
    gone, link, last = (taken(database, session, folder, name) for name in ("a.mrc", "b.mrc", "c.mrc"))
    gone.unlink()
    link.unlink()
    (tmp_path / "outside").write_text("mine")
    os.chown(tmp_path / "outside", PC, PC)
    link.symlink_to(tmp_path / "outside")
    assert Sealer(database, {"krios": folder}, after_seconds=0.0, clock=lambda: 200.0).step() == 1
    assert sealed(last)
    assert (tmp_path / "outside").stat().st_uid == PC


def test_files_are_sealed_only_where_a_pc_writes_through_samba(database: Database, tmp_path: Path) -> None:
    table = {
        "state": {"folder": tmp_path},
        "instruments": {"krios": {"folder": tmp_path / "krios"}},
        "shares": {"folder": tmp_path / "shares"},
        "pcs": {"krios-pc": {"instrument": "krios", "account": "pc", "address": "10.0.0.1"}},
    }
    assert sealer_of(Settings.model_validate(table), database) is not None
    for key, value in (("shares", {}), ("pcs", {}), ("shares", {"folder": tmp_path / "shares", "seal": False})):
        assert sealer_of(Settings.model_validate(table | {key: value}), database) is None
