"""The copy is killed at each of its system calls, and each of them is made to fail: never a wrong file under its final name."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from passerelle.core.errors import PasserelleError
from passerelle.transfer import copy_dataset, dataset, plan
from passerelle.transfer.beneath import Root
from passerelle.transfer.ledger import read_manifest
from passerelle.transfer.medium import BLOCK_BYTES

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed (tests/apt.txt)")

BATCH = 3
CALLS = (
    *("openat", "openat2", "newfstatat", "preadv2", "write", "pwrite64", "fsync", "fdatasync", "syncfs", "renameat2", "renameat"),
    *("rename", "unlinkat", "mkdirat", "symlinkat", "linkat", "ftruncate", "fchmod", "fchown", "fchownat", "utimensat"),
    *("flistxattr", "fcntl", "close", "getdents64", "flock", "fallocate", "fadvise64"),
)
FAILING = {
    "write": ("ENOSPC", "EDQUOT", "EIO"),
    "pwrite64": ("ENOSPC", "EDQUOT", "EIO", "EINTR"),
    "preadv2": ("EIO", "EINTR"),
    "fsync": ("EIO", "ENOSPC", "EDQUOT"),
    "fdatasync": ("EIO", "ENOSPC"),
    "syncfs": ("EIO", "ENOSPC", "EINTR"),
    "renameat2": ("EIO", "ENOSPC", "EDQUOT", "EACCES", "EINVAL", "EINTR"),
    "renameat": ("EIO", "ENOSPC"),
    "mkdirat": ("ENOSPC", "EACCES"),
    "openat2": ("ENOSYS", "EAGAIN", "EMFILE", "ENOMEM"),
    "openat": ("EMFILE", "ENFILE", "EIO", "ESTALE"),
    "ftruncate": ("EIO", "ENOSPC"),
    "fallocate": ("ENOSPC", "EOPNOTSUPP", "EINTR"),
    "linkat": ("EMLINK", "EPERM", "EIO", "EDQUOT"),
    "symlinkat": ("ENOSPC", "EPERM"),
    "fchown": ("EPERM",),
    "utimensat": ("EPERM",),
    "unlinkat": ("EIO",),
    "fcntl": ("EINVAL",),  # O_DIRECT is refused
    "getdents64": ("EIO",),
}


@pytest.fixture(scope="module")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in memory, where there is one: what a kill leaves does not depend on the medium, and runs are many."""
    folder = Path(tempfile.mkdtemp(dir="/dev/shm")) if os.access("/dev/shm", os.W_OK) else tmp_path_factory.mktemp("kill")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def tmp_path(memory: Path) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(dir=memory))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def source(memory: Path) -> Path:
    folder = memory / "source"
    (folder / "a" / "b").mkdir(parents=True)
    for number in range(11):
        (folder / "a" / f"small {number}").write_bytes(os.urandom(3000 + number))
    for number in range(BATCH):  # not plain: these go the way of large files
        os.setxattr(folder / "a" / f"small {5 + number}", "user.grid", b"square")
    (folder / "a" / "b" / "middling").write_bytes(os.urandom(1 << 20))
    (folder / "a" / "b" / "large").write_bytes(os.urandom(2 * BLOCK_BYTES + 100))
    (folder / "link").symlink_to("x")
    os.link(folder / "a" / "small 1", folder / "z")
    time.sleep(0.05)  # so that no copy waits for the kernel's clock to tick
    return folder


