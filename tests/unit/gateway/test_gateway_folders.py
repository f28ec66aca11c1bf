"""The table of listed folders: which are in use, which have changed, what is forgotten with a folder that is gone."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from passerelle.gateway.folders import Folders
from passerelle.gateway.records import Moment
from passerelle.gateway.tree import Listing, opened_folder

UTC = 1_000_000.0
DENIED = PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def listing(*folders: str, changed: float = 0.0) -> Listing:
    return Listing((1, 1), int((UTC + changed) * 1e9), {}, list(folders), [])


def moment(t: float) -> Moment:
    return Moment(t, UTC + t)


def test_a_folder_that_is_gone_is_forgotten_with_all_in_it() -> None:
    folders = Folders(Path("/x"), 60.0)
    folders.take("", listing("s", "t"), moment(100.0))
    folders.take("s", listing("d"), moment(100.0))
    folders.take("s/d", listing(), moment(100.0))
    folders.take("t", listing(), moment(100.0))
    assert folders.take("", listing("t", changed=50.0), moment(101.0)) == {"s"}
    assert list(folders) == ["", "t"]


def test_a_folder_is_in_use_for_a_while_after_it_changed_but_not_for_having_been_found() -> None:
    folders = Folders(Path("/x"), 60.0)
    folders.take("s", listing(changed=0.0), moment(100.0))
    assert not folders.in_use("s", 100.0)
    folders.take("s", listing(changed=50.0), moment(110.0))
    assert (folders.in_use("s", 169.0), folders.in_use("s", 170.0)) == (True, False)
    folders.used("s", 200.0)
    assert folders.in_use("s", 259.0)


def test_a_folder_counts_as_changed_by_its_time_when_just_changed_and_when_it_is_not_there(tmp_path: Path) -> None:
    folders = Folders(tmp_path, 60.0)
    (tmp_path / "s").mkdir()
    os.utime(tmp_path / "s", (UTC, UTC))
    folders.take("s", listing(), moment(100.0))
    assert not folders.changed("s")
    os.utime(tmp_path / "s", (UTC, UTC + 1))
    assert folders.changed("s")
    folders.take("s", listing(changed=1.0), moment(2.0))  # it may change again within one tick of its clock
    assert folders.changed("s")
    (tmp_path / "s").rmdir()
    assert folders.changed("s")


def test_the_first_three_folders_that_cannot_be_listed_are_named() -> None:
    folders = Folders(Path("/x"), 60.0)
    for name in "edcba":
        folders.not_listed(name, DENIED)
    assert folders.reason() == "a: Permission denied. b: Permission denied. c: Permission denied. And 2 more folders."
    for name in "abcde":
        folders.take(name, listing(), moment(100.0))
    assert folders.reason() == ""


def test_a_folder_needs_a_watch_once_where_the_kernel_gives_them_and_none_where_it_is_polled(tmp_path: Path) -> None:
    folders = Folders(tmp_path, 60.0)
    for polling in (False, True):
        folders.begin(polling=polling)
        assert folders.needs_watch("")
        with opened_folder(tmp_path, "") as descriptor:
            folders.watch("", descriptor)
        folders.take("", listing(), moment(100.0))
        assert not folders.needs_watch("")
        assert folders.watched is not polling
    folders.close()
