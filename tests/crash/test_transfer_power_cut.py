"""The power is cut while the copy runs, right after it, and while it recovers: what was called verified is there.

A loop device with ext4 or XFS is shut down as a power cut does it: what has not reached the medium is dropped.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import shutil
import struct
import subprocess
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from passerelle.core.errors import PasserelleError
from passerelle.transfer import copy_dataset
from passerelle.transfer.beneath import Root
from passerelle.transfer.ledger import Ledger, read_manifest
from passerelle.transfer.manifest import Row, journal_lines, read_journal
from passerelle.transfer.medium import BLOCK_BYTES

_SHUTDOWN = 0x8004587D  # XFS_IOC_GOINGDOWN, EXT4_IOC_SHUTDOWN: the same number and meaning
_NO_FLUSH_OF_THE_LOG = struct.pack("I", 2)
CUTS = int(os.environ.get("PASSERELLE_SOAK_CUTS", "66"))  # `make soak` sets more


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("power") / "source"
    chance = random.Random(1)
    for square in range(3):
        inside = folder / f"GridSquare {square}" / "Data"
        inside.mkdir(parents=True)
        for number in range(20):
            (inside / f"{number}").write_bytes(chance.randbytes(chance.randrange(30_000)))
        (inside / "movie").write_bytes(chance.randbytes(1 << 20))
    (folder / "large").write_bytes(chance.randbytes(BLOCK_BYTES + 5_000))
    (folder / "link").symlink_to("large")
    time.sleep(0.05)
    return folder


class Disk:
    """A file system on a file, whose power can be cut."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.image, self.mount = folder / "image", folder / "mount"
        self.mount.mkdir()
        with self.image.open("wb") as stream:
            stream.truncate((64 if kind == "ext4" else 320) << 20)
        _run(["mkfs.ext4", "-q", "-F"] if kind == "ext4" else ["mkfs.xfs", "-q", "-f"], self.image)
        self.on()

    def on(self) -> None:
        _run(["mount", "-o", "loop"], self.image, self.mount)

    def off(self) -> None:
        deadline = time.monotonic() + 60
        while subprocess.run(["umount", self.mount], check=False, capture_output=True).returncode:
            assert time.monotonic() < deadline, "cannot be unmounted"
            time.sleep(0.02)

    def cut(self) -> None:
        descriptor = os.open(self.mount, os.O_RDONLY)
        with contextlib.suppress(OSError):  # it is off already
            fcntl.ioctl(descriptor, _SHUTDOWN, _NO_FLUSH_OF_THE_LOG)
        os.close(descriptor)

    def empty(self) -> None:
        for path in self.mount.iterdir():
            if path.name != "lost+found":
                shutil.rmtree(path)


def _run(command: list[str], *paths: Path) -> None:
    done = subprocess.run([*command, *map(str, paths)], check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"{command[0]}: {done.stderr.strip()}")


@pytest.fixture(params=["ext4", "xfs"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    if os.geteuid():
        pytest.skip("only root may mount a file system")
    if shutil.which(f"mkfs.{request.param}") is None:
        pytest.skip(f"mkfs.{request.param} is not installed (tests/apt.txt)")
    made = Disk(tmp_path, request.param)
    yield made
    with contextlib.suppress(AssertionError):
        made.off()


def told_rows(source: Path, target: Path, pipe: int) -> None:
    """Copy in this process, and write down outside what is called verified, as soon as it is."""
    record = Ledger.record

    def recorded(self: Ledger, rows: Iterable[Row]) -> None:
        rows = list(rows)
        record(self, rows)
        os.write(pipe, journal_lines(rows))

    Ledger.record = recorded  # in a child process of its own
    with contextlib.suppress(PasserelleError):
        copy_dataset(source, target, processes=0)


def copy_until_cut(source: Path, disk: Disk, after: float | None) -> list[Row]:
    """Copy, and cut the power so many seconds after the start, or right after the end; return what was called verified till then.

    What is said after the cut is not counted: a real one leaves nobody to hear it, and here a sync that it strikes may still
    be told that all is well.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            told_rows(source, disk.mount / "target", writing)
        finally:
            os._exit(0)
    os.close(writing)
    if after is None:
        os.waitpid(child, 0)
    else:
        time.sleep(after)
    with os.fdopen(reading, "rb") as stream:
        os.set_blocking(reading, False)
        said = stream.read() or b""
        disk.cut()
        if after is not None:
            os.waitpid(child, 0)
    rows, _ = read_journal(said)
    return rows


def all_there(source: Path, target: Path, rows: list[Row]) -> None:
    for row in rows:
        if row.link_to:
            assert os.readlink(target / row.path) == row.link_to
        else:
            assert (target / row.path).read_bytes() == (source / row.path).read_bytes(), row.path
    if target.exists():
        for path in target.rglob("*"):
            if path.is_file() and not path.name.startswith(".p-") and ".passerelle" not in path.parts:
                assert path.read_bytes() == (source / path.relative_to(target)).read_bytes(), path


def test_what_was_verified_survives_a_power_cut(disk: Disk, source: Path) -> None:
    chance = random.Random(2)
    whole = sum(path.is_file() for path in source.rglob("*"))
    verified = ended = 0
    began = time.monotonic()
    copy_until_cut(source, disk, None)
    longest = time.monotonic() - began
    disk.off()
    disk.on()
    disk.empty()
    rows: list[Row] = []
    for number in range(CUTS // 2):
        # a third right after success, the others anywhere; every other time the copy of before is gone on with
        rows += copy_until_cut(source, disk, None if number % 3 == 0 else chance.uniform(0, 0.7 * longest))
        disk.off()
        disk.on()
        verified += len(rows)
        if rows:
            with Root(disk.mount / "target") as root:
                assert {row.path for row in rows} <= read_manifest(root).rows.keys()
        all_there(source, disk.mount / "target", rows)
        ended += len({row.path for row in rows}) == whole
        if number % 2:
            done = copy_dataset(source, disk.mount / "target", processes=0)
            assert done.whole
            assert done.unchanged >= len({row.path for row in rows})
            disk.empty()
            rows = []
    print(f"\n{CUTS // 2} cuts, {verified} verified files looked for, {ended} copies had ended")
    assert verified > whole
    assert ended >= CUTS // 12
