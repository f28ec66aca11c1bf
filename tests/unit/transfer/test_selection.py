"""A part of a dataset: only what is wanted comes, folders with it, and the manifest says that it is a part."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from passerelle.core.errors import BadInput, NotAllowed, NotFound
from passerelle.transfer import Keep, Root, Selection, Weight, Within, copy_dataset, verify_dataset, weigh


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    for name in ("a/deep/one.eer", "a/deep/one.xml", "a/two.eer", "b/only/three.eer", "gain"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(5000))
    (folder / "empty").mkdir()
    (folder / "b" / "link").symlink_to("only/three.eer")
    return folder


NO_MOVIES = Selection("all but movies", lambda path: not path.endswith(".eer"))


def paths(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if ".passerelle" not in path.parts}


def head(folder: Path) -> dict[str, object]:
    return json.loads((folder / ".passerelle" / "manifest.jsonl").read_bytes().splitlines()[0])


def test_only_what_is_wanted_comes_and_no_folder_without_it(source: Path, tmp_path: Path) -> None:
    done = copy_dataset(source, tmp_path / "target", selection=NO_MOVIES, processes=0)
    assert (done.whole, done.files) == (True, 3)
    assert paths(tmp_path / "target") == {"a", "a/deep", "a/deep/one.xml", "b", "b/link", "gain"}
    assert head(tmp_path / "target")["selection"] == "all but movies"
    assert verify_dataset(tmp_path / "target").whole


def test_the_whole_after_a_part_copies_the_rest_and_says_so(source: Path, tmp_path: Path) -> None:
    copy_dataset(source, tmp_path / "target", selection=NO_MOVIES, processes=0)
    done = copy_dataset(source, tmp_path / "target", processes=0)
    assert (done.files, done.unchanged) == (6, 3)
    assert paths(tmp_path / "target") == paths(source)
    assert "selection" not in head(tmp_path / "target")


def test_a_copy_of_a_part_says_that_it_is_one(source: Path, tmp_path: Path) -> None:
    copy_dataset(source, tmp_path / "target", selection=NO_MOVIES, processes=0)
    copy_dataset(tmp_path / "target", tmp_path / "tape", processes=0)
    assert head(tmp_path / "tape")["selection"] == "all but movies"
    again = (tmp_path / "tape" / ".passerelle" / "manifest.jsonl").stat().st_mtime_ns
    copy_dataset(tmp_path / "target", tmp_path / "tape", processes=0)
    assert (tmp_path / "tape" / ".passerelle" / "manifest.jsonl").stat().st_mtime_ns == again


def test_what_comes_is_weighed_before(source: Path) -> None:
    with Root(source) as root:
        assert weigh(root, NO_MOVIES) == Weight(3, 10_000)
        assert weigh(root) == Weight(6, 25_000)


def test_what_came_is_told_file_by_file(source: Path, tmp_path: Path) -> None:
    told: list[str] = []
    copy_dataset(source, tmp_path / "target", came=lambda outcomes: told.extend(each.path for each in outcomes), processes=0)
    assert set(told) == {"a/deep/one.eer", "a/deep/one.xml", "a/two.eer", "b/only/three.eer", "gain", "b/link"}


def test_missing_folders_on_the_way_to_the_target_are_made_within_its_root(source: Path, tmp_path: Path) -> None:
    (tmp_path / "zone").mkdir()
    done = copy_dataset(Within(tmp_path, "source"), Within(tmp_path / "zone", "datasets/krios/s1"), processes=0)
    assert done.whole
    assert paths(tmp_path / "zone" / "datasets" / "krios" / "s1") == paths(source)


def test_without_its_root_nothing_is_made(source: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        copy_dataset(source, Within(tmp_path / "zone", "datasets"), processes=0)
    assert not (tmp_path / "zone").exists()


@pytest.mark.parametrize("place", ["out", "out/more"])
def test_a_link_on_the_way_is_not_followed(source: Path, tmp_path: Path, place: str) -> None:
    (tmp_path / "zone").mkdir()
    (tmp_path / "elsewhere" / "more").mkdir(parents=True)
    (tmp_path / "zone" / "out").symlink_to(tmp_path / "elsewhere")
    with pytest.raises((NotAllowed, NotFound)):
        copy_dataset(source, Within(tmp_path / "zone", place), processes=0)
    with pytest.raises((NotAllowed, NotFound)):
        copy_dataset(Within(tmp_path / "zone", place), tmp_path / "target", processes=0)
    assert paths(tmp_path / "elsewhere") == {"more"}


@pytest.mark.parametrize("path", ["../elsewhere", "/etc", "a/../..", "a//b"])
def test_a_path_that_leads_out_is_none(source: Path, tmp_path: Path, path: str) -> None:
    (tmp_path / "zone").mkdir()
    with pytest.raises(BadInput):
        copy_dataset(source, Within(tmp_path / "zone", path), processes=0)


def test_what_is_to_have_the_rights_of_its_place_gets_none_of_the_sources(source: Path, tmp_path: Path) -> None:
    (source / "a").chmod(0o700)
    (source / "gain").chmod(0o600)
    old = os.umask(0o027)
    try:
        copy_dataset(source, tmp_path / "target", keep=Keep(owner=False, mode=False, extended=False), processes=0)
    finally:
        os.umask(old)
    assert (tmp_path / "target" / "a").stat().st_mode & 0o777 == 0o750
    assert (tmp_path / "target" / "gain").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "target" / "gain").stat().st_mtime_ns == (source / "gain").stat().st_mtime_ns
