"""A name never stands for partial content."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from passerelle.core import atomic
from passerelle.core.atomic import TEMPORARY_PREFIX, atomic_write, write_bytes, write_text
from passerelle.core.errors import NotFound, OutOfSpace, StorageError


def test_the_name_appears_only_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "result.json"
    with atomic_write(target) as stream:
        stream.write(b"all of it")
        stream.flush()
        assert not target.exists()
        assert [path.name[:3] for path in tmp_path.iterdir()] == [TEMPORARY_PREFIX]
    assert target.read_bytes() == b"all of it"
    assert list(tmp_path.iterdir()) == [target]


def test_an_error_inside_leaves_the_old_content_and_no_temporary_file(tmp_path: Path) -> None:
    target = tmp_path / "result.json"
    write_bytes(target, b"old")
    with pytest.raises(ZeroDivisionError), atomic_write(target) as stream:
        stream.write(b"new")
        raise ZeroDivisionError
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(
    "name", ["ü" * 127, "x" * 255, "with\nnewline", os.fsdecode(b"bad\xff\xfebytes"), "-rf", " ", "日本語.mrc"]
)
def test_any_name_that_the_file_system_takes_can_be_written(tmp_path: Path, name: str) -> None:
    write_bytes(tmp_path / name, b"content")
    assert [os.fsencode(entry) for entry in os.listdir(tmp_path)] == [os.fsencode(name)]


def test_undecodable_names_inside_a_text_come_back_as_they_were(tmp_path: Path) -> None:
    write_text(tmp_path / "list", os.fsdecode(b"a\xff.mrc \xc3\xa9"))
    assert (tmp_path / "list").read_bytes() == b"a\xff.mrc \xc3\xa9"


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="gone/x"):
        write_bytes(tmp_path / "gone" / "x", b"")


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    target = tmp_path / "x"
    with pytest.raises(OutOfSpace), atomic_write(target) as stream:
        stream.write(b"part")
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_fsync_never_becomes_a_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(atomic.os, "fsync", broken)
    with pytest.raises(StorageError):
        write_bytes(tmp_path / "x", b"content")
    assert list(tmp_path.iterdir()) == []


def test_the_folder_is_synced_after_the_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    real = os.fsync

    def spy(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        real(descriptor)

    monkeypatch.setattr(atomic.os, "fsync", spy)
    write_bytes(tmp_path / "x", b"content")
    assert len(synced) == 2 and TEMPORARY_PREFIX in synced[0] and synced[1] == str(tmp_path)
