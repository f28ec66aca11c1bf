"""Shares through a real smbd: instrument PCs write each to their own, people see their zones, rights are taken back at once."""

from __future__ import annotations

import contextlib
import os
import pwd
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
import smbclient
from smbprotocol.exceptions import SMBException, SMBOSError

from passerelle.compute import InlineExecutor
from passerelle.core.errors import BadConfiguration
from passerelle.formats.mrc_write import write_mrc_stack
from passerelle.programs.samba import samba_status
from passerelle.programs.samba_config import samba_settings
from passerelle.service.access import POWERS, Actor, PersonRole, Through
from passerelle.service.samba_writers import SambaWriters
from passerelle.service.settings import Settings
from passerelle.service.shares import LEGACY, MODERN, Shares
from passerelle.service.wiring import assemble, dispatcher
from passerelle.testing.crash_service import QUICK
from passerelle.testing.samba_facility import GROUP, PASSWORD, PCS, PEOPLE, ROOT, SambaFacility, missing, wait_for
from passerelle.zones import Who, ZoneKind, seal

DENIED = "NT_STATUS_ACCESS_DENIED"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    # not pytest's: another run of pytest closes that one to all accounts but root
    with tempfile.TemporaryDirectory(prefix="passerelle-shares-") as made:
        yield Path(made)


@pytest.fixture(scope="module")
def facility(folder: Path) -> Iterator[SambaFacility]:
    if reason := missing():
        pytest.skip(reason)
    made = SambaFacility(folder / "facility")
    for name in ("krios", "glacios"):
        made.zones.create(ROOT, name, kind=ZoneKind.INSTRUMENT, owner="root", readers=Who.of(["pt-alice"]))
    made.zones.create(ROOT, "alice", kind=ZoneKind.PERSONAL, owner="pt-alice")
    made.zones.create(
        ROOT, "cryo", kind=ZoneKind.PLATFORM, owner="pt-alice", readers=Who.of(["pt-bob"]), writers=Who.of([], [GROUP])
    )
    (made.folder / "movie.mrc").write_bytes(os.urandom(300_000))
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def remote(facility: SambaFacility) -> Iterator[dict]:
    """What each call of smbprotocol is given, and the connections of this test alone."""
    cache: dict = {}
    yield {"port": facility.port, "connection_cache": cache}
    for connection in cache.values():
        connection.disconnect(close=False)


def session(remote: dict, account: str) -> dict:
    return remote | {"username": account, "password": PASSWORD}


# -- instrument PCs --


def test_a_pc_writes_reads_back_renames_and_deletes_what_it_has_not_finished(facility: SambaFacility) -> None:
    said = facility.client(
        "krios-pc", "pt-krios", "mkdir s1; put movie.mrc s1/a.tmp; rename s1/a.tmp s1/a.mrc; put movie.mrc s1/b.mrc; del s1/b.mrc"
    )
    assert "NT_STATUS" not in said
    assert facility.client("krios-pc", "pt-krios", "get s1/a.mrc back.mrc").find("NT_STATUS") < 0
    written = facility.folder / "gateway/krios/s1/a.mrc"
    assert written.read_bytes() == (facility.folder / "movie.mrc").read_bytes() == (facility.folder / "back.mrc").read_bytes()
    assert not (facility.folder / "gateway/krios/s1/b.mrc").exists()


@pytest.mark.parametrize(
    ("share", "account"),
    [
        ("glacios-pc", "pt-krios"),
        ("krios-pc", "pt-glacios"),
        ("krios-pc", "pt-alice"),
        ("alice", "pt-krios"),
        ("cryo", "pt-krios"),
        ("krios", "pt-krios"),
    ],
)
def test_a_pc_opens_its_own_share_and_nothing_else(facility: SambaFacility, share: str, account: str) -> None:
    assert DENIED in facility.client(share, account, "ls")


