"""A folder is swapped for a link, over and over, while we open what lies beneath: nobody gets us out of the root."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from passerelle.core.errors import BadInput, NotAllowed, NotFound, PasserelleError
from passerelle.transfer import copy_dataset
from passerelle.transfer.beneath import Root, walk

TRIES = int(os.environ.get("PASSERELLE_SOAK_RACES", "100000"))
_RENAMEAT2, _HERE, _EXCHANGE = 316, -100, 2


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root" / "a" / "b").mkdir(parents=True)
    (tmp_path / "outside" / "b").mkdir(parents=True)
    (tmp_path / "outside" / "b" / "key").write_bytes(b"secret")
    (tmp_path / "root" / "evil").symlink_to(tmp_path / "outside")
    return tmp_path / "root"


@contextmanager
def swapped(root: Path, first: str, second: str) -> Iterator[None]:
    """Exchange two names beneath a root as fast as the kernel lets us, in a process of its own."""
    child = os.fork()
    if child == 0:
        call = ctypes.CDLL(None).syscall
        one, other = (os.fsencode(root / name) for name in (first, second))
        while True:
            call(_RENAMEAT2, _HERE, one, _HERE, other, _EXCHANGE)
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the number of renameat2 is that of x86_64")
@pytest.mark.parametrize("way", ["openat2", "walk"])
def test_a_folder_swapped_for_a_link_never_leads_out(way: str, root: Path) -> None:
    outside = (root.parent / "outside" / "b").stat().st_ino
    opened = refused = 0
    tries, of_each = TRIES if way == "openat2" else TRIES // 10, TRIES / 1000
    with Root(root) as beneath, swapped(root, "a", "evil"):
        # who swaps may get no processor for a while on a busy machine: as many tries as it takes to meet both
        while opened + refused < tries or min(opened, refused) <= of_each:
            try:
                descriptor = beneath.open_folder("a/b") if way == "openat2" else walk(beneath.descriptor, b"a/b")
            except (PasserelleError, OSError):
                refused += 1
                continue
            opened += 1
            assert os.fstat(descriptor).st_ino != outside
            os.close(descriptor)
    print(f"\n{way}: {opened} opened inside, {refused} refused, 0 outside")


def test_a_copy_reads_and_writes_nothing_outside_while_folders_are_swapped(root: Path, tmp_path: Path) -> None:
    for number in range(200):
        (root / "a" / "b" / f"{number}").write_bytes(b"inside")
    with swapped(root, "a", "evil"):
        for number in range(10):
            target = tmp_path / f"target{number}"
            copy_dataset(root, target, processes=0)
            contents = {path.read_bytes() for path in target.rglob("*") if path.is_file() and ".passerelle" not in path.parts}
            assert contents <= {b"inside"}
    source, target = tmp_path / "source", tmp_path / "swapped"
    (source / "a" / "b").mkdir(parents=True)
    (target / "a" / "b").mkdir(parents=True)
    (target / "evil").symlink_to(tmp_path / "outside")
    for number in range(200):
        (source / "a" / "b" / f"{number}").write_bytes(b"inside")
    with swapped(target, "a", "evil"):
        for _ in range(10):
            copy_dataset(source, target, processes=0)
    assert [path.name for path in (tmp_path / "outside" / "b").iterdir()] == ["key"]


@pytest.mark.parametrize("path", ["..", "a/../../outside", "/etc", "a//b", "a/./b"])
def test_a_path_that_leads_out_is_refused(path: str, root: Path) -> None:
    with Root(root) as beneath, pytest.raises(BadInput, match="no path beneath"):
        beneath.open_folder(path)


def test_a_link_is_refused_by_name(root: Path) -> None:
    with Root(root) as beneath, pytest.raises((NotAllowed, NotFound), match=r"leads over a link|is no folder"):
        beneath.open_folder("evil/b")
