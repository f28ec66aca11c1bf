"""Disks that turn bits, lose writes and fill up: the copy notices, names file and block, and leaves nothing wrong."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from passerelle.core.errors import StorageError
from passerelle.transfer import copy_dataset, verify_dataset
from passerelle.transfer.medium import BLOCK_BYTES

pytest.importorskip("mfusepy", exc_type=(ImportError, OSError), reason="libfuse2 is not installed (tests/apt.txt)")
from passerelle.testing.faulty_disk import MARK

Mounted = Callable[[Path, dict[str, Any]], tuple[Path, Path]]
FLIPPED_FILES = 440
ROUNDS = int(os.environ.get("PASSERELLE_SOAK_FLIPS", "440")) // FLIPPED_FILES


@pytest.fixture
def faulty(tmp_path: Path) -> Iterator[Mounted]:
    """Return a function that shows a folder through a faulty disk; it returns the mount and the log of faults."""
    if not os.access("/dev/fuse", os.W_OK):
        pytest.skip("there is no /dev/fuse")
    running: list[tuple[Path, subprocess.Popen[bytes]]] = []

    def mount(behind: Path, rules: dict[str, Any]) -> tuple[Path, Path]:
        seen, log = tmp_path / f"mount{len(running)}", tmp_path / f"log{len(running)}"
        behind.mkdir(exist_ok=True)
        seen.mkdir()
        command = [sys.executable, "-m", "passerelle.testing.faulty_disk", behind, seen, json.dumps(rules), log]
        process = subprocess.Popen(command, stderr=subprocess.PIPE)
        running.append((seen, process))
        deadline = time.monotonic() + 60
        while not os.path.ismount(seen):
            if process.poll() is not None:
                assert process.stderr is not None
                pytest.skip(f"FUSE: {process.stderr.read().decode()[-300:]}")
            assert time.monotonic() < deadline, "was not mounted"
            time.sleep(0.02)
        return seen, log

    yield mount
    for seen, process in running:
        deadline = time.monotonic() + 60
        while process.poll() is None:  # a loop device lets go of its image a moment after what lay on it was unmounted
            assert time.monotonic() < deadline, "cannot be unmounted"
            subprocess.run(["umount", seen], check=False)
            time.sleep(0.02)
        assert process.stderr is not None
        process.stderr.close()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "a").mkdir(parents=True)
    for number in range(40):
        (folder / "a" / f"{number:02}").write_bytes(os.urandom(50_000))
    (folder / "large").write_bytes(os.urandom(2 * BLOCK_BYTES + 7))
    time.sleep(0.05)
    return folder


def right(source: Path, target: Path) -> int:
    """Count the files of a target, each of which must be what it is in the source."""
    count = 0
    for path in target.rglob("*"):
        if path.is_file() and ".passerelle" not in path.parts:
            assert path.read_bytes() == (source / path.relative_to(target)).read_bytes()
            count += 1
    return count


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_every_bit_that_turns_on_its_way_to_the_medium_is_found_and_named(seed: int, tmp_path: Path, faulty: Mounted) -> None:
    source, behind = tmp_path / "source", tmp_path / "behind"
    source.mkdir()
    for number in range(FLIPPED_FILES):
        (source / f"{number:04}").write_bytes(random.randbytes(random.randrange(1, 30_000)))
    for number in range(5):
        (source / f"large {number}").write_bytes(os.urandom(3 * BLOCK_BYTES - 1000))
    mount, log = faulty(behind, {"flip": 0.7, "seed": seed})
    done = copy_dataset(source, mount / "target", processes=0)

    flips = [line.split()[1] for line in log.read_text().splitlines() if line.startswith("flip")]
    named: Counter[str] = Counter()
    for path, words in [*done.notes, *((each.path, each.message) for each in done.problems)]:
        assert words.count("block ") >= 1, (path, words)
        named.update(re.findall(r"block (\d+) \(bytes", words))
    assert named == Counter(flips)
    assert len(flips) >= 500
    assert done.files + len(done.problems) == FLIPPED_FILES + 5
    assert all("came back from the medium other than it was written" in each.message for each in done.problems)
    assert right(source, behind / "target") == done.files
    assert not list((behind / "target").rglob(".p-*"))
    print(f"\n{len(flips)} turned bits found and named; {done.files} files verified, {len(done.problems)} refused")


def test_a_bit_that_turns_below_the_file_system_is_found_and_named(tmp_path: Path, faulty: Mounted) -> None:
    """Small files of a local file system go their own way, hundreds at a time: here ext4 lies on a disk that turns bits."""
    if os.geteuid() or shutil.which("mkfs.ext4") is None:
        pytest.skip("only root may mount a file system")
    source, behind, seen = tmp_path / "source", tmp_path / "behind", tmp_path / "ext4"
    source.mkdir()
    seen.mkdir()
    for number in range(FLIPPED_FILES):
        content = MARK + b"%04d\n" % number + random.randbytes(random.randrange(4096, 30_000))
        (source / f"{number:04}").write_bytes(content)
    time.sleep(0.05)
    behind.mkdir()
    with (behind / "image").open("wb") as stream:
        stream.truncate(128 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", behind / "image"], check=True)
    mount, log = faulty(behind, {"flip_marked": 0.7})
    mounted = subprocess.run(["mount", "-o", "loop", mount / "image", seen], check=False, capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"mount: {mounted.stderr.strip()}")
    try:
        done = copy_dataset(source, seen / "target", processes=2)
        flips = Counter(line.split()[2] for line in log.read_text().splitlines())
        named: Counter[str] = Counter()
        for path, words in [*done.notes, *((each.path, each.message) for each in done.problems)]:
            named.update(path for _ in re.findall(r"block 0 \(bytes", words))
        assert named == flips
        assert flips.total() >= 500
        assert done.files + len(done.problems) == FLIPPED_FILES
        assert right(source, seen / "target") == done.files
    finally:
        subprocess.run(["umount", seen], check=True)
    print(f"\n{flips.total()} turned bits found and named; {done.files} files verified, {len(done.problems)} refused")


def test_a_bit_that_turns_later_is_found_by_verify(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    copy_dataset(source, target, processes=0)
    turned: set[str] = set()
    for path in sorted(target.rglob("*")):
        if path.is_file() and ".passerelle" not in path.parts and random.random() < 0.5:
            place = random.randrange(path.stat().st_size)
            with path.open("r+b") as stream:
                stream.seek(place)
                byte = stream.read(1)[0]
                stream.seek(place)
                stream.write(bytes([byte ^ 1 << random.randrange(8)]))
            turned.add(f"{path.relative_to(target)} {place // BLOCK_BYTES}")
    found = verify_dataset(target).problems
    assert {f"{each.path} {number}" for each in found for number in re.findall(r"block (\d+)", each.message)} == turned


def test_lost_writes_that_only_fsync_tells_of_are_copied_again(source: Path, tmp_path: Path, faulty: Mounted) -> None:
    mount, log = faulty(tmp_path / "behind", {"fsync_errors": 9})
    os.mkdir(mount / "target")
    done = copy_dataset(source, mount / "target", processes=0)
    if not done.whole:  # the journal itself was among those that were lost
        done = copy_dataset(source, mount / "target", processes=0)
    assert done.whole
    assert log.read_text().count("EIO") == 9
    assert right(source, tmp_path / "behind" / "target") == 41


def test_a_source_that_cannot_be_read_is_named_and_the_others_arrive(source: Path, tmp_path: Path, faulty: Mounted) -> None:
    mount, _ = faulty(source, {"read_error": "/17"})
    done = copy_dataset(mount, tmp_path / "target", processes=0)
    (problem,) = done.problems
    assert (problem.path, problem.kind) == ("a/17", "StorageError")
    assert "Input/output error" in problem.message
    assert right(source, tmp_path / "target") == 40


def test_writes_that_fail_now_and_then_leave_nothing_half(source: Path, tmp_path: Path, faulty: Mounted) -> None:
    mount, log = faulty(tmp_path / "behind", {"write_errors": 25})
    os.mkdir(mount / "target")
    verified = 0
    for _ in range(8):
        try:
            done = copy_dataset(source, mount / "target", processes=0)
        except StorageError:  # the write that failed was of the journal or the manifest: it is said, and the next run goes on
            assert right(source, tmp_path / "behind" / "target") >= verified
            continue
        verified = done.files
        assert right(source, tmp_path / "behind" / "target") >= verified
        if done.whole:
            break
    assert log.read_text() and verified
    assert not list((tmp_path / "behind" / "target").rglob(".p-*"))


def test_a_quota_that_is_used_up_is_said_and_leaves_only_whole_files(source: Path, tmp_path: Path) -> None:
    if os.geteuid() or shutil.which("mkfs.btrfs") is None:
        pytest.skip("only root may mount a file system with quotas, and mkfs.btrfs must be installed (tests/apt.txt)")
    image, seen = tmp_path / "image", tmp_path / "btrfs"
    seen.mkdir()
    with image.open("wb") as stream:
        stream.truncate(256 << 20)
    subprocess.run(["mkfs.btrfs", "-q", "-f", image], check=True, capture_output=True)
    if subprocess.run(["mount", "-o", "loop", image, seen], check=False).returncode:
        pytest.skip("this kernel has no btrfs")
    try:
        zone = seen / "zone"
        for words in (["subvolume", "create", zone], ["quota", "enable", seen], ["qgroup", "limit", "1500k", zone]):
            subprocess.run(["btrfs", *words], check=True, capture_output=True)
        done = copy_dataset(source / "a", zone / "target", processes=0)
        assert "OutOfSpace" in {each.kind for each in done.problems}
        assert 0 < right(source / "a", zone / "target") < 40
        subprocess.run(["btrfs", "qgroup", "limit", "none", zone], check=True)
        done = copy_dataset(source / "a", zone / "target", processes=0)
        assert done.whole, done.problems
        assert right(source / "a", zone / "target") == 40
    finally:
        subprocess.run(["umount", seen], check=True)


@pytest.mark.parametrize("how", ["fuse", "tmpfs"])
def test_a_full_disk_is_said_and_leaves_only_whole_files(how: str, source: Path, tmp_path: Path, faulty: Mounted) -> None:
    behind = tmp_path / "behind"
    if how == "fuse":
        mount, _ = faulty(behind, {"room": 1_000_000})
    else:
        behind.mkdir()
        mount = behind
        if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1500k", "none", behind], check=False).returncode:
            pytest.skip("only root may mount a file system")
    try:
        done = copy_dataset(source, mount / "target", processes=0)
        assert "OutOfSpace" in {each.kind for each in done.problems}
        assert any("no space left" in each.message for each in done.problems)
        assert right(source, behind / "target") >= done.files
        assert not list((behind / "target").rglob(".p-*"))
    finally:
        if how == "tmpfs":
            subprocess.run(["umount", behind], check=True)
            shutil.rmtree(behind)
