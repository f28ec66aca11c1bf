"""A folder seen through FUSE that does to files what bad disks do: `python -m passerelle.testing.faulty_disk BEHIND MOUNT …`.

RULES is JSON: {"flip": share of blocks in which a bit is turned on its way to the medium, "read_error": end of a path,
"fsync_errors": how many of the first, "room": bytes until the disk is full, "write_errors": each how many-th write,
"flip_marked": share of sectors that begin with MARK and a name, in which a bit is turned: so the files of a file system in an
image are hit, and never what the file system itself writes}. LOG gets a line for each fault.
"""

# pyright: reportIncompatibleMethodOverride=false

from __future__ import annotations

import ctypes
import errno
import json
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mfusepy

_BLOCK_BYTES = 4 << 20
_SECTOR = 4096
MARK = b"passerelle faulty disk: "
_OWN_FOLDER = ".passerelle"  # the faults are for files of the dataset
_TIMES = ("st_mode", "st_ino", "st_nlink", "st_size", "st_uid", "st_gid", "st_atime", "st_mtime", "st_ctime", "st_blocks")


class FaultyDisk(mfusepy.Operations):
    """Passes every call on to a folder behind it, but for the faults that the rules ask for."""

    use_ns = True

    def __init__(self, behind: Path, rules: dict[str, Any], log: Path) -> None:
        self._behind = os.fspath(behind)
        self.rules = rules
        self._log = log.open("a", buffering=1)
        self._chance = random.Random(rules.get("seed", 1))
        self._decided: set[tuple[str, int]] = set()
        self._writes = self._written = self._fsyncs = 0

    def _real(self, path: str) -> str:
        return self._behind + path

    def _fault(self, number: int, path: str) -> None:
        self._log.write(f"{errno.errorcode[number]} {path}\n")
        raise mfusepy.FuseOSError(number)

    # -- where the faults are

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        if (end := self.rules.get("read_error")) and path.endswith(end):
            self._fault(errno.EIO, path)
        return os.pread(fh, size, offset)

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        self._writes += 1
        self._written += len(data)
        if self._written > self.rules.get("room", 1 << 60):
            self._fault(errno.ENOSPC, path)
        if (every := self.rules.get("write_errors")) and self._writes % every == 0:
            self._fault(errno.EIO, path)
        data = self._marked(data) if "flip_marked" in self.rules else self._flipped(path, data, offset)
        return os.pwrite(fh, data, offset)

    def _flipped(self, path: str, data: bytes, offset: int) -> bytes:
        block = (path, offset // _BLOCK_BYTES)
        if _OWN_FOLDER in path or block in self._decided:
            return data
        self._decided.add(block)
        if self._chance.random() >= self.rules.get("flip", 0.0):
            return data
        self._log.write(f"flip {block[1]} {path}\n")
        place = self._chance.randrange(len(data))
        return data[:place] + bytes([data[place] ^ 1 << self._chance.randrange(8)]) + data[place + 1 :]

    def _marked(self, data: bytes) -> bytes:
        turned = bytearray(data)
        for start in range(0, len(data), _SECTOR):
            if data.startswith(MARK, start) and self._chance.random() < self.rules["flip_marked"]:
                name = data[start + len(MARK) : data.index(b"\n", start)].decode()
                self._log.write(f"flip 0 {name}\n")
                turned[start + self._chance.randrange(200, _SECTOR)] ^= 1 << self._chance.randrange(8)
        return bytes(turned)

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        self._fsyncs += _OWN_FOLDER not in path
        if _OWN_FOLDER not in path and self._fsyncs <= self.rules.get("fsync_errors", 0):
            self._fault(errno.EIO, path)
        os.fsync(fh)
        return 0

    # -- the rest is passed on

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        status = os.lstat(self._real(path))
        found = {name: getattr(status, name) for name in _TIMES}
        return found | {name: getattr(status, f"{name}_ns") for name in ("st_atime", "st_mtime", "st_ctime")}

    def readdir(self, path: str, fh: int) -> Iterator[str]:
        yield from (".", "..", *os.listdir(self._real(path)))

    def open(self, path: str, flags: int) -> int:
        return os.open(self._real(path), flags & ~os.O_DIRECT)

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        return os.open(self._real(path), os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)

    def truncate(self, path: str, length: int, fh: int | None = None) -> None:
        os.truncate(self._real(path), length)

    def release(self, path: str, fh: int) -> int:
        os.close(fh)
        return 0

    def rename(self, old: str, new: str) -> None:
        os.rename(self._real(old), self._real(new))

    def link(self, target: str, source: str) -> None:
        os.link(self._real(source), self._real(target), follow_symlinks=False)

    def unlink(self, path: str) -> None:
        os.unlink(self._real(path))

    def mkdir(self, path: str, mode: int) -> None:
        os.mkdir(self._real(path), mode)

    def rmdir(self, path: str) -> None:
        os.rmdir(self._real(path))

    def symlink(self, target: str, source: str) -> None:
        os.symlink(source, self._real(target))

    def readlink(self, path: str) -> str:
        return os.readlink(self._real(path))

    def chmod(self, path: str, mode: int) -> None:
        os.chmod(self._real(path), mode)

    def chown(self, path: str, uid: int, gid: int) -> None:
        os.lchown(self._real(path), ctypes.c_int(uid).value, ctypes.c_int(gid).value)

    def utimens(self, path: str, times: tuple[int, int]) -> None:
        os.utime(self._real(path), ns=times, follow_symlinks=False)

    def statfs(self, path: str) -> dict[str, int]:
        found = os.statvfs(self._real(path))
        return {name: getattr(found, name) for name in dir(found) if name.startswith("f_") and name != "f_fsid"}


def main(behind: str, mount: str, rules: str, log: str) -> None:
    """Serve until it is unmounted."""
    disk = FaultyDisk(Path(behind), json.loads(rules), Path(log))
    uncached = "flip_marked" in disk.rules  # else an image would be read back from the page cache, as it was before the fault
    mfusepy.FUSE(disk, mount, foreground=True, nothreads=True, big_writes=True, direct_io=uncached)


if __name__ == "__main__":
    main(*sys.argv[1:])
