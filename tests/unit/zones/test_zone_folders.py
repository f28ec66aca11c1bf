"""Browsing and measuring beneath a root, on a real disk, with names and links that lead astray."""

from __future__ import annotations

import os
import threading
from pathlib import Path, PurePosixPath

import pytest

from passerelle.core.errors import BadInput, NotFound, PasserelleError
from passerelle.zones import list_folder, measure, open_file, open_folder, relative_path, room


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "zone"
    (made / "a" / "b").mkdir(parents=True)
    (made / "a" / "movie.tiff").write_bytes(b"x" * 5000)
    (made / "out").symlink_to(tmp_path)
    (made / "a" / "secret").symlink_to(tmp_path / "secret")
    (tmp_path / "secret").write_text("secret")
    os.mkfifo(made / "fifo")
    return made


@pytest.mark.parametrize("text", ["..", "a/../..", "./a", "a/\x00", "x/" * 300])
def test_paths_that_are_no_plain_way_down_are_refused(text: str) -> None:
    with pytest.raises(BadInput):
        relative_path(text)


def test_slashes_more_or_less_mean_nothing() -> None:
    assert relative_path("/a//b/") == PurePosixPath("a/b")
    assert relative_path("") == PurePosixPath()


@pytest.mark.parametrize("path", ["out/secret", "a/secret", "out", "nothing", "a/movie.tiff/x", "fifo", "a", "n" * 300, ""])
def test_only_regular_files_beneath_the_root_open_and_nothing_blocks(root: Path, path: str) -> None:
    with pytest.raises(NotFound), open_file(root, PurePosixPath(path)):
        pass


def test_a_file_is_read_by_its_descriptor(root: Path) -> None:
    with open_file(root, PurePosixPath("a/movie.tiff")) as descriptor:
        assert os.fstat(descriptor).st_size == 5000
    with pytest.raises(OSError):
        os.fstat(descriptor)


def test_no_swap_of_a_folder_for_a_link_leads_out(root: Path, tmp_path: Path) -> None:
    (root / "a" / "secret").unlink()
    (root / "a" / "secret").write_text("inside")
    (root / "b").symlink_to(tmp_path)
    stop = threading.Event()

    def swap() -> None:
        # renameat2(RENAME_EXCHANGE) has no Python name; three renames do
        while not stop.is_set():
            os.rename(root / "a", root / "t")
            os.rename(root / "b", root / "a")
            os.rename(root / "a", root / "b")
            os.rename(root / "t", root / "a")

    thread = threading.Thread(target=swap)
    thread.start()
    seen = set()
    try:
        tries = 0
        while tries < 2000 or not seen:  # who swaps may get no processor for a while, just when it has put the folder away
            tries += 1
            try:
                with open_file(root, PurePosixPath("a/secret")) as descriptor:
                    seen.add(os.read(descriptor, 20))
            except PasserelleError:
                pass
    finally:
        stop.set()
        thread.join()
    assert seen == {b"inside"}


def test_a_listing_goes_on_after_a_name_and_hides_what_is_being_written(root: Path) -> None:
    (root / ".p-123").write_bytes(b"")
    (root / ".passerelle").mkdir()
    first = list_folder(root, limit=2)
    assert [(entry.name, entry.kind) for entry in first.entries] == [("a", "folder"), ("fifo", "other")]
    assert first.more
    rest = list_folder(root, after="fifo")
    assert [(entry.name, entry.kind) for entry in rest.entries] == [("out", "link")]
    assert not rest.more
    inner = list_folder(root, PurePosixPath("a"))
    assert [(entry.name, entry.kind, entry.size) for entry in inner.entries][1] == ("movie.tiff", "file", 5000)


def test_hostile_names_are_listed_as_they_are(root: Path) -> None:
    names = ["line\nbreak", os.fsdecode(b"\xff"), "<b>", "x" * 255]
    for name in names:
        (root / "a" / "b" / name).touch()
    assert [entry.name for entry in list_folder(root, PurePosixPath("a/b")).entries] == sorted(names)


def test_measuring_counts_each_file_once_and_follows_no_link(root: Path, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"x" * 10_000_000)
    os.link(root / "a" / "movie.tiff", root / "a" / "b" / "again.tiff")
    measured = measure(root)
    own = [root / "a" / "movie.tiff", root / "out", root / "a" / "secret"]
    assert measured.bytes == sum(path.lstat().st_blocks for path in own) * 512 < 1_000_000
    assert measured.files == 4  # the movie, two links, the fifo
    assert measured.unread == 0
    with pytest.raises(NotFound):
        measure(root / "nothing")


def test_the_room_of_a_disk_is_told(root: Path) -> None:
    found = room(root)
    assert 0 < found.free <= found.total


def test_the_top_of_a_root_opens(root: Path) -> None:
    with open_folder(root) as descriptor:
        assert os.path.samestat(os.fstat(descriptor), root.stat())
