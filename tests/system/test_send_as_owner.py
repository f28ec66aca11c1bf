"""A dataset that root's service brings to a zone is the zone owner's, and the process that brings it can write nothing else."""

from __future__ import annotations

import json
import os
import pwd
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from passerelle.programs import Conversation
from passerelle.service.accounts import machine_accounts
from passerelle.transfer import verify_dataset
from passerelle.transfer.become import Account
from passerelle.transfer.courier import COMMAND, Order
from passerelle.zones import Who, Zone, ZoneKind, settle_rights, wanted

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="other accounts are taken on by root only")
OWNER, READER, STRANGER = "games", "daemon", "man"  # accounts that every Debian has


@pytest.fixture
def place(open_folder: Path) -> Path:
    return open_folder


@pytest.fixture
def source(place: Path) -> Path:
    """A session that only root may read, as an instrument PC leaves it."""
    folder = place / "gateway" / "session"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "movie.mrc").write_bytes(os.urandom(9_000_000))
    for number in range(150):  # more than are copied without a process for small files
        (folder / "data" / f"{number}.xml").write_bytes(os.urandom(500 + number))
    (folder / "out").symlink_to("/etc/shadow")
    for path in (folder, folder / "data", *(folder / "data").iterdir()):
        path.chmod(0o700 if path.is_dir() else 0o600)
    (place / "gateway").chmod(0o700)
    return folder


@pytest.fixture
def zone(place: Path) -> Zone:
    made = Zone("games", ZoneKind.PERSONAL, place / "zone", OWNER, Who.of([READER]))
    made.root.mkdir()
    settle_rights(made.root, wanted(made, machine_accounts("users")))
    return made


def account(name: str = OWNER) -> Account:
    found = pwd.getpwnam(name)
    return Account(name, found.pw_uid, found.pw_gid, tuple(os.getgrouplist(name, found.pw_gid)))


def bring(source: Path, root: Path, folder: str, who: Account | None, **changes: Any) -> dict[str, Any]:
    """Have a courier bring a dataset; return its last word."""
    order = Order((str(source.parent), source.name), (str(root), folder), "gateway to zone", who, **changes)
    courier = Conversation([sys.executable, *COMMAND])
    try:
        courier.say(order.line())
        deadline = time.monotonic() + 180
        lines: list[str] = []
        while courier.code() is None and time.monotonic() < deadline:
            lines += courier.heard()
            time.sleep(0.01)
        lines += courier.heard()
        assert lines, courier.last_words()
        return json.loads(lines[-1])
    finally:
        courier.close()


def test_files_are_the_owners_in_the_zones_group_with_the_zones_list(source: Path, zone: Zone) -> None:
    ended = bring(source, zone.root, "datasets/krios/session", account())["ended"]
    assert ended["problem_count"] == 0, ended
    assert ended["files"] == 152
    target = zone.root / "datasets" / "krios" / "session"
    for path in (zone.root / "datasets", target, *target.rglob("*")):
        status = path.lstat()
        assert (status.st_uid, status.st_gid) == (account().user, machine_accounts("users").service_gid), path
        if path.is_dir():
            assert status.st_mode & stat.S_ISGID, path
        if not path.is_symlink():
            mode = stat.S_IMODE(status.st_mode)
            assert mode & 0o007 == 0, path
    assert verify_dataset(target).whole
    movie = target / "data" / "movie.mrc"
    assert reads(READER, movie)
    assert not reads(STRANGER, movie)
    assert os.readlink(target / "out") == "/etc/shadow"


def test_where_the_owner_may_not_write_nothing_is_written(source: Path, place: Path) -> None:
    closed = place / "another"
    closed.mkdir(mode=0o755)
    told = bring(source, closed, "datasets", account())
    assert told["error"][0] == "NotAllowed"
    assert list(closed.iterdir()) == []


