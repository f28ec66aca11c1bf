"""The kernel says whether somebody has a file open for writing."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import pytest

from passerelle.gateway.leases import writers_of
from passerelle.gateway.settle import Writers


def ask(path: Path) -> Writers:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return writers_of(descriptor)
    finally:
        os.close(descriptor)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(bytes(8192))
    if ask(path) is Writers.UNKNOWN:
        pytest.skip("this file system grants no leases")
    return path


def test_a_closed_file_has_no_writers(file: Path) -> None:
    assert ask(file) is Writers.NONE


def test_a_reader_is_no_writer(file: Path) -> None:
    with file.open("rb"):
        assert ask(file) is Writers.NONE


def test_a_file_open_for_writing_has_one(file: Path) -> None:
    with file.open("r+b"):
        assert ask(file) is Writers.SOME
    assert ask(file) is Writers.NONE


def test_a_mapped_file_has_one_although_its_descriptor_is_closed(file: Path) -> None:
    with file.open("r+b") as stream:
        view = mmap.mmap(stream.fileno(), 8192)
    assert ask(file) is Writers.SOME
    view.close()
    assert ask(file) is Writers.NONE


def test_writing_works_after_it_was_asked(file: Path) -> None:
    for _ in range(100):
        assert ask(file) is Writers.NONE
        file.write_bytes(b"x")


def test_what_the_kernel_does_not_tell_is_unknown() -> None:
    assert ask(Path("/dev/null")) is Writers.UNKNOWN
