"""What kind of mount a folder lies on: may inotify be believed there, and inode numbers?"""

from __future__ import annotations

import ctypes
import os
import re
from pathlib import Path

# File systems on which others write without our kernel knowing. FUSE is among them, because sshfs, s3fs and the like are; fuseblk
# (NTFS and exFAT on a local disk) is not.
_REMOTE = {
    *("nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "9p", "virtiofs", "afs", "coda", "ncpfs", "davfs"),
    *("ceph", "glusterfs", "lustre", "gpfs", "beegfs", "beegfs_nodev", "ocfs2", "gfs2", "orangefs", "pvfs2"),
    *("vboxsf", "vmhgfs", "prl_fs", "drvfs", "fuse"),
}
# statfs(2): kinds of local file systems by their magic number, for where the table of mounts does not reach (inside of a chroot)
_LOCAL_BY_MAGIC = {
    0xEF53: "ext4",
    0x58465342: "xfs",
    0x9123683E: "btrfs",
    0x01021994: "tmpfs",
    0x794C7630: "overlay",
    0x2FC12FC1: "zfs",
    0xF2F52010: "f2fs",
}
_STATFS_BYTES = 256  # more than struct statfs has anywhere
_ESCAPE = re.compile(r"\\([0-7]{3})")


def is_remote(path: Path, mountinfo: Path = Path("/proc/self/mountinfo")) -> bool:
    """Say whether `path` lies on a network or user-space mount, where only a poll sees what others write.

    A mount whose kind cannot be found out counts as remote: the poll is right everywhere, only slower.
    """
    kind = mount_kind(path, mountinfo)
    return kind is None or kind in _REMOTE or kind.startswith("fuse.")


def mount_kind(path: Path, mountinfo: Path = Path("/proc/self/mountinfo")) -> str | None:
    """Return the kernel's name of the file system of `path` (`ext4`, `nfs4`, `fuse.sshfs`); None where it does not say."""
    try:
        lines = os.fsdecode(mountinfo.read_bytes()).splitlines()
    except OSError:
        return _kind_by_magic(path)
    target = os.path.realpath(path)
    best, kind = -1, None
    for line in lines:
        before, separator, after = line.partition(" - ")
        fields = before.split(" ")
        if not separator or len(fields) < 5:
            continue
        point = _ESCAPE.sub(lambda match: chr(int(match[1], 8)), fields[4])
        inside = target == point or target.startswith(point.rstrip("/") + "/")
        # of two mounts on one point the later line is the one on top
        if inside and len(point) >= best:
            best, kind = len(point), after.split(" ", 1)[0]
    return kind or _kind_by_magic(path)


def _kind_by_magic(path: Path) -> str | None:
    """Ask statfs(2), whose first word is the magic number; None for network and unknown file systems, and missing paths."""
    answer = ctypes.create_string_buffer(_STATFS_BYTES)
    if ctypes.CDLL(None).statfs(os.fsencode(path), answer) != 0:
        return None
    return _LOCAL_BY_MAGIC.get(ctypes.c_long.from_buffer(answer).value & 0xFFFFFFFF)
