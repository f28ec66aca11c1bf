"""The kind of mount decides whether the kernel's events may be believed."""

from __future__ import annotations

from pathlib import Path

import pytest

from passerelle.gateway.mounts import is_remote, mount_kind

TABLE = r"""22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:25 / /mnt/krios rw - cifs //falcon/images rw
31 22 0:26 / /mnt/krios/k2 rw - xfs /dev/vdb rw
32 22 0:27 / /mnt/with\040space rw - nfs4 server:/x rw
33 22 0:28 / /mnt/ssh rw - fuse.sshfs host: rw
34 22 0:29 / /mnt/usb rw - fuseblk /dev/sdc1 rw
35 22 0:30 / /mnt/over rw - ext4 /dev/vdc rw
36 35 0:31 / /mnt/over rw shared:5 - nfs server:/y rw
"""


@pytest.mark.parametrize(
    ("path", "kind", "remote"),
    [
        ("/data", "ext4", False),
        ("/mnt/krios", "cifs", True),
        ("/mnt/krios/sub/folder", "cifs", True),
        ("/mnt/kriosity", "ext4", False),
        ("/mnt/krios/k2/session", "xfs", False),
        ("/mnt/with space/x", "nfs4", True),
        ("/mnt/ssh/x", "fuse.sshfs", True),
        ("/mnt/usb/x", "fuseblk", False),
        ("/mnt/over/x", "nfs", True),
    ],
)
def test_the_mount_that_is_longest_and_latest_counts(tmp_path: Path, path: str, kind: str, remote: bool) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(TABLE)
    assert mount_kind(Path(path), table) == kind
    assert is_remote(Path(path), table) is remote


def test_a_mount_of_unknown_kind_is_polled(tmp_path: Path) -> None:
    assert is_remote(Path("/data"), tmp_path / "absent")


def test_where_the_table_of_mounts_does_not_reach_the_disk_itself_is_asked(tmp_path: Path) -> None:
    elsewhere = tmp_path / "mountinfo"
    elsewhere.write_text("30 22 0:25 / /mnt/krios rw - cifs //falcon/images rw\n")
    assert mount_kind(tmp_path, elsewhere) == mount_kind(tmp_path, tmp_path / "absent") is not None
    assert not is_remote(tmp_path, elsewhere)
    assert is_remote(Path("/proc/self"), elsewhere)  # neither a disk nor a share


def test_this_machines_own_disk_is_known() -> None:
    assert mount_kind(Path("/")) is not None