def test_a_wrong_password_and_no_password_are_refused(facility: SambaFacility) -> None:
    assert "NT_STATUS_LOGON_FAILURE" in facility.client("krios-pc", "pt-krios", "ls", password="wrong")
    told = subprocess.run(
        ["smbclient", "//127.0.0.1/krios-pc", "-p", str(facility.port), "-N", "-c", "ls"], capture_output=True, text=True
    )
    assert DENIED in told.stdout + told.stderr


def test_what_was_taken_over_is_sealed_and_the_rest_stays_the_pcs(facility: SambaFacility) -> None:
    folder = facility.folder / "gateway/krios"
    facility.client("krios-pc", "pt-krios", "mkdir s2; mkdir s2/d; put movie.mrc s2/d/taken.mrc; put movie.mrc s2/d/open.mrc")
    assert seal(folder, PurePosixPath("s2/d/taken.mrc"), uid=os.getuid())
    assert not seal(folder, PurePosixPath("s2/d/taken.mrc"), uid=os.getuid())
    before = (folder / "s2/d/taken.mrc").read_bytes()
    for command in (
        "del s2/d/taken.mrc",
        "put movie.mrc s2/d/taken.mrc",
        "rename s2/d/taken.mrc s2/d/other.mrc",
        "rename s2/d/open.mrc s2/d/taken.mrc -f",
        "rename s2/d s2/e",
        "rename s2 s3",
        "setmode s2/d/taken.mrc -r",
    ):
        assert DENIED in facility.client("krios-pc", "pt-krios", command), command
    facility.client("krios-pc", "pt-krios", "deltree s2")
    assert (folder / "s2/d/taken.mrc").read_bytes() == before
    said = facility.client(
        "krios-pc", "pt-krios", "put movie.mrc s2/d/new.tmp; rename s2/d/new.tmp s2/d/new.mrc; put movie.mrc s2/d/open.mrc"
    )
    assert "NT_STATUS" not in said
    assert {path.name for path in (folder / "s2/d").iterdir()} == {"taken.mrc", "new.mrc", "open.mrc"}


def test_no_link_leads_a_pc_out_of_its_share(facility: SambaFacility) -> None:
    (facility.folder / "gateway/krios/link").symlink_to(facility.folder / "gateway/glacios")
    facility.client("glacios-pc", "pt-glacios", "put movie.mrc secret.mrc")
    assert "NT_STATUS" in facility.client("krios-pc", "pt-krios", "get link/secret.mrc stolen.mrc")
    assert not (facility.folder / "stolen.mrc").exists() or not (facility.folder / "stolen.mrc").stat().st_size


def test_two_pcs_write_at_a_time_and_smbd_says_what_is_open(facility: SambaFacility, remote: dict) -> None:
    content = os.urandom(1 << 20)

    def write(share: str, account: str, stop: threading.Event) -> None:
        options = session({"port": facility.port, "connection_cache": {}}, account)
        with smbclient.open_file(rf"\\127.0.0.1\{share}\live.mrc", mode="wb", share_access="r", **options) as stream:
            stream.write(content)
            stop.wait(300)

    stop = threading.Event()
    threads = [threading.Thread(target=write, args=(share, account, stop)) for share, account in PCS.items()]
    for thread in threads:
        thread.start()
    expected = {facility.folder / f"gateway/{name}/live.mrc" for name in ("krios", "glacios")}
    try:
        for _ in range(100):
            status = samba_status(facility.config)
            if expected <= {Path(each.path) for each in status.open_files if each.writing}:
                break
            time.sleep(0.1)
        assert expected <= {Path(each.path) for each in status.open_files if each.writing}
        assert {("krios-pc", "pt-krios"), ("glacios-pc", "pt-glacios")} <= {
            (each.share, each.account) for each in status.connections
        }
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not expected & {Path(each.path) for each in samba_status(facility.config).open_files}
    assert (facility.folder / "gateway/krios/live.mrc").read_bytes() == content


WRITES_AND_SLEEPS = """
import sys, time, smbclient
port, password = int(sys.argv[1]), sys.argv[2]
who = {"username": "pt-krios", "password": password, "port": port}
stream = smbclient.open_file(r"\\\\127.0.0.1\\krios-pc\\killed.mrc", mode="wb", share_access="r", buffering=0, **who)
stream.write(b"x" * 100000)
print("written", flush=True)
time.sleep(600)
"""


