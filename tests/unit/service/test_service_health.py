"""What goes wrong slowly is seen, said with what to do, and told of by alerts that end with their cause."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from passerelle.cli.app import app
from passerelle.core.errors import BadFile
from passerelle.core.states import TransferState
from passerelle.gateway.watch_limits import watch_limits
from passerelle.service import checks_machine, checks_service
from passerelle.service.caretaker import Caretaker
from passerelle.service.certificates import holds_until
from passerelle.service.checks import Check, Level, worst
from passerelle.service.clocks import clock_is_synchronised, drift_seconds, drift_words
from passerelle.service.health import doctor
from passerelle.service.housekeeping import buffer_of
from passerelle.service.settings import InstrumentSettings, Settings, StateSettings, WebSettings
from passerelle.service.settings_care import BufferSettings, NoticeSettings
from passerelle.store import alerts, notices, transfers, zones
from passerelle.testing.bench import MOVIE, SIDECAR, Bench, sidecar

DAY = 86400.0


def certificate(folder: Path, days: int) -> Path:
    """Make a certificate that holds for so many days."""
    path = folder / f"{days}.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=x"]
    command += ["-days", str(days), "-keyout", str(folder / "key.pem"), "-out", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    return path


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
@pytest.mark.parametrize("days", [10, 400, 20_000])  # beyond 2050 the time is of another kind
def test_the_end_of_a_certificate_is_read_from_its_file(tmp_path: Path, days: int) -> None:
    path = certificate(tmp_path, days)
    assert holds_until(path) == pytest.approx(time.time() + days * DAY, abs=300)
    both = tmp_path / "both.pem"
    both.write_bytes(path.read_bytes() + certificate(tmp_path, 5).read_bytes())
    assert holds_until(both) == pytest.approx(time.time() + 5 * DAY, abs=300)
    settings = Settings(web=WebSettings(certificate=both, key=tmp_path / "key.pem"))
    now = time.time()
    levels = [next(checks_machine.certificates(settings, now + ahead * DAY)).level for ahead in (-30, 0, 6)]
    assert levels == [Level.WELL, Level.WARNING, Level.ERROR]


@pytest.mark.parametrize("content", ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_what_is_no_certificate_is_said_so(tmp_path: Path, content: str) -> None:
    path = tmp_path / "x.pem"
    path.write_text(content)
    with pytest.raises(BadFile):
        holds_until(path)
    assert next(checks_machine.certificates(Settings(web=WebSettings(certificate=path, key=path)))).level is Level.ERROR


def test_a_drift_is_believed_only_where_files_agree() -> None:
    assert drift_seconds([-420.0 + n for n in range(10)]) == pytest.approx(-415.5)
    assert drift_seconds([3.0] * 7) is None
    assert drift_seconds([-float(n * n * 100) for n in range(20)]) is None  # copied, with the times of long ago
    assert drift_seconds([-0.3] * 18 + [-86400.0] * 2) == pytest.approx(-0.3)
    assert drift_words(-420.0) == "7 minutes behind this machine's"
    assert drift_words(3 * 3600.0) == "3.0 hours ahead of this machine's"
    assert clock_is_synchronised() in (True, False, None)


def test_the_clock_of_a_pc_is_judged_by_its_latest_files(bench: Bench) -> None:
    bench.now = time.time()
    names = [MOVIE.replace("_12_", f"_{number}_") for number in range(30, 42)]
    for name in names:
        bench.take(bench.whole(name))
    (well,) = checks_machine.clocks_of_pcs(bench.database, ["krios", "talos"])
    assert (well.level, well.instrument) == (Level.WELL, "krios")
    for name in names:
        os.utime(bench.folder / name, (bench.now - 600,) * 2)
        bench.take(bench.whole(name, None, generation=1))  # type: ignore[arg-type] - it is there already
    (bad,) = checks_machine.clocks_of_pcs(bench.database, ["krios"])
    assert (bad.level, bad.kind) == (Level.WARNING, "clock_krios")
    assert "10 minutes behind" in bad.words


def test_watches_are_counted_and_held_against_the_kernels_limit(tmp_path: Path) -> None:
    limits, fd, info = tmp_path / "sys/fs/inotify", tmp_path / "7/fd", tmp_path / "7/fdinfo"
    for folder in (limits, fd, info):
        folder.mkdir(parents=True)
    (limits / "max_user_watches").write_text("4\n")
    (limits / "max_user_instances").write_text("128\n")
    (fd / "3").symlink_to("anon_inode:inotify")
    (fd / "4").symlink_to("/dev/null")
    (info / "3").write_text("pos:\t0\n" + "inotify wd:1 ino:2\n" * 3)
    found = watch_limits(tmp_path)
    assert found is not None
    assert (found.watches, found.instances, found.share) == (3, 1, 0.75)
    assert watch_limits(tmp_path / "nowhere") is None
    real = watch_limits()
    assert real is None or real.most_watches > 0


def test_the_copy_of_the_database_gets_old(bench: Bench) -> None:
    (absent,) = checks_service.backup(bench.parts)
    assert absent.level is Level.WARNING
    bench.database.backup(bench.parts.places.backup)
    (fresh,) = checks_service.backup(bench.parts)
    assert fresh.level is Level.WELL
    (late,) = checks_service.backup(bench.parts, time.time() + 4 * 3600)
    assert (late.level, late.kind) == (Level.WARNING, "backup")


def test_a_database_whose_settings_lose_commits_is_said(bench: Bench) -> None:
    assert bench.database.durability().safe
    found = list(checks_service.database(bench.parts))
    assert [check.level for check in found] == [Level.WELL, Level.WELL]
    assert "journal_mode=wal, synchronous=2" in found[1].words


@pytest.mark.parametrize(
    ("hours", "percent", "level"),
    [
        (None, 40, "well"),
        (30, 60, "well"),
        (9, 60, "warning"),
        (2, 60, "error"),
        (0, 96, "error"),
        (None, 91, "warning"),
    ],
)
def test_the_buffer_alarms_before_it_is_full(bench: Bench, hours: float | None, percent: float, level: str) -> None:
    (view,) = buffer_of(bench.parts).state()
    view = view.model_copy(update={"hours_to_stop": hours, "percent": percent, "bytes_per_hour": 1e12 if hours else None})
    assert checks_service.buffer_level(view, BufferSettings(), 90.0) == level
    assert "stop line" in checks_service.buffer_words(view) or hours is None


def test_notices_that_do_not_go_out_are_said(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "urls"
    path.write_text("staff json://127.0.0.1:9\n")
    parts = replace(bench.parts, settings=bench.parts.settings.model_copy(update={"notices": NoticeSettings(urls_file=path)}))
    assert [check.level for check in checks_service.notices_sent(parts)] == [Level.WARNING, Level.WELL]
    path.chmod(0o600)
    assert [check.level for check in checks_service.notices_sent(parts)] == [Level.WELL]
    with bench.database.write() as connection:
        notices.add(connection, ["staff"], cause="c", kind="disk", level="error", title="t", body="b", at=1.0)
        notices.later(connection, 1, problem="`staff` did not take it", next_at=2.0)
    (bad,) = checks_service.notices_sent(parts)
    assert (bad.level, bad.kind) == (Level.WARNING, "notices")
    assert "did not take it" in bad.words
    path.write_text("")
    assert next(checks_service.notices_sent(parts)).level is Level.WARNING
    path.unlink()
    assert next(checks_service.notices_sent(parts)).level is Level.ERROR


def test_transfers_that_stand_still_or_lack_files_are_said(bench: Bench, tmp_path: Path) -> None:
    nobody: dict[str, list[str]] = {"people": [], "groups": []}
    with bench.database.write() as connection:
        zone = zones.create(
            connection, name="anna", kind="personal", root=str(tmp_path / "z"), owner="a", readers=nobody, writers=nobody, at=1.0
        )
        for name in ("still", "short"):
            made = transfers.create(
                connection, person="a", groups=[], through="page", instrument="krios", source=name, session_id=None, name=name,
                selection="whole", zone_id=zone.id, folder=name, at=1.0,
            )  # fmt: skip
            transfers.change_state(connection, made.id, TransferState.RUNNING, at=1000.0)
        transfers.change_state(connection, 2, TransferState.INCOMPLETE, at=1000.0, problem_count=3)
    seen: dict[int, checks_service.Stand] = {}

    def look(at: float) -> dict[str, str]:
        return {check.kind: check.words for check in checks_service.transfers_flow(bench.parts, seen, at) if not check.well}

    assert look(1000.0) == {"transfer_2": "Transfer 2 to zone anna ended incomplete: 3 files are not there."}
    assert "has not moved for 17 minutes" in look(2000.0 + 30)["transfer_1"]
    with bench.database.write() as connection:
        transfers.note(connection, 1, progress={"moved": 5})
    assert look(2060.0).keys() == {"transfer_2"}
    assert look(1000.0 + 2 * DAY).keys() == {"transfer_1"}


def test_checks_raise_alerts_that_end_with_their_cause(bench: Bench) -> None:
    said: list[Check] = []
    keeper = Caretaker(bench.database, buffer_of(bench.parts), lambda: said, clock=lambda: bench.now)

    def standing() -> dict[str, tuple[str, str | None]]:
        with bench.database.read() as connection:
            return {alert.kind: (alert.level, alert.instrument) for alert in alerts.standing(connection)}

    with bench.database.write() as connection:
        alerts.raise_(connection, "folder_krios", level="error", message="another rule's", at=1.0)
    said[:] = [
        Check("smbd", Level.ERROR, "No smbd runs.", "Start it.", "smbd"),
        Check("clock of krios", Level.WARNING, "7 minutes.", "Set it.", "clock_krios", "krios"),
        Check("program x", Level.ERROR, "not there"),
        Check("backup", Level.WELL, "fine", kind="backup"),
    ]
    keeper.step()
    assert standing() == {"folder_krios": ("error", None), "smbd": ("error", None), "clock_krios": ("warning", "krios")}
    said[:] = [Check("smbd", Level.WARNING, "does not answer", "", "smbd")]
    keeper.step()
    assert standing() == {"folder_krios": ("error", None), "smbd": ("warning", None)}
    said.clear()
    keeper.step()
    assert standing() == {"folder_krios": ("error", None)}
    assert keeper.checks == []


def test_doctor_looks_at_everything_and_names_what_is_wrong(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.take(bench.whole(MOVIE), bench.whole(SIDECAR, sidecar()))
    names = {check.name for check in doctor(bench.parts, buffer_of(bench.parts))}
    assert {
        "passerelle",
        "folder of state",
        "database",
        "durability",
        "clock",
        "backup",
        "buffer of krios",
        "last file of krios",
    } <= names
    bench.folder.rename(tmp_path / "away")
    bad = {check.name: check for check in doctor(bench.parts, buffer_of(bench.parts)) if check.level is Level.ERROR}
    assert "folder of krios" in bad
    assert bad["folder of krios"].advice
    bench.parts.close()
    assert worst(list(bad.values())) is Level.ERROR
    assert worst([]) is Level.WELL


def test_a_card_that_is_not_there_is_said(tmp_path: Path) -> None:
    own = InstrumentSettings(folder=tmp_path)
    settings = Settings(state=StateSettings(folder=tmp_path), instruments={"krios": own}, work={"devices": ["cuda:63"]})
    *_, last = checks_machine.python(settings)
    assert last.level is Level.ERROR
    assert last.advice


def test_the_command_ends_with_the_gravest(tmp_path: Path) -> None:
    (tmp_path / "krios").mkdir()
    config = tmp_path / "passerelle.toml"
    config.write_text('[state]\nfolder = "state"\n[instruments.krios]\nfolder = "krios"\n')
    run = CliRunner().invoke(app, ["doctor", "--config", str(config), "--json"])
    found = json.loads(run.stdout)
    assert run.exit_code == {"well": 0, "warning": 1, "error": 2}[found["worst"]]
    assert {"configuration", "database", "backup"} <= {check["name"] for check in found["checks"]}
    (tmp_path / "krios").rmdir()
    run = CliRunner().invoke(app, ["doctor", "--config", str(config)])
    assert run.exit_code == 2
    assert "is not there" in run.stdout
    config.write_text("[statf]\n")
    run = CliRunner().invoke(app, ["doctor", "--config", str(config), "--json"])
    assert run.exit_code == 2
    assert "statf" in json.loads(run.stdout)["checks"][0]["words"]
