"""The root of an instrument's folder: another folder in its place, an empty one, none."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from passerelle.gateway import FolderState
from passerelle.gateway.root import Root, RootIsAnother, RootIsEmpty, why_unreachable
from passerelle.gateway.tree import list_folder


def put_another(root: Path) -> None:
    other = root.with_name("other")
    other.mkdir()
    root.rename(root.with_name("old"))
    other.rename(root)


def test_a_root_is_another_at_the_first_look_and_the_same_at_the_next(tmp_path: Path) -> None:
    root = Root(tmp_path, known=lambda: 0)
    assert [root.look(), root.look()] == [True, False]
    root.must_be_same()
    root.must_be(list_folder(tmp_path, "").identity)


def test_another_folder_in_its_place_is_not_believed_until_it_was_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "krios"
    path.mkdir()
    root = Root(path, known=lambda: 0)
    root.look()
    put_another(path)
    with pytest.raises(RootIsAnother):
        root.must_be_same()
    assert root.look()
    root.must_be_same()


def test_an_empty_root_of_which_files_are_known_is_not_believed(tmp_path: Path) -> None:
    (tmp_path / ".snapshot").mkdir()  # nothing that counts
    root = Root(tmp_path, known=lambda: 1234)
    with pytest.raises(RootIsEmpty, match="1,234 files"):
        root.look()
    (tmp_path / "s").mkdir()
    assert not root.look()


def test_an_empty_root_that_was_seen_filled_is_believed_but_not_another_in_its_place(tmp_path: Path) -> None:
    path = tmp_path / "krios"
    (path / "s").mkdir(parents=True)
    root = Root(path, known=lambda: 1)
    root.look()
    (path / "s").rmdir()
    assert not root.look()
    put_another(path)
    with pytest.raises(RootIsEmpty):
        root.look()


def test_a_root_that_may_not_be_read_is_told_from_one_that_is_not_there() -> None:
    refused, what_to_do = why_unreachable(PermissionError(errno.EACCES, os.strerror(errno.EACCES)))
    assert refused is FolderState.REFUSED
    assert "owner and mode" in what_to_do
    missing, what = why_unreachable(FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)))
    assert missing is FolderState.UNREACHABLE
    assert "No such file" in what
