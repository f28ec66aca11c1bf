"""Sources grow, shrink, are overwritten, replaced and removed while they are copied: never a state that they did not have."""

from __future__ import annotations

import os
import random
import shutil
import threading
import time
from pathlib import Path

from blake3 import blake3

from passerelle.transfer import copy_dataset
from passerelle.transfer.beneath import Root
from passerelle.transfer.ledger import read_manifest

SCHEDULES = int(os.environ.get("PASSERELLE_SOAK_SCHEDULES", "500"))
_FILES = 25  # schedules that run side by side in one copy


class Writer:
    """One file that changes by a random schedule; it knows the digest of every state that the file has had."""

    def __init__(self, path: Path, seed: int) -> None:
        self.path = path
        self.chance = random.Random(seed)
        size = self.chance.choice([0, 3_000, 100_000, 700_000, 2_000_000])
        self.content = bytearray(self.chance.randbytes(size))
        path.write_bytes(self.content)
        self.states = {blake3(self.content).hexdigest()}
        self.there = True

    def run(self) -> None:
        for _ in range(self.chance.randrange(6)):
            time.sleep(self.chance.random() * 0.04)
            if self.there:
                self.chance.choice([self.append, self.overwrite, self.truncate, self.replace, self.restore_time, self.remove])()

    def _write(self, place: int, data: bytes) -> None:
        self.content[place : place + len(data)] = data
        self.states.add(blake3(self.content).hexdigest())  # known before it can be seen
        with self.path.open("r+b", buffering=0) as stream:
            stream.seek(place)
            stream.write(data)

    def append(self) -> None:
        self._write(len(self.content), self.chance.randbytes(self.chance.randrange(1, 60_000)))

    def overwrite(self) -> None:
        for _ in range(3):
            place = self.chance.randrange(len(self.content) + 1)
            self._write(place, self.chance.randbytes(min(60_000, len(self.content) - place)))

    def truncate(self) -> None:
        del self.content[self.chance.randrange(len(self.content) + 1) :]
        self.states.add(blake3(self.content).hexdigest())
        os.truncate(self.path, len(self.content))

    def replace(self) -> None:
        self.content = bytearray(self.chance.randbytes(self.chance.randrange(200_000)))
        self.states.add(blake3(self.content).hexdigest())
        other = self.path.with_name(f".{self.path.name}.new")
        other.write_bytes(self.content)
        other.rename(self.path)

    def restore_time(self) -> None:
        """Change bytes and hide it: the same size, and the time of before."""
        times = self.path.stat()
        self.overwrite()
        os.utime(self.path, ns=(times.st_atime_ns, times.st_mtime_ns))

    def remove(self) -> None:
        self.path.unlink()
        self.there = False


def test_no_file_gets_its_name_with_content_that_its_source_never_had(tmp_path: Path) -> None:
    told = 0
    for turn in range(SCHEDULES // _FILES):
        source, target = tmp_path / "source", tmp_path / "target"
        source.mkdir()
        writers = [Writer(source / f"{number:02}", turn * _FILES + number) for number in range(_FILES)]
        time.sleep(0.03)
        threads = [threading.Thread(target=writer.run) for writer in writers]
        for thread in threads:
            thread.start()
        done = copy_dataset(source, target, processes=0)
        told += len([note for _, note in done.notes if "changed while it was copied" in note]) + len(done.problems)
        with Root(target) as root:
            rows = read_manifest(root).rows
        for writer in writers:
            copied = target / writer.path.name
            if copied.exists():
                digest = blake3(copied.read_bytes()).hexdigest()
                assert digest in writer.states, writer.path
                assert digest == rows[writer.path.name].digest
        for thread in threads:
            thread.join()
        again = copy_dataset(source, target, processes=0)
        assert again.whole, again.problems
        for writer in writers:
            if writer.there:
                same_time = rows.get(writer.path.name)
                hidden = same_time and same_time.mtime_ns == writer.path.stat().st_mtime_ns
                assert (target / writer.path.name).read_bytes() == writer.content or hidden
        shutil.rmtree(source)
        shutil.rmtree(target)
    print(f"\n{SCHEDULES} schedules; {told} changes noticed while copying")
    assert told > SCHEDULES / 50
