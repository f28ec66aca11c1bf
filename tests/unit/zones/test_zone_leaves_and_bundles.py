"""A folder is looked through page by page, sorted; files and folders of it are packed while they are sent."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path, PurePosixPath

import pytest

from passerelle.core.errors import BadInput, NotFound
from passerelle.zones import Order, bundle, leaf_through


def named(root: Path, **how: object) -> list[str]:
    return [entry.name for entry in leaf_through(root, **how).entries]  # pyright: ignore[reportArgumentType]


@pytest.fixture
def zone(tmp_path: Path) -> Path:
    root = tmp_path / "zone"
    (root / "B-folder" / "inner").mkdir(parents=True)
    for number, name in enumerate(["a.txt", "Z.mrc", "m.tif"]):
        (root / name).write_bytes(b"x" * (10 * (3 - number)))
        os.utime(root / name, (1000 + number, 1000 + number))
    (root / "B-folder" / "inner" / "deep.txt").write_bytes(b"deep")
    (root / ".passerelle").mkdir()
    (root / ".passerelle" / "manifest.jsonl").write_text("secret")
    (root / ".p-half").write_bytes(b"half a file")
    (root / "link").symlink_to("/etc/passwd")
    return root


def test_a_folder_is_sorted_by_name_size_and_time_folders_first(zone: Path) -> None:
    assert named(zone) == ["B-folder", "a.txt", "link", "m.tif", "Z.mrc"]
    assert named(zone, descending=True) == ["B-folder", "Z.mrc", "m.tif", "link", "a.txt"]
    assert [name for name in named(zone, order=Order.SIZE) if name != "link"] == ["B-folder", "m.tif", "Z.mrc", "a.txt"]
    assert [name for name in named(zone, order=Order.TIME, descending=True) if name != "link"] == [
        "B-folder",
        "m.tif",
        "Z.mrc",
        "a.txt",
    ]


def test_pages_of_a_folder_make_the_whole(zone: Path) -> None:
    for order in Order:
        leaves = [leaf_through(zone, order=order, first=first, limit=2) for first in (0, 2, 4)]
        assert [leaf.total for leaf in leaves] == [5, 5, 5]
        assert sorted(entry.name for leaf in leaves for entry in leaf.entries) == sorted(named(zone))
    assert named(zone, first=10**9) == []


def unpacked(root: Path, items: list[str], above: str = "") -> zipfile.ZipFile:
    packed = bundle(root, [PurePosixPath(item) for item in items], above=PurePosixPath(above))
    return zipfile.ZipFile(io.BytesIO(b"".join(packed.write())))


def test_a_bundle_holds_the_files_byte_for_byte_and_no_links_and_nothing_of_ours(zone: Path) -> None:
    archive = unpacked(zone, [""])
    assert archive.testzip() is None
    assert sorted(archive.namelist()) == ["B-folder/inner/deep.txt", "Z.mrc", "a.txt", "m.tif"]
    assert archive.read("a.txt") == b"x" * 30
    assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}


def test_a_bundle_of_a_folder_within_keeps_its_name(zone: Path) -> None:
    assert unpacked(zone, ["B-folder"]).namelist() == ["B-folder/inner/deep.txt"]
    assert unpacked(zone, ["B-folder/inner"], "B-folder").namelist() == ["inner/deep.txt"]


def test_odd_names_are_packed_so_that_they_unpack_beneath_the_folder(tmp_path: Path) -> None:
    for name in (b"caf\xe9", b"a\nb", b"c:\\d", b"..\\..\\evil"):
        (tmp_path / os.fsdecode(name)).write_bytes(name)
    archive = unpacked(tmp_path, [""])
    assert archive.testzip() is None
    assert sorted(archive.namelist()) == [".._.._evil", "a_nb", "c__d", "caf_xe9"]


def test_what_cannot_be_packed_any_more_is_said_in_the_archive(zone: Path) -> None:
    packed = bundle(zone, [PurePosixPath()], above=PurePosixPath())
    (zone / "a.txt").unlink()
    (zone / "Z.mrc").write_bytes(b"now it is longer than it was when it was looked at")
    archive = zipfile.ZipFile(io.BytesIO(b"".join(packed.write())))
    assert archive.testzip() is None
    assert "a.txt: is not there" in archive.read("NOT-IN-THIS-ARCHIVE.txt").decode()
    assert archive.read("Z.mrc").startswith(b"now it is longer")


def test_a_folder_swapped_for_a_link_leads_nowhere(zone: Path, tmp_path: Path) -> None:
    packed = bundle(zone, [PurePosixPath("B-folder")], above=PurePosixPath())
    (tmp_path / "secrets" / "inner").mkdir(parents=True)
    (tmp_path / "secrets" / "inner" / "deep.txt").write_text("another's")
    (zone / "B-folder").rename(tmp_path / "away")
    (zone / "B-folder").symlink_to(tmp_path / "secrets")
    assert b"another's" not in b"".join(packed.write())
    with pytest.raises(NotFound):
        bundle(zone, [PurePosixPath("B-folder/inner")], above=PurePosixPath())


def test_too_much_is_refused_before_a_byte_is_sent(zone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    room = sys.modules["passerelle.zones.bundle"]
    monkeypatch.setattr(room, "MOST_FILES", 3)
    with pytest.raises(BadInput, match="more than is sent in one go"):
        bundle(zone, [PurePosixPath()], above=PurePosixPath())
    monkeypatch.setattr(room, "MOST_FILES", 100)
    monkeypatch.setattr(room, "MOST_BYTES", 20)
    with pytest.raises(BadInput, match="Copy the folder by its path"):
        bundle(zone, [PurePosixPath()], above=PurePosixPath())
    with pytest.raises(BadInput, match="no file"):
        bundle(zone, [PurePosixPath("link")], above=PurePosixPath())


def test_an_archive_needs_no_memory_of_the_size_of_its_files(tmp_path: Path) -> None:
    large = tmp_path / "large"
    with large.open("wb") as stream:
        stream.truncate(64 << 20)
    assert max(len(piece) for piece in bundle(tmp_path, [PurePosixPath("large")], above=PurePosixPath()).write()) < 2 << 20
