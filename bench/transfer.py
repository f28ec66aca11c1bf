"""Copy a dataset, durable and read back from the medium: this project beside rsync and rclone, and the disk itself (fio).

    make bench-transfer                            A: 4 × 1 GiB, B: 2,000 × 1 MiB, C: 20,000 × 10 KiB; median of 5; half an hour
    make bench-transfer ARGS="--quick --json F"    a twelfth of that, once; at most 50 s
    make bench-transfer ARGS="--folder /data"      on the disk of this folder; default: that of the temporary folder

R is what one does by hand to be as sure: `rsync -a`, sync of the file system, the caches dropped, `rsync -acn`, which must find
nothing. rclone is `rclone copy` and `rclone check`; it reads back from the page cache, so that only its CPU time is compared.
Each work is done with the source cold and warm; the worse ratio counts. Ratios are ours ÷ peer: less is better. It runs as root,
as the caches are dropped.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import shutil
import statistics
import struct
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.measure import Cost, run_command, write_figures

_DROP_CACHES = Path("/proc/sys/vm/drop_caches")
_GET_FLAGS, _SET_FLAGS, _APART = 0x80086601, 0x40086602, 0x00020000  # FS_IOC_GETFLAGS, …, FS_TOPDIR_FL
_OURS = """
import sys
from pathlib import Path
from passerelle.transfer import copy_dataset
done = copy_dataset(Path(sys.argv[1]), Path(sys.argv[2]))
assert done.whole, done.problems
"""


@dataclass(frozen=True)
class Work:
    """So many files of so many bytes."""

    name: str
    files: int
    size: int

    def make(self, folder: Path) -> Path:
        source = folder / self.name
        source.mkdir()
        for number in range(self.files):
            with (source / f"{number:05}.mrc").open("wb") as stream:
                for start in range(0, self.size, 16 << 20):
                    stream.write(os.urandom(min(16 << 20, self.size - start)))
        os.sync()
        return source


FULL = (Work("a", 4, 1 << 30), Work("b", 2000, 1 << 20), Work("c", 20_000, 10 << 10))
QUICK = (Work("a", 2, 192 << 20), Work("b", 170, 1 << 20), Work("c", 4000, 10 << 10))


def drop_caches() -> None:
    os.sync()
    _DROP_CACHES.write_text("3")


def warm(source: Path) -> None:
    drop_caches()
    for path in sorted(source.iterdir()):
        with path.open("rb", buffering=0) as stream:
            while stream.read(16 << 20):
                pass


def plus(*costs: Cost) -> Cost:
    return Cost(sum(each.cpu_s for each in costs), sum(each.wall_s for each in costs), max(each.peak_gib for each in costs))


def by_us(source: Path, target: Path) -> Cost:
    return run_command([sys.executable, "-c", _OURS, source, target], log=target.with_suffix(".log"))


def by_rsync(source: Path, target: Path) -> Cost:
    copied = run_command(["rsync", "-a", f"{source}/", f"{target}/"])
    synced = run_command(["sync", "-f", target])
    drop_caches()
    log = target.with_suffix(".log")
    compared = run_command(["rsync", "-acn", "--out-format=%n", f"{source}/", f"{target}/"], log=log)
    assert not log.read_text().strip("./\n"), log.read_text()[:300]
    return plus(copied, synced, compared)


def by_rclone(source: Path, target: Path) -> Cost:
    quiet = ["--config", os.devnull, "--log-level", "ERROR"]
    return plus(run_command(["rclone", "copy", source, target, *quiet]), run_command(["rclone", "check", source, target, *quiet]))


class Place:
    """Where targets are made. Files of old ones are emptied, and deleted at the end only: ext4 takes minutes to reuse their
    inodes, and looks at each of them whenever a file is made meanwhile, whoever makes it. So that files which others delete do
    not count either, each target lies in a part of the disk of its own (chattr +T), where the file system has that.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.count = 0
        with contextlib.suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY)
            flags = struct.unpack("I", fcntl.ioctl(descriptor, _GET_FLAGS, bytes(4)))[0]
            fcntl.ioctl(descriptor, _SET_FLAGS, struct.pack("I", flags | _APART))
            os.close(descriptor)

    def target(self) -> Path:
        self.count += 1
        return self.folder / f"target{self.count}"

    def free(self, target: Path) -> None:
        for path in target.rglob("*"):
            if path.is_file():
                os.truncate(path, 0)
        os.sync()


def costs(
    tool: Callable[[Path, Path], Cost], source: Path, place: Place, before: Callable[[Path], None], repeat: int
) -> list[Cost]:
    found: list[Cost] = []
    for _ in range(repeat):
        before(source)
        target = place.target()
        found.append(tool(source, target))
        place.free(target)
    return found


