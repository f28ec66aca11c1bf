"""Who has a file open, as smbd says: an answer counts only if it is younger than the file's last change."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from passerelle.core.errors import ProgramFailed
from passerelle.programs.samba import OpenFile, Status
from passerelle.service.samba_writers import SambaWriters, samba_writers
from passerelle.service.settings import Settings

MOVIE = Path("/gateway/krios/a.mrc")


class Smbd:
    """What smbd would say, and how often it was asked."""

    def __init__(self) -> None:
        self.open: set[tuple[str, bool]] = set()
        self.asked = 0
        self.down = False

    def __call__(self, config: Path) -> Status:
        self.asked += 1
        if self.down:
            raise ProgramFailed("does not tell", path="smbstatus")
        return Status((), tuple(OpenFile(PurePosixPath(path), 1, writing) for path, writing in self.open))


@pytest.fixture
def smbd() -> Smbd:
    return Smbd()


@pytest.fixture
def now() -> list[float]:
    return [100.0]


@pytest.fixture
def writers(smbd: Smbd, now: list[float], tmp_path: Path) -> SambaWriters:
    (tmp_path / "smb.conf").touch()
    return SambaWriters([tmp_path / "smb.conf", tmp_path / "none.conf"], ask=smbd, clock=lambda: now[0])


def nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)


def test_a_file_that_a_client_writes_is_open_and_one_that_is_read_is_not(writers: SambaWriters, smbd: Smbd) -> None:
    smbd.open = {(str(MOVIE), True), ("/gateway/krios/b.mrc", False)}
    assert writers(MOVIE, nanoseconds(99)) is True
    assert writers(Path("/gateway/krios/b.mrc"), nanoseconds(99)) is False
    assert writers(Path("/gateway/krios/c.mrc"), nanoseconds(99)) is False
    assert smbd.asked == 1


def test_an_answer_from_before_the_last_change_says_nothing(writers: SambaWriters, smbd: Smbd, now: list[float]) -> None:
    assert writers(MOVIE, nanoseconds(99)) is False
    now[0] = 100.1
    assert writers(MOVIE, nanoseconds(100.05)) is None  # asked a moment ago: not again so soon
    now[0] = 100.3
    smbd.open = {(str(MOVIE), True)}
    assert writers(MOVIE, nanoseconds(100.05)) is True
    assert smbd.asked == 2
    now[0] = 106.0
    smbd.open = set()
    assert writers(MOVIE, nanoseconds(100.05)) is False


def test_a_clock_of_the_file_in_the_future_is_not_believed(writers: SambaWriters) -> None:
    assert writers(MOVIE, nanoseconds(1e6)) is None


def test_a_smbd_that_does_not_answer_says_nothing_and_is_left_alone_for_a_while(
    writers: SambaWriters, smbd: Smbd, now: list[float]
) -> None:
    smbd.down = True
    for moment in (100.0, 101.0, 130.0):
        now[0] = moment
        assert writers(MOVIE, nanoseconds(99)) is None
    assert smbd.asked == 1
    smbd.down, now[0] = False, 161.0
    assert writers(MOVIE, nanoseconds(99)) is False


def test_it_is_asked_for_instruments_whose_pcs_write_through_samba_alone(tmp_path: Path) -> None:
    table = {
        "instruments": {name: {"folder": tmp_path / name} for name in ("krios", "glacios")},
        "pcs": {"krios-pc": {"instrument": "krios", "account": "pc", "address": "10.0.0.1"}},
    }
    assert samba_writers(Settings.model_validate(table)) == {}
    assert set(samba_writers(Settings.model_validate(table | {"shares": {"folder": tmp_path}}))) == {"krios"}
