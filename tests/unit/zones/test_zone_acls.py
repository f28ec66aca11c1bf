"""Access control lists as bytes, and on real files."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passerelle.core.errors import NotFound
from passerelle.zones import Wanted, settle_rights
from passerelle.zones.acl import ACCESS, DEFAULT, Acl, from_bytes

bits = st.integers(0, 7)
entries = st.dictionaries(st.integers(0, 2**32 - 2), bits, max_size=6)


@given(st.builds(Acl, bits, bits, bits, entries, entries))
def test_a_list_comes_back_from_its_bytes(acl: Acl) -> None:
    assert from_bytes(acl.to_bytes()) == acl


@given(st.binary(max_size=60))
def test_foreign_bytes_are_no_list_or_one(content: bytes) -> None:
    found = from_bytes(content)
    assert found is None or isinstance(found, Acl)


def wish(**changes: object) -> Wanted:
    values = {"uid": None, "gid": os.getgid(), "folder": Acl(7, 0, 0, {61001: 5}, {62001: 7}), "unknown": ()} | changes
    return Wanted(**values)  # type: ignore[arg-type]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "zone"
    (made / "a" / "b").mkdir(parents=True)
    (made / "a" / "movie.tiff").write_bytes(b"x")
    (made / "link").symlink_to(tmp_path / "outside")
    (tmp_path / "outside").write_text("mine")
    try:
        os.setxattr(made, DEFAULT, wish().folder.to_bytes())
    except OSError:
        pytest.skip(f"the file system of {tmp_path} keeps no access control lists")
    os.removexattr(made, DEFAULT)
    return made


def acl_of(path: Path, name: str = ACCESS) -> Acl | None:
    return from_bytes(os.getxattr(path, name))


def test_folders_files_and_what_is_made_later_have_the_list(root: Path) -> None:
    settled = settle_rights(root, wish())
    assert (settled.seen, settled.changed, settled.left) == (4, 4, ())
    assert acl_of(root / "a" / "b") == wish().folder
    assert acl_of(root / "a" / "movie.tiff") == wish().folder.without(1)
    assert stat.S_IMODE((root / "a").stat().st_mode) == 0o2770
    (root / "a" / "b" / "new").mkdir()
    (root / "a" / "b" / "new" / "file").touch()
    made = acl_of(root / "a" / "b" / "new" / "file")
    assert made is not None
    assert made.users == {61001: 5}
    assert (root / "a" / "b" / "new").stat().st_mode & stat.S_ISGID
    assert not (root / "a" / "b" / "new" / "file").stat().st_mode & 0o007


def test_doing_it_again_changes_nothing_and_other_rights_change_all(root: Path) -> None:
    settle_rights(root, wish())
    assert settle_rights(root, wish()).changed == 0
    other = wish(folder=Acl(7, 0, 0, {61002: 5}))
    assert settle_rights(root, other, dry=True).changed == 4
    assert acl_of(root) == wish().folder
    assert settle_rights(root, other).changed == 4
    assert acl_of(root) == other.folder


def test_no_link_is_followed_and_a_file_with_other_names_is_left(root: Path, tmp_path: Path) -> None:
    os.link(tmp_path / "outside", root / "a" / "borrowed")
    before = (tmp_path / "outside").stat()
    settled = settle_rights(root, wish())
    assert settled.left == ("a/borrowed: has other names, perhaps elsewhere",)
    after = (tmp_path / "outside").stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)


def test_a_file_that_nobody_may_write_stays_so(root: Path) -> None:
    (root / "a" / "movie.tiff").chmod(0o440)
    settle_rights(root, wish())
    assert not (root / "a" / "movie.tiff").stat().st_mode & 0o222
    assert settle_rights(root, wish()).changed == 0


def test_pipes_and_links_are_passed_over_without_waiting(root: Path) -> None:
    os.mkfifo(root / "fifo")
    assert settle_rights(root, wish()).seen == 4


@pytest.mark.skipif(os.getuid() != 0, reason="files are given away by root only")
def test_files_are_given_to_the_owner(root: Path) -> None:
    settle_rights(root, wish(uid=61003, gid=62003))
    assert {(path.stat().st_uid, path.stat().st_gid) for path in (root, root / "a", root / "a" / "movie.tiff")} == {
        (61003, 62003)
    }
    assert (root / "link").lstat().st_uid == os.getuid()
    assert (root / "a").stat().st_mode & stat.S_ISGID


@pytest.mark.skipif(shutil.which("getfacl") is None, reason="getfacl is not installed")
def test_the_systems_own_program_reads_the_list(root: Path) -> None:
    settle_rights(root, wish())
    told = subprocess.run(["getfacl", "-npE", str(root / "a")], capture_output=True, text=True, check=True).stdout
    assert "user:61001:r-x\n" in told
    assert "default:group:62001:rwx\n" in told
    assert "mask::rwx\n" in told


def test_a_root_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        settle_rights(tmp_path / "nothing", wish())
