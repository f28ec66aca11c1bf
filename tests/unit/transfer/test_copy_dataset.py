"""A dataset arrives whole, verified, with all that belongs to it; run again, nothing is copied twice."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import threading
import time
from pathlib import Path

import pytest

from passerelle.core.errors import BadFile, BadInput, Busy, NotFound, PasserelleError
from passerelle.transfer import Control, Copied, Progress, copy_dataset, follow_dataset, verify_dataset
from passerelle.transfer.beneath import Root
from passerelle.transfer.ledger import Ledger, read_manifest
from passerelle.transfer.medium import BLOCK_BYTES


def copy(source: Path, target: Path, **options: object) -> Copied:
    return copy_dataset(source, target, processes=0 if "processes" not in options else 1)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "b" / "movie").write_bytes(os.urandom(2 * BLOCK_BYTES + 12_345))
    (folder / "a" / "middling").write_bytes(os.urandom(1 << 20))
    for number in range(20):
        (folder / "a" / f"small {number}").write_bytes(os.urandom(1000 + number))
    (folder / "empty").write_bytes(b"")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file() and ".passerelle" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def test_a_dataset_arrives_as_it_was(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    done = copy(source, target)
    assert done.whole
    assert done.files == 23
    assert contents(target) == contents(source)
    assert (target / "a" / "middling").stat().st_mtime_ns == (source / "a" / "middling").stat().st_mtime_ns
    assert (target / "a").stat().st_mtime_ns == (source / "a").stat().st_mtime_ns
    assert verify_dataset(target).whole
    assert verify_dataset(source, manifest_of=target).files == 23


def test_a_second_run_copies_nothing_and_leaves_the_manifest_as_it_is(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    first = copy(source, target)
    manifest = (target / ".passerelle" / "manifest.jsonl").stat()
    again = copy(source, target)
    assert (again.unchanged, again.copied_bytes, again.manifest_digest) == (23, 0, first.manifest_digest)
    assert (target / ".passerelle" / "manifest.jsonl").stat().st_mtime_ns == manifest.st_mtime_ns
    assert sorted(path.name for path in (target / ".passerelle").iterdir()) == ["lock", "manifest.jsonl"]


def test_what_changed_since_is_copied_again_and_only_that(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    copy(source, target)
    (source / "a" / "small 3").write_bytes(b"another")
    again = copy(source, target)
    assert (again.unchanged, again.copied_bytes) == (22, 7)
    assert (target / "a" / "small 3").read_bytes() == b"another"


def test_a_file_of_others_in_the_target_is_left_alone_and_named(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    (target / "a").mkdir(parents=True)
    (target / "a" / "small 3").write_bytes(b"mine")
    done = copy(source, target)
    (problem,) = done.problems
    assert (problem.path, problem.kind) == ("a/small 3", "Conflict")
    assert "Move it away" in problem.advice
    assert (target / "a" / "small 3").read_bytes() == b"mine"
    assert done.files == 22
    assert not list(target.rglob(".p-*"))


def test_what_was_tampered_with_after_the_copy_is_not_overwritten_but_named(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    copy(source, target)
    (target / "a" / "small 3").write_bytes(b"tampered")
    assert [each.path for each in copy(source, target).problems] == ["a/small 3"]
    assert [each.path for each in verify_dataset(target).problems] == ["a/small 3"]


def test_a_file_that_is_there_with_the_same_content_is_taken_for_ours(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    (target / "a").mkdir(parents=True)
    (target / "a" / "middling").write_bytes((source / "a" / "middling").read_bytes())
    assert copy(source, target).whole
    assert verify_dataset(target).whole


def test_damage_is_named_by_file_and_block(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    copy(source, target)
    with (target / "a" / "b" / "movie").open("r+b") as stream:
        for place in (BLOCK_BYTES, 2 * BLOCK_BYTES + 12_344):
            stream.seek(place)
            byte = stream.read(1)
            stream.seek(place)
            stream.write(bytes([byte[0] ^ 16]))
    (target / "empty").unlink()
    (target / "more").write_bytes(b"later")
    found = verify_dataset(target)
    assert [each.path for each in found.problems] == ["a/b/movie", "empty"]
    assert "block 1 (bytes 4194304 to 8388607), block 2 (bytes 8388608 to 8400952) differs" in found.problems[0].message
    assert found.unknown == ("more",)
    assert found.files == 21


def test_a_later_leg_holds_its_source_against_the_manifest_of_the_earlier(source: Path, tmp_path: Path) -> None:
    middle, end = tmp_path / "middle", tmp_path / "end"
    copy_dataset(source, middle, leg="gateway to zone", processes=0)
    movie = middle / "a" / "b" / "movie"
    times = movie.stat()
    with movie.open("r+b") as stream:
        stream.seek(BLOCK_BYTES + 5)
        stream.write(b"rot")
    os.utime(movie, ns=(times.st_atime_ns, times.st_mtime_ns))  # bits rot without touching the times
    done = copy_dataset(middle, end, leg="zone to tape", processes=0)
    (problem,) = done.problems
    assert (problem.path, problem.kind) == ("a/b/movie", "BadFile")
    assert "`gateway to zone` has verified: block 1" in problem.message
    assert not (end / "a" / "b" / "movie").exists()
    with Root(end) as root:
        manifest = read_manifest(root)
    assert manifest.legs == ["gateway to zone", "zone to tape"]


def test_holes_stay_holes(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    with (source / "sparse").open("wb") as stream:
        stream.truncate(1 << 30)
        for place in (0, 100 << 20, (1 << 30) - 5):
            stream.seek(place)
            stream.write(b"data!")
    (source / "hole").touch()
    os.truncate(source / "hole", 5 << 20)
    assert copy(source, target).whole
    assert (target / "sparse").stat().st_size == 1 << 30
    assert (target / "sparse").stat().st_blocks <= (source / "sparse").stat().st_blocks + 64
    with (target / "sparse").open("rb") as stream:
        stream.seek(100 << 20)
        assert stream.read(6) == b"data!\0"
    assert verify_dataset(target).whole


def test_what_is_no_file_is_said_and_does_not_hold_the_copy(source: Path, tmp_path: Path) -> None:
    os.mkfifo(source / "fifo")
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(source / "socket"))
    done = copy(source, tmp_path / "target")
    server.close()
    assert {path for path, note in done.notes if "FIFO, socket or device" in note} == {"fifo", "socket"}
    assert done.whole


def test_windows_trouble_is_said(source: Path, tmp_path: Path) -> None:
    for name in ("aux.txt", "a:b", "dot.", "Case", "case", "line\nbreak", os.fsdecode(b"\xff")):
        (source / name).write_bytes(b"x")
    notes = dict(copy(source, tmp_path / "target").notes)
    assert set(notes) == {"aux.txt", "a:b", "dot.", "case", "line\nbreak", os.fsdecode(b"\xff")}
    assert notes["case"] == "Windows takes it for the same as Case."


def test_links_are_copied_as_links_and_never_followed(source: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_bytes(b"secret")
    (source / "out").symlink_to(secret)
    (source / "loop").symlink_to("loop")
    target = tmp_path / "target"
    assert copy(source, target).whole
    assert os.readlink(target / "out") == str(secret)
    assert os.readlink(target / "loop") == "loop"
    os.unlink(target / "loop")
    os.symlink("elsewhere", target / "loop")
    assert [each.path for each in verify_dataset(target).problems] == ["loop"]


def test_a_link_in_the_place_of_a_target_folder_is_not_followed(source: Path, tmp_path: Path) -> None:
    outside, target = tmp_path / "outside", tmp_path / "target"
    outside.mkdir()
    target.mkdir()
    (target / "a").symlink_to(outside)
    done = copy(source, target)
    assert [(each.path, each.kind) for each in done.problems] == [("a", "Conflict")]
    assert not list(outside.iterdir())
    assert (target / "empty").exists()


def test_names_of_one_file_stay_names_of_one_file(source: Path, tmp_path: Path) -> None:
    os.link(source / "a" / "middling", source / "z")
    target = tmp_path / "target"
    assert copy(source, target).whole
    assert (target / "z").stat().st_ino == (target / "a" / "middling").stat().st_ino
    assert copy(source, target).unchanged == 24


@pytest.mark.parametrize("processes", [0, 1])
def test_further_digests_are_in_the_manifest_where_they_are_asked_for(processes: int, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    for number in range(100):
        (source / f"{number}").write_bytes(b"%d" % number)
    copy_dataset(source, target, also=("md5", "sha256"), processes=processes)
    with Root(target) as root:
        manifest = read_manifest(root)
    assert dict(manifest.rows["7"].also) == {
        "md5": hashlib.md5(b"7").hexdigest(),
        "sha256": hashlib.sha256(b"7").hexdigest(),
    }
    with pytest.raises(BadInput, match="crc32"):
        copy_dataset(source, target, also=("crc32",))


def test_two_copies_do_not_write_into_one_dataset(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    with Root(target) as root:
        ledger = Ledger(root)
        with pytest.raises(Busy, match="another copy"):
            copy(source, target)
        ledger.close()
    assert copy(source, target).whole


def test_temporary_files_of_earlier_runs_are_taken_away_and_those_of_others_are_not(source: Path, tmp_path: Path) -> None:
    (source / ".p-0123abcd-5").write_bytes(b"a file that has such a name")
    target = tmp_path / "target"
    target.mkdir()
    with Root(target) as root:
        killed = Ledger(root)
        killed.close()
    (target / "a").mkdir()
    (target / "a" / f".p-{killed.run}-3f").write_bytes(b"left over")
    (target / "a" / ".p-99999999-3f").write_bytes(b"somebody else's")
    assert copy(source, target).whole
    assert sorted(path.name for path in target.rglob(".p-*")) == [".p-0123abcd-5", ".p-99999999-3f"]


def test_a_folder_cannot_be_copied_into_itself(source: Path) -> None:
    for target in (source, source / "a", source.parent):
        with pytest.raises(BadInput, match="lies in the other"):
            copy(source, target)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="nowhere"):
        copy(tmp_path / "nowhere", tmp_path / "target")


def test_a_damaged_manifest_is_refused(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    copy(source, target)
    manifest = target / ".passerelle" / "manifest.jsonl"
    manifest.write_bytes(manifest.read_bytes()[:-300])
    for verb in (copy, lambda _source, folder: verify_dataset(folder)):
        with pytest.raises(BadFile, match=r"cut off or changed|no JSON"):
            verb(source, target)


def test_without_a_manifest_nothing_can_be_verified(source: Path) -> None:
    with pytest.raises(NotFound, match="no manifest"):
        verify_dataset(source)


def test_small_files_are_copied_by_other_processes_as_well(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    for number in range(600):
        (source / f"{number}").write_bytes(b"%d" % number * 50)
    done = copy(source, target, processes=1)
    assert (done.files, done.whole, done.copied_bytes) == (600, True, done.bytes)
    assert contents(target) == contents(source)


def test_a_copy_that_is_cancelled_leaves_no_half_file_and_goes_on_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("passerelle.transfer.progress._TELL_SECONDS", 0.0)
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    for number in range(4):
        (source / f"{number}").write_bytes(os.urandom(9 << 20))
    control = Control()
    done = copy_dataset(source, target, control=control, told=lambda now: control.cancel() if now.moved else None, processes=0)
    assert done.cancelled
    assert done.files < 4
    assert not list(target.rglob(".p-*"))
    again = copy(source, target)
    assert again.unchanged == done.files
    assert contents(target) == contents(source)


def test_a_copy_that_is_paused_moves_nothing_until_it_goes_on(source: Path, tmp_path: Path) -> None:
    control = Control()
    control.pause()
    results: list[Copied] = []
    thread = threading.Thread(target=lambda: results.append(copy_dataset(source, tmp_path / "t", control=control, processes=0)))
    thread.start()
    time.sleep(0.2)
    assert not contents(tmp_path / "t")
    control.resume()
    thread.join(120)
    assert results[0].whole


def test_files_of_several_blocks_are_copied_by_other_processes_as_well(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    for number in range(150):
        with (source / f"{number:03}").open("wb") as stream:
            stream.truncate(9 << 20)
            stream.seek(number << 14)
            stream.write(b"%d" % number)
    done = copy(source, target, processes=2)
    assert (done.files, done.whole, done.copied_bytes) == (150, True, 150 * (9 << 20))
    for number in range(150):
        assert (target / f"{number:03}").read_bytes() == (source / f"{number:03}").read_bytes()


@pytest.mark.parametrize("size", [200_000, 1 << 20])
def test_a_worker_process_pauses_and_gives_up_in_the_middle_of_its_batch(
    size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("passerelle.transfer.progress._TELL_SECONDS", 0.0)
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    for number in range(100):
        (source / f"{number:03}").write_bytes(os.urandom(size))
    control, paused, results = Control(), threading.Event(), list[Copied]()

    def told(now: Progress) -> None:
        if now.moved and not paused.is_set():
            control.pause()
            paused.set()

    copying = threading.Thread(
        target=lambda: results.append(copy_dataset(source, target, control=control, told=told, processes=1))
    )
    copying.start()
    assert paused.wait(120)
    time.sleep(0.2)
    assert not [name for name in contents(target) if not name.startswith(".p-")], "it went on to the end of its batch"
    control.cancel()
    copying.join(120)
    (done,) = results
    assert (done.cancelled, done.files) == (True, 0)
    assert 0 < done.copied_bytes < 100 * size
    assert not list(target.rglob(".p-*"))
    assert copy(source, target, processes=1).whole
    assert contents(target) == contents(source)


@pytest.mark.parametrize("which", ["source", "target"])
def test_a_folder_that_is_removed_while_it_is_copied_is_told_in_words(
    which: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("passerelle.transfer.progress._TELL_SECONDS", 0.0)
    source, target = tmp_path / "source", tmp_path / "target"
    for folder in ("a", "b"):
        (source / folder).mkdir(parents=True)
        for number in range(3):
            (source / folder / f"{number}").write_bytes(bytes(70 << 20) if number else b"few")

    def told(now: Progress) -> None:
        if now.moved:
            shutil.rmtree(tmp_path / which, ignore_errors=True)

    try:
        done = copy_dataset(source, target, told=told, processes=0)
    except PasserelleError as error:
        assert error.message
    else:
        assert not done.whole
        assert all(problem.message for problem in done.problems)


def test_a_target_whose_folder_is_not_there_is_told_as_such(source: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="the folder that it is to lie in"):
        copy(source, tmp_path / "nowhere" / "target")


def test_a_session_is_followed_until_it_is_closed(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    (source / "first").write_bytes(b"1")
    looks = 0
    written_at = time.monotonic()
    longest_rest = 0.0
    growing = (source / "growing").open("wb", buffering=0)

    def closed() -> bool:
        nonlocal looks, longest_rest, written_at
        looks += 1
        if looks == 2:
            (source / "sub").mkdir()
            (source / "sub" / "second").write_bytes(b"2")
        if looks <= 6:
            longest_rest = max(longest_rest, time.monotonic() - written_at)
            # it was not quiet yet, on a machine that is not busy; the kernel's clock is up to a tick behind ours
            assert not (target / "growing").exists() or longest_rest > 0.28
            written_at = time.monotonic()
            growing.write(b"x" * 1000)
            return False
        growing.close()
        return True

    done = follow_dataset(source, target, closed=closed, poll_seconds=0.1, quiet_seconds=0.3, processes=0)
    assert done.whole
    assert done.files == 3
    assert contents(target) == contents(source)