def middle(found: list[Cost]) -> Cost:
    return Cost(*(statistics.median(getattr(each, name) for each in found) for name in ("cpu_s", "wall_s", "peak_gib")))


def compare(work: Work, source: Path, place: Place, repeat: int) -> tuple[dict[str, float], Cost]:
    """Return the ratios of one work, and what the warm copy cost us."""
    name = work.name
    figures: dict[str, float] = {f"copy_{name}_wall_ratio": 0.0, f"copy_{name}_cpu_ratio": 0.0}
    ours: Cost | None = None
    for state, before in (("cold", lambda _source: drop_caches()), ("warm", warm)):
        # in turns, so that what else the machine does meets both alike
        pairs = [(costs(by_us, source, place, before, 1)[0], costs(by_rsync, source, place, before, 1)[0]) for _ in range(repeat)]
        ours, peer = middle([pair[0] for pair in pairs]), middle([pair[1] for pair in pairs])
        print(f"{name} {state}: ours {ours.wall_s:.2f} s, {ours.cpu_s:.2f} CPU-s, {ours.peak_gib:.2f} GiB;", end=" ")
        print(f"rsync {peer.wall_s:.2f} s, {peer.cpu_s:.2f} CPU-s", flush=True)
        for figure, ratio in (("wall", ours.wall_s / peer.wall_s), ("cpu", ours.cpu_s / peer.cpu_s)):
            figures[f"copy_{name}_{figure}_ratio"] = max(figures[f"copy_{name}_{figure}_ratio"], ratio)
    assert ours is not None
    if shutil.which("rclone"):
        peer = middle(costs(by_rclone, source, place, warm, max(1, repeat // 2)))
        print(f"{name} warm: rclone {peer.wall_s:.2f} s, {peer.cpu_s:.2f} CPU-s", flush=True)
        figures[f"rclone_{name}_cpu_ratio"] = ours.cpu_s / peer.cpu_s
    return figures, ours


def disk_seconds(folder: Path, size: int) -> float:
    """Return how long fio takes to write so many bytes and to read them again, past the page cache."""
    seconds = 0.0
    for way in ("write", "read"):
        command = [
            "fio",
            "--name=disk",
            f"--rw={way}",
            "--bs=4M",
            "--direct=1",
            f"--size={size}",
            "--ioengine=libaio",
            "--iodepth=4",
        ]
        log = folder / "fio.json"
        run_command([*command, "--end_fsync=1", "--output-format=json"], cwd=folder, log=log)
        text = log.read_text()
        seconds += json.loads(text[text.index("{") :])["jobs"][0][way]["runtime"] / 1000
    (folder / "disk.0.0").unlink()
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="at most 50 s on two cores")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write {key: number} there")
    parser.add_argument("--repeat", type=int, default=None, help="runs of each program; the median counts")
    parser.add_argument("--folder", type=Path, default=None, help="where to copy from and to")
    parser.add_argument("--works", default="abc", help="some of a, b, c")
    options = parser.parse_args()
    if os.geteuid():
        sys.exit("caches are dropped: run it as root")
    repeat = options.repeat or (1 if options.quick else 5)
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="bench-transfer-", dir=options.folder) as name:
        folder = Path(name)
        place = Place(folder)
        for work in QUICK if options.quick else FULL:
            if work.name not in options.works:
                continue
            source = work.make(folder)
            found, ours = compare(work, source, place, repeat)
            figures |= found
            if work.name == "a" and shutil.which("fio"):
                disk = statistics.median(disk_seconds(folder, work.files * work.size) for _ in range(max(1, repeat // 2)))
                figures["device_fraction"] = disk / ours.wall_s
            if work.name == "c":
                figures |= small_files(work, source, place, repeat)
            place.free(source)
    write_figures(figures, options.json)


def small_files(work: Work, source: Path, place: Place, repeat: int) -> dict[str, float]:
    """Return the rate from memory to memory, and how long a run takes that finds nothing to do: for 20,000 files."""
    empty = Work("empty", 0, 0).make(place.folder)
    least = statistics.median(by_us(empty, place.target()).wall_s for _ in range(max(3, repeat)))

    def of_20_000(seconds: float) -> float:
        return least + (seconds - least) * 20_000 / work.files

    target = place.target()
    by_us(source, target)
    again = statistics.median(by_us(source, target).wall_s for _ in range(max(3, repeat)))
    place.free(target)
    with tempfile.TemporaryDirectory(prefix="bench-transfer-", dir="/dev/shm") as name:
        memory = Path(name)
        shutil.copytree(source, memory / "source")
        seconds = [by_us(memory / "source", memory / f"target{number}").wall_s for number in range(max(3, repeat))]
    return {"noop_20k_s": of_20_000(again), "tmpfs_files_per_s": 20_000 / of_20_000(statistics.median(seconds))}


if __name__ == "__main__":
    main()