@pytest.fixture(autouse=True)
def _one_lane(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the calls come in the same order each time, in batches small enough to be killed between."""
    monkeypatch.setattr(dataset, "_LARGE_LANES", 1)
    monkeypatch.setattr(dataset, "_BLOCK_LANES", 1)
    monkeypatch.setattr(plan, "_SMALL_FILES", BATCH)


def traced(source: Path, target: Path, options: list[str], output: str = os.devnull) -> tuple[int, dict[str, Any]]:
    """Run a copy in a child of this process, with strace at its side; return how it ended, and what it said."""
    reading, writing = socket.socketpair()  # what is said passes by no call that is made to fail
    child = os.fork()
    if child == 0:
        os.kill(os.getpid(), signal.SIGSTOP)
        code = 99
        try:
            done = copy_dataset(source, target, processes=0)
            said = {
                "whole": done.whole,
                "problems": [each.kind for each in done.problems],
                "notes": [each[1] for each in done.notes],
            }
            code = 0
        except PasserelleError as error:
            said = {"whole": False, "problems": [type(error).__name__], "notes": []}
            code = 0
        except BaseException as error:  # noqa: BLE001 - told to the parent
            said = {"crash": repr(error)}
        try:
            writing.sendall(json.dumps(said).encode())
        finally:
            os._exit(code)
    writing.close()
    os.waitpid(child, os.WUNTRACED)
    strace = subprocess.Popen(["strace", "-f", "-qq", "-o", output, *options, "-p", str(child)])
    while "TracerPid:\t0\n" in Path(f"/proc/{child}/status").read_text():
        assert strace.poll() is None, "strace may not attach"
        time.sleep(0.0005)
    os.kill(child, signal.SIGCONT)
    _, status = os.waitpid(child, 0)
    strace.wait()
    with reading, reading.makefile("rb") as stream:
        said = stream.read()
    return os.waitstatus_to_exitcode(status), json.loads(said) if said else {}


def counts(source: Path, folder: Path) -> dict[str, int]:
    """Return how often a copy makes each call."""
    table = folder / "calls"
    code, said = traced(source, folder / "counted", ["-c", "-U", "calls,name"], str(table))
    assert (code, said["whole"]) == (0, True)
    rows = [line.split() for line in table.read_text().splitlines()]
    return {row[1]: int(row[0]) for row in rows if len(row) == 2 and row[0].isdigit()}


def files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink() and ".passerelle" not in path.parts)


def nothing_wrong(source: Path, target: Path) -> set[str]:
    """Return the final names that are taken; each of them must stand for the whole file."""
    there = {str(path.relative_to(target)): path for path in files(target) if not path.name.startswith(".p-")}
    for name, path in there.items():
        assert path.read_bytes() == (source / name).read_bytes(), name
    return set(there)


def converges(source: Path, target: Path, known: set[str], *, one_file: bool = True) -> None:
    """Run again: all is there, what was verified is not copied again, nothing is left over.

    one_file: two names of one file are so again; where the first failed, the second became a file of its own, and that was said.
    """
    again = copy_dataset(source, target, processes=0)
    assert again.whole, again.problems
    assert again.unchanged >= len(known)
    assert {str(path.relative_to(target)) for path in files(target)} == {str(path.relative_to(source)) for path in files(source)}
    nothing_wrong(source, target)
    assert os.readlink(target / "link") == "x"
    if one_file:
        assert (target / "z").stat().st_ino == (target / "a" / "small 1").stat().st_ino
    assert sorted(path.name for path in (target / ".passerelle").iterdir()) == ["lock", "manifest.jsonl"]


def rows(target: Path) -> set[str]:
    if not target.exists():
        return set()
    with Root(target) as root:
        return set(read_manifest(root).rows)


def test_killed_at_every_system_call_it_leaves_nothing_wrong_and_goes_on(source: Path, tmp_path: Path) -> None:
    number = counts(source, tmp_path)
    points = 0
    for call in CALLS:
        for when in range(1, number.get(call, 0) + 1):
            target = tmp_path / "target"
            code, said = traced(source, target, ["-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when={when}"])
            if code != -signal.SIGKILL:
                assert said["whole"], (call, when, said)  # no thread has made it so often
                shutil.rmtree(target)
                break
            points += 1
            known = rows(target)
            taken = nothing_wrong(source, target) if target.exists() else set()
            assert known - {"link"} <= taken, (call, when)
            assert len(taken - known) <= BATCH, (call, when)  # what will be copied a second time
            converges(source, target, known)
            shutil.rmtree(target)
    print(f"\nkilled at {points} points")
    assert points >= 300


@pytest.mark.parametrize("call", FAILING)
def test_a_call_that_fails_leaves_nothing_wrong_and_is_told(call: str, source: Path, tmp_path: Path) -> None:
    number = counts(source, tmp_path).get(call, 0)
    for error in FAILING[call]:
        failed = 0
        for when in sorted({*range(1, min(number, 4) + 1), number // 2, number} - {0}):
            target = tmp_path / "target"
            options = ["-e", f"trace={call}", "-e", f"inject={call}:error={error}:when={when}"]
            code, said = traced(source, target, options)
            assert code == 0, (call, error, when, said)
            failed += not said["whole"]
            known = rows(target)
            taken = nothing_wrong(source, target) if target.exists() else set()
            assert known - {"link"} <= taken
            if said["whole"]:
                assert taken == {str(path.relative_to(source)) for path in files(source)}, (call, error, when)
            if error in {"ENOSPC", "EDQUOT"} and not said["whole"]:
                assert "OutOfSpace" in said["problems"], (call, error, when, said)
            of_its_own = any("file of its own" in note for note in said["notes"])
            converges(source, target, known, one_file=not of_its_own)
            shutil.rmtree(target)


@pytest.mark.parametrize("call", ["write", "pwrite64", "mkdirat", "linkat,renameat2"])
def test_a_disk_that_stays_full_is_said_at_once_and_cleanly(call: str, source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    code, said = traced(source, target, ["-e", f"trace={call}", "-e", f"inject={call}:error=ENOSPC:when=1+"])
    assert code == 0, said
    assert "OutOfSpace" in said["problems"]
    assert not nothing_wrong(source, target)
    assert not list(target.rglob(".p-*"))
    converges(source, target, set())


@pytest.mark.parametrize("plain", [True, False])
def test_the_five_steps_are_made_in_their_order(plain: bool, tmp_path: Path) -> None:
    source, target, log = tmp_path / "source", tmp_path / "target", tmp_path / "log"
    source.mkdir()
    (source / "one").write_bytes(b"content")
    if not plain:
        os.setxattr(source / "one", "user.grid", b"square")
    time.sleep(0.05)
    calls = "openat,pwrite64,fsync,fadvise64,preadv2,linkat,renameat2,write,fdatasync"
    traced(source, target, ["-y", "-e", f"trace={calls}"], str(log))
    lines = [line.split(maxsplit=1)[1] for line in log.read_text().splitlines()]
    first = (
        r'openat\(.*"\.", O_RDWR\|O.*TMPFILE' if plain else r'openat\(.*"\.p-[0-9a-f]+-0", O_RDWR\|O_CREAT\|O_EXCL\|O_NOFOLLOW'
    )
    last = r'linkat\(.*"/proc/self/fd/.*"one", ' if plain else r'renameat2\(.*"\.p-.*"one", RENAME_NOREPLACE'
    steps = [
        first,
        r"pwrite64\(.*content",
        r"fsync\(",
        r"fadvise64\(.*POSIX_FADV_DONTNEED",
        r"preadv2\(.*content",
        last,
        r"fsync\(.*/target>",
        r"write\(.*/journal",
        r"fdatasync\(.*/journal",
    ]
    found = iter(lines)
    for step in steps:
        assert any(re.match(step, line) for line in found), (step, lines)


def test_a_lost_write_back_is_copied_again_and_not_synced_again(source: Path, tmp_path: Path) -> None:
    """fsync reports a lost write once, and then that all is well."""
    target = tmp_path / "target"
    _, said = traced(source, target, ["-e", "trace=syncfs", "-e", "inject=syncfs:error=EIO:when=1+"])
    assert said["whole"]
    assert any("copied again" in note for note in said["notes"])
    nothing_wrong(source, target)