def test_a_file_of_another_that_lies_in_the_zone_is_not_overwritten(source: Path, zone: Zone) -> None:
    target = zone.root / "session"
    (target / "data").mkdir(parents=True)
    (target / "data" / "movie.mrc").write_bytes(b"root's")
    ended = bring(source, zone.root, "session", account()).get("ended", {})
    assert (target / "data" / "movie.mrc").read_bytes() == b"root's"
    assert ended.get("problem_count", 1) >= 1


def test_a_link_in_the_zone_or_in_the_source_leads_nowhere(source: Path, zone: Zone, place: Path) -> None:
    outside = place / "outside"
    outside.mkdir(mode=0o777)
    outside.chmod(0o777)
    (zone.root / "datasets").symlink_to(outside)
    refused = {"NotAllowed", "NotFound"}
    assert bring(source, zone.root, "datasets/krios", account())["error"][0] in refused
    (source.parent / "linked").symlink_to("/etc")
    assert bring(source.parent / "linked", zone.root, "etc", account())["error"][0] in refused
    assert list(outside.iterdir()) == []
    assert not (zone.root / "etc" / "passwd").exists()


@pytest.mark.parametrize("who", [Account("root", 0, 0), Account("half", 5, 0), Account("other", 5, 60, (60, 0))])
def test_nothing_is_written_as_root(source: Path, zone: Zone, who: Account) -> None:
    kind, words, advice = bring(source, zone.root, "session", who)["error"]
    assert kind == "NotAllowed"
    assert "root" in words
    assert "--owner" in advice
    assert not (zone.root / "session").exists()


PROBE = """
import json, os, subprocess, sys
from passerelle.transfer.become import Account, become
become(Account(*json.loads(sys.argv[1])))
found = {}
for name, act in json.loads(sys.argv[2]).items():
    try:
        exec(act)
        found[name] = "done"
    except OSError as error:
        found[name] = os.strerror(error.errno)
    except subprocess.CalledProcessError as error:
        found[name] = "refused"
print(json.dumps(found))
"""


def test_a_process_that_became_the_owner_reads_all_and_writes_only_what_is_the_owners(place: Path, zone: Zone) -> None:
    secret = place / "secret"
    secret.write_text("x")
    secret.chmod(0o600)

    def in_a_program(act: str) -> str:
        return f"subprocess.run({[sys.executable, '-I', '-c', act]!r}, check=True, stderr=subprocess.DEVNULL)"

    acts = {
        "read": f"open({str(secret)!r}).read()",
        "read in a program that is started": in_a_program(f"open({str(secret)!r}).read()"),
        "write into the zone": f"open({str(zone.root / 'mine')!r}, 'x')",
        "write over it": f"open({str(secret)!r}, 'a')",
        "make beside": f"open({str(place / 'new')!r}, 'x')",
        "remove": f"os.unlink({str(secret)!r})",
        "give": f"os.chown({str(zone.root / 'mine')!r}, 0, 0)",
        "mode": f"os.chmod({str(secret)!r}, 0o777)",
        "become root": "os.setuid(0)",
        "join group": "os.setgroups([0])",
        "write in a program that is started": in_a_program(f"open({str(place / 'new2')!r}, 'x')"),
    }
    command = [sys.executable, "-P", "-c", PROBE, json.dumps(account()), json.dumps(acts)]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout)
    allowed = {"read", "read in a program that is started", "write into the zone"}
    assert {name for name, how in found.items() if how == "done"} == allowed, found
    assert set(os.listdir(place)) == {"secret", "zone"}


def reads(name: str, path: Path) -> bool:
    """Whether an account of this machine can read a file."""
    found = pwd.getpwnam(name)
    child = os.fork()
    if child == 0:
        os.setgroups(os.getgrouplist(name, found.pw_gid))
        os.setgid(found.pw_gid)
        os.setuid(found.pw_uid)
        try:
            with open(path, "rb") as stream:
                stream.read(1)
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