def test_smbd_says_who_writes_and_that_a_killed_pc_does_not_any_more(facility: SambaFacility) -> None:
    path = facility.folder / "gateway/krios/killed.mrc"
    writers = SambaWriters([facility.config])
    client = subprocess.Popen(
        [sys.executable, "-c", WRITES_AND_SLEEPS, str(facility.port), PASSWORD], stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        assert client.stdout is not None
        assert client.stdout.readline().strip() == b"written"
        assert eventually(lambda: writers(path, path.stat().st_mtime_ns), True)
    finally:
        client.kill()
        client.wait()
    assert eventually(lambda: writers(path, path.stat().st_mtime_ns), False)
    assert path.stat().st_size == 100_000


def eventually(ask: Callable[[], object], wanted: object, *, seconds: int = 90) -> bool:
    for _ in range(seconds * 10):
        if ask() is wanted:
            return True
        time.sleep(0.1)
    return False


def test_the_service_takes_a_movie_over_while_the_pc_goes_on_and_then_it_is_sealed(facility: SambaFacility) -> None:
    folder = facility.folder
    write_mrc_stack(folder / "frames.mrc", np.zeros((3, 64, 64), np.int16) + np.arange(64, dtype=np.int16), 1.0)
    settings = facility.settings.model_dump(mode="json")
    settings["shares"] |= {"seal_after_minutes": 0}
    settings["state"] = {"folder": folder / "service"}
    settings["instruments"]["glacios"] |= {"program": "generic"}
    del settings["instruments"]["krios"], settings["pcs"]["krios-pc"]
    parts = assemble(Settings.model_validate(settings))
    loop = dispatcher(parts, executor=InlineExecutor(QUICK))

    def processed() -> int:  # other tests have left movies there that are none
        return sum(view.counters.done for view in parts.status.sessions())

    loop.start()
    try:
        said = facility.client("glacios-pc", "pt-glacios", "mkdir run; put frames.mrc run/m1.mrc; put movie.mrc run/notes.txt")
        assert "NT_STATUS" not in said
        taken = folder / "gateway/glacios/run/m1.mrc"
        assert eventually(lambda: processed() == 1, True)
        assert eventually(lambda: taken.stat().st_uid == 0 and not taken.stat().st_mode & 0o222, True)
        assert DENIED in facility.client("glacios-pc", "pt-glacios", "del run/m1.mrc")
        said = facility.client("glacios-pc", "pt-glacios", "put movie.mrc run/notes.txt; put frames.mrc run/m2.mrc")
        assert "NT_STATUS" not in said
        assert eventually(lambda: processed() == 2, True)
    finally:
        loop.stop()
        parts.close()


# -- zones --


def test_the_owner_writes_from_windows_and_the_file_is_hers(facility: SambaFacility) -> None:
    assert "NT_STATUS" not in facility.client("alice", "pt-alice", "mkdir d; put movie.mrc d/m.mrc")
    status = (facility.folder / "zones/alice/d/m.mrc").stat()
    assert status.st_uid == pwd.getpwnam("pt-alice").pw_uid
    assert not status.st_mode & 0o007


def local(account: str, path: Path, how: str) -> bool:
    """Try as another account, in a process of it, on the machine itself: what a processing job gets."""
    entry = pwd.getpwnam(account)
    command = {"read": ["cat", f"{path}/probe"], "write": ["dd", "if=/dev/zero", f"of={path}/local-{account}", "bs=1", "count=1"]}
    ended = subprocess.run(
        command[how],
        check=False,
        user=entry.pw_uid,
        group=entry.pw_gid,
        extra_groups=os.getgrouplist(account, entry.pw_gid),
        cwd="/",
        capture_output=True,
        timeout=120,
    )
    return ended.returncode == 0


def remotely(facility: SambaFacility, account: str, zone: str, how: str) -> bool:
    command = "get probe probe.back" if how == "read" else f"put movie.mrc smb-{account}"
    return "NT_STATUS" not in facility.client(zone, account, command)


@pytest.mark.parametrize("zone", ["alice", "cryo", "krios"])
def test_access_by_samba_equals_access_on_the_machine_and_both_what_the_zone_says(facility: SambaFacility, zone: str) -> None:
    view = facility.zones.get(ROOT, zone)
    place = Path(view.linux)
    (place / "probe").write_bytes(b"x")
    facility.zones.repair(ROOT, zone)
    for account in PEOPLE:
        groups = frozenset({GROUP} if account == "pt-carol" else ())
        visitor = Actor(account, PersonRole.USER, POWERS[PersonRole.USER], Through.PAGE, groups)
        allowed = next((each.may for each in facility.zones.list(visitor) if each.name == zone), [])
        for how in ("read", "write"):
            found = (local(account, place, how), remotely(facility, account, zone, how))
            assert found == (how in allowed,) * 2, (account, how)


def test_a_stranger_is_denied_at_the_door(facility: SambaFacility, remote: dict) -> None:
    with pytest.raises(SMBException) as told:
        smbclient.listdir(r"\\127.0.0.1\alice", **session(remote, "pt-bob"))
    assert "STATUS_ACCESS_DENIED" in str(told.value)
    assert DENIED in facility.client("alice", "pt-bob", "ls")


def test_an_archived_zone_is_read_and_not_written(facility: SambaFacility) -> None:
    facility.zones.archive(ROOT, "cryo")
    try:
        assert not remotely(facility, "pt-alice", "cryo", "write")
        assert not local("pt-alice", facility.folder / "zones/cryo", "write")
        assert remotely(facility, "pt-bob", "cryo", "read")
    finally:
        facility.zones.activate(ROOT, "cryo")
    assert remotely(facility, "pt-alice", "cryo", "write")


def test_a_right_taken_back_reaches_who_is_connected_and_nobody_else(facility: SambaFacility, remote: dict) -> None:
    facility.zones.change(ROOT, "cryo", readers=Who.of(["pt-bob"]))
    facility.client("cryo", "pt-alice", "put movie.mrc big.mrc")
    other = {"port": facility.port, "connection_cache": {}}
    streams = {}
    for account, options in (("pt-bob", session(remote, "pt-bob")), ("pt-carol", session(other, "pt-carol"))):
        streams[account] = smbclient.open_file(r"\\127.0.0.1\cryo\big.mrc", mode="rb", share_access="rwd", **options)
        assert len(streams[account].read(1000)) == 1000
    view = facility.zones.change(ROOT, "cryo", readers=Who())
    assert view.notes == []
    with pytest.raises((SMBException, SMBOSError, OSError)):
        for _ in range(600):
            streams["pt-bob"].raw.fd.read(0, 1000)
            time.sleep(0.1)
    assert len(streams["pt-carol"].read(1000)) == 1000
    streams["pt-carol"].close()
    assert DENIED in facility.client("cryo", "pt-bob", "ls")
    for connection in other["connection_cache"].values():
        connection.disconnect(close=False)


def test_a_right_to_write_taken_back_reaches_an_open_file(facility: SambaFacility, remote: dict) -> None:
    options = session(remote, "pt-carol")
    stream = smbclient.open_file(r"\\127.0.0.1\cryo\carol.mrc", mode="wb", share_access="r", buffering=0, **options)
    stream.write(b"x" * 1000)
    facility.zones.change(ROOT, "cryo", writers=Who(), readers=Who.of(["pt-bob"], [GROUP]))
    try:
        with pytest.raises((SMBException, SMBOSError, OSError)):
            for _ in range(600):
                stream.write(b"y" * 1000)
                time.sleep(0.1)
        assert remotely(facility, "pt-bob", "cryo", "read")
        assert not remotely(facility, "pt-carol", "cryo", "write")
    finally:
        facility.zones.change(ROOT, "cryo", writers=Who.of([], [GROUP]), readers=Who.of(["pt-bob"]))


# -- the files --


def test_a_configuration_that_samba_does_not_take_never_replaces_the_one_in_force(facility: SambaFacility, monkeypatch) -> None:
    before = facility.config.read_bytes()

    def broken(server, shares):
        meant = samba_settings(server, shares)
        meant["alice"] = meant["alice"] | {"no such setting": "yes"}
        return meant

    monkeypatch.setattr("passerelle.service.shares.samba_settings", broken)
    with pytest.raises(BadConfiguration, match="no such setting"):
        facility.shares.apply(ROOT)
    assert facility.config.read_bytes() == before
    assert {path.name for path in facility.config.parent.iterdir()} == {MODERN, "acquisition.nft"}


def test_who_was_to_be_cut_off_when_the_service_died_is_cut_off_by_the_next_run(facility: SambaFacility, monkeypatch) -> None:
    facility.zones.change(ROOT, "alice", readers=Who.of(["pt-bob"]))

    class Killed(BaseException):
        pass

    def dies(path):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("passerelle.service.shares.reload_samba", dies)
        with pytest.raises(Killed):
            facility.zones.change(ROOT, "alice", readers=Who())
    applied = facility.shares.apply(ROOT)
    assert applied.cut_off == ["alice"]
    assert facility.shares.apply(ROOT).cut_off == []


def test_an_old_pc_is_served_by_a_smbd_of_its_own_on_its_own_address(facility: SambaFacility) -> None:
    place = facility.folder / "old"
    pcs = {
        "krios-pc": {"instrument": "krios", "account": "pt-krios", "address": "127.0.0.1"},
        "xp-pc": {"instrument": "glacios", "account": "pt-glacios", "address": "127.0.0.1", "legacy": True, "folder": "xp"},
    }
    settings = facility.settings.model_dump(mode="json")
    settings["pcs"] = pcs
    settings["shares"] |= {"folder": place / "shares", "private": place / "samba", "legacy_address": "127.0.0.9/8"}
    (facility.folder / "gateway/glacios/xp").mkdir(exist_ok=True)
    shares = Shares(facility.database, Settings.model_validate(settings))
    applied = shares.apply(ROOT)
    assert [Path(each).name for each in applied.files] == [MODERN, LEGACY, "acquisition.nft"]
    old = (place / "shares" / LEGACY).read_text()
    assert "interfaces = 127.0.0.9/8" in old
    assert "max protocol = NT1" in old
    assert "[xp-pc]" in old
    assert "[krios-pc]" not in old
    assert "[xp-pc]" not in (place / "shares" / MODERN).read_text()
    with running(place / "shares" / LEGACY, "127.0.0.9", facility.port):
        assert speaks_at(facility.port, "xp-pc", "pt-glacios", "NT1", "127.0.0.9")
        assert not speaks_at(facility.port, "xp-pc", "pt-glacios", "SMB3", "127.0.0.9")
    assert speaks_at(facility.port, "krios-pc", "pt-krios", "SMB3", "127.0.0.1")
    assert not speaks_at(facility.port, "krios-pc", "pt-krios", "NT1", "127.0.0.1")


@contextlib.contextmanager
def running(config: Path, address: str, port: int) -> Iterator[None]:
    words = f"{PASSWORD}\n{PASSWORD}\n".encode()
    subprocess.run(["smbpasswd", "-c", config, "-s", "-a", "pt-glacios"], input=words, check=True, capture_output=True)
    smbd = subprocess.Popen(
        ["smbd", "--foreground", "--no-process-group", "--debug-stdout", "-s", config],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for(address, port)
        yield
    finally:
        smbd.terminate()
        smbd.wait(60)


def speaks_at(port: int, share: str, account: str, protocol: str, address: str) -> bool:
    ended = subprocess.run(
        [
            *("smbclient", f"//{address}/{share}", "-p", str(port), "-U", f"{account}%{PASSWORD}"),
            *("-m", protocol, f"--option=client min protocol={protocol}", "-c", "ls"),
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return ended.returncode == 0
