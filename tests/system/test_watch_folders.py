"""The watch on a real disk: folders that come, go, move and come back, odd names, links, pipes, mounts, rights, busy sinks."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from threading import Event
from typing import TypeVar

import pytest

from passerelle.core.errors import Busy, IllegalMove
from passerelle.gateway import (
    Arrival,
    Bad,
    Change,
    FolderChange,
    FolderState,
    Gone,
    InstrumentFolder,
    KnownFile,
    LinkIgnored,
    Pace,
    Returned,
    SettleRules,
    Watch,
)
from passerelle.testing.taker import Taker
from passerelle.testing.writers import ZooProgram, mrc_bytes

QUICK = Pace(watched_seconds=0.5, polled_seconds=0.3, sweep_seconds=1.0)
RULES = SettleRules(unknown_writer_seconds=0.6)
RNG = random.Random(1)
T = TypeVar("T")


def until(condition: Callable[[], object], seconds: float = 60.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return bool(condition())


def movie() -> bytes:
    return mrc_bytes(3, RNG)


class Bench:
    """A folder, a watch on it and what it handed on."""

    def __init__(self, root: Path, *, polling: bool | None = None, known: Sequence[KnownFile] = ()) -> None:
        self.root = root
        self.taker = Taker({"k": root})
        folder = InstrumentFolder("k", root, ZooProgram(), quiet_seconds=1.0, polling=polling)
        self.watch = Watch([folder], lambda _: known, self.taker, pace=QUICK, rules=RULES)

    def arrivals(self) -> list[str]:
        return [str(change.path) for change in self.all(Arrival)]

    def all(self, kind: type[T]) -> list[T]:
        with self.taker.lock:
            return [change for change in self.taker.changes if isinstance(change, kind)]

    def state(self) -> FolderState:
        return self.watch.statuses()["k"].state

    def known(self) -> list[KnownFile]:
        return [KnownFile(a.path, a.size, a.mtime_ns, a.inode, a.generation) for a in self.all(Arrival)]


@pytest.fixture(params=[None, True], ids=["events", "polling"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    root = tmp_path / "krios"
    root.mkdir()
    made = Bench(root, polling=request.param)
    with made.watch:
        assert until(lambda: made.all(FolderChange))
        yield made


def test_a_closed_movie_is_handed_on_within_a_second(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    delays: list[float] = []
    with bench.watch:
        assert until(lambda: bench.state() is FolderState.WATCHING)
        for k in range(20):
            (tmp_path / f"m{k}.mrc").write_bytes(movie())
            closed = time.time()
            assert until(lambda k=k: bench.taker.of("k", f"m{k}.mrc"))
            delays.append(bench.taker.of("k", f"m{k}.mrc")[0].at - closed)
    delays.sort()
    assert delays[0] <= 1.0, delays  # nothing waits longer by itself; how often, other programs decide, too
    assert delays[18] <= 15.0, delays


def test_files_in_new_folders_at_any_depth_are_found(bench: Bench) -> None:
    paths = [bench.root / "s" / "a" / "b" / "c" / f"m{k}.mrc" for k in range(5)]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(movie())
    assert until(lambda: len(bench.arrivals()) == 5)


def test_a_folder_renamed_takes_its_files_along_and_new_ones_are_found_in_it(bench: Bench) -> None:
    (bench.root / "s1").mkdir()
    (bench.root / "s1" / "a.mrc").write_bytes(movie())
    assert until(lambda: bench.arrivals() == ["s1/a.mrc"])
    (bench.root / "s1").rename(bench.root / "s2")
    assert until(lambda: [str(c.path) for c in bench.all(Gone)] == ["s1/a.mrc"])
    assert until(lambda: "s2/a.mrc" in bench.arrivals())
    (bench.root / "s2" / "b.mrc").write_bytes(movie())
    assert until(lambda: "s2/b.mrc" in bench.arrivals())
    (bench.root / "s1").mkdir()
    (bench.root / "s1" / "c.mrc").write_bytes(movie())
    assert until(lambda: "s1/c.mrc" in bench.arrivals())
    assert len(bench.arrivals()) == 4


def test_a_folder_removed_and_made_again_is_watched_again(bench: Bench) -> None:
    folder = bench.root / "s"
    for generation in range(3):
        folder.mkdir()
        (folder / "a.mrc").write_bytes(movie())
        assert until(lambda n=generation: len(bench.taker.of("k", "s/a.mrc")) == n + 1)
        (folder / "a.mrc").unlink()
        folder.rmdir()
        assert until(lambda n=generation: len(bench.all(Gone)) == n + 1)
    assert [taken.arrival.generation for taken in bench.taker.of("k", "s/a.mrc")] == [0, 1, 2]


def test_the_root_renamed_away_is_unreachable_and_nothing_is_lost_or_doubled_when_it_is_back(bench: Bench) -> None:
    for k in range(10):
        (bench.root / f"m{k}.mrc").write_bytes(movie())
    assert until(lambda: len(bench.arrivals()) == 10)
    away = bench.root.with_name("away")
    bench.root.rename(away)
    assert until(lambda: bench.state() is FolderState.UNREACHABLE)
    (away / "late.mrc").write_bytes(movie())
    time.sleep(1.0)
    away.rename(bench.root)
    assert until(lambda: "late.mrc" in bench.arrivals())
    (bench.root / "later.mrc").write_bytes(movie())
    assert until(lambda: "later.mrc" in bench.arrivals())
    assert len(bench.arrivals()) == 12
    assert not bench.all(Gone)
    states = [change.state for change in bench.all(FolderChange)]
    assert states[0] == states[-1] != FolderState.UNREACHABLE
    assert FolderState.UNREACHABLE in states


def test_a_mount_point_left_empty_does_not_count_as_zero_files(bench: Bench) -> None:
    (bench.root / "a.mrc").write_bytes(movie())
    assert until(lambda: len(bench.arrivals()) == 1)
    bench.root.rename(bench.root.with_name("away"))
    bench.root.mkdir()
    assert until(lambda: bench.state() is FolderState.UNREACHABLE)
    assert until(lambda: "mounted" in bench.watch.statuses()["k"].reason)
    time.sleep(1.5)
    assert not bench.all(Gone)


def test_an_emptied_folder_counts_as_emptied(bench: Bench) -> None:
    (bench.root / "a.mrc").write_bytes(movie())
    assert until(lambda: len(bench.arrivals()) == 1)
    (bench.root / "a.mrc").unlink()
    assert until(lambda: len(bench.all(Gone)) == 1)
    assert bench.state() is not FolderState.UNREACHABLE


def test_a_real_share_unmounted_and_mounted_again(tmp_path: Path) -> None:
    image, root = tmp_path / "share", tmp_path / "krios"
    image.mkdir()
    root.mkdir()
    if subprocess.run(["mount", "--bind", image, root], capture_output=True).returncode:
        pytest.skip("mounting needs root")
    try:
        bench = Bench(root)
        with bench.watch:
            (root / "a.mrc").write_bytes(movie())
            assert until(lambda: bench.arrivals() == ["a.mrc"])
            subprocess.run(["umount", "-l", root], check=True)
            assert until(lambda: bench.state() is FolderState.UNREACHABLE)
            (image / "b.mrc").write_bytes(movie())
            time.sleep(1.0)
            assert not bench.all(Gone)
            subprocess.run(["mount", "--bind", image, root], check=True)
            assert until(lambda: "b.mrc" in bench.arrivals())
            assert bench.arrivals() == ["a.mrc", "b.mrc"]
            assert not bench.all(Gone)
    finally:
        subprocess.run(["umount", "-l", root], capture_output=True)


def test_a_watch_may_start_before_its_folder_is_there(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "not-yet")
    with bench.watch:
        assert until(lambda: bench.all(FolderChange))
        assert bench.state() is FolderState.UNREACHABLE
        bench.root.mkdir()
        (bench.root / "a.mrc").write_bytes(movie())
        assert until(lambda: bench.arrivals() == ["a.mrc"])


def test_after_a_restart_only_what_is_new_is_handed_on_and_what_is_missing_is_gone(tmp_path: Path) -> None:
    first = Bench(tmp_path)
    (tmp_path / "s" / "deep").mkdir(parents=True)
    for k in range(5):
        (tmp_path / "s" / "deep" / f"m{k}.mrc").write_bytes(movie())
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "gone.mrc").write_bytes(movie())
    with first.watch:
        assert until(lambda: len(first.arrivals()) == 6)
    (tmp_path / "t" / "gone.mrc").unlink()
    (tmp_path / "t").rmdir()
    (tmp_path / "s" / "deep" / "m0.mrc").write_bytes(movie() + b"")
    (tmp_path / "s" / "new.mrc").write_bytes(movie())
    second = Bench(tmp_path, known=first.known())
    with second.watch:
        assert until(lambda: len(second.arrivals()) == 2 and second.all(Gone))
        time.sleep(1.0)
    assert sorted(second.arrivals()) == ["s/deep/m0.mrc", "s/new.mrc"]
    assert {str(a.path): a.generation for a in second.all(Arrival)} == {"s/deep/m0.mrc": 1, "s/new.mrc": 0}
    assert [str(c.path) for c in second.all(Gone)] == ["t/gone.mrc"]


def test_a_file_moved_out_and_back_is_not_processed_again(bench: Bench) -> None:
    path, outside = bench.root / "a.mrc", bench.root.with_name("outside.mrc")
    path.write_bytes(movie())
    (bench.root / "other.mrc").write_bytes(movie())
    assert until(lambda: len(bench.arrivals()) == 2)
    path.rename(outside)
    assert until(lambda: bench.all(Gone))
    outside.rename(path)
    assert until(lambda: bench.all(Returned))
    time.sleep(1.0)
    assert len(bench.arrivals()) == 2


ODD = [
    b"new\nline.mrc", b"sp ace.mrc", "µ-Å-日本.mrc".encode(), b"invalid-\xff\xfe.mrc", b"-rf.mrc", b"quote'\".mrc", b"tab\t.mrc",
    b"%41.mrc", b"x" * 251 + b".mrc", b"\x01\x02.mrc", b"back\\slash.mrc", b"*.mrc",
]  # fmt: skip


def test_odd_names_are_handed_on_as_they_are(bench: Bench) -> None:
    folder = os.fsencode(bench.root / "s")
    os.mkdir(folder)
    for name in ODD:
        with open(os.path.join(folder, name), "wb") as stream:
            stream.write(movie())
    assert until(lambda: len(bench.arrivals()) == len(ODD))
    assert sorted(os.fsencode(path.removeprefix("s/")) for path in bench.arrivals()) == sorted(ODD)


def test_links_are_not_followed_and_those_that_lead_out_are_told_once(bench: Bench, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.mrc").write_bytes(movie())
    (bench.root / "a.mrc").write_bytes(movie())
    (bench.root / "folder").symlink_to(outside)
    (bench.root / "file.mrc").symlink_to(outside / "secret.mrc")
    (bench.root / "inside.mrc").symlink_to("a.mrc")
    (bench.root / "dangling.mrc").symlink_to("nowhere.mrc")
    (bench.root / "loop.mrc").symlink_to("loop.mrc")
    assert until(lambda: len(bench.all(LinkIgnored)) == 2)
    assert until(bench.arrivals)
    time.sleep(1.0)
    assert bench.arrivals() == ["a.mrc"]
    assert sorted(str(link.path) for link in bench.all(LinkIgnored)) == ["file.mrc", "folder"]


def test_pipes_and_sockets_of_a_movies_name_hold_up_nothing(bench: Bench) -> None:
    os.mkfifo(bench.root / "pipe.mrc")
    (bench.root / "a.mrc").write_bytes(movie())
    assert until(lambda: bench.arrivals() == ["a.mrc"])


def test_a_path_longer_than_the_system_allows_spoils_only_itself(bench: Bench) -> None:
    here = os.open(bench.root, os.O_RDONLY)
    for _ in range(20):
        os.mkdir("d" * 250, dir_fd=here)
        inner = os.open("d" * 250, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    descriptor = os.open("deep.mrc", os.O_WRONLY | os.O_CREAT, dir_fd=here)
    os.write(descriptor, movie())
    os.close(descriptor)
    os.close(here)
    (bench.root / "a.mrc").write_bytes(movie())
    assert until(lambda: "a.mrc" in bench.arrivals())
    time.sleep(1.5)
    assert bench.state() is not FolderState.UNREACHABLE
    (bench.root / "b.mrc").write_bytes(movie())
    assert until(lambda: "b.mrc" in bench.arrivals())
    subprocess.run(["rm", "-rf", bench.root / ("d" * 250)], check=True)


class BusySink(Taker):
    """Refuses every other batch, as a locked database does."""

    offered = 0

    def take(self, changes: Sequence[Change]) -> None:
        self.offered += 1
        if self.offered % 2:
            raise Busy("The database is locked.")
        super().take(changes)


def test_a_sink_that_is_busy_is_offered_the_same_again(tmp_path: Path) -> None:
    taker = BusySink({"k": tmp_path})
    folder = InstrumentFolder("k", tmp_path, ZooProgram())
    with Watch([folder], lambda _: (), taker, pace=QUICK):
        for k in range(20):
            (tmp_path / f"m{k}.mrc").write_bytes(movie())
            time.sleep(0.05)
        assert until(lambda: taker.count() == 20)
    assert all(len(taken) == 1 for taken in taker.taken.values())


def test_a_sink_that_fails_for_good_ends_the_watch_with_its_error(tmp_path: Path) -> None:
    class Broken(Taker):
        def take(self, changes: Sequence[Change]) -> None:
            raise IllegalMove("This must not be.")

    watch = Watch([InstrumentFolder("k", tmp_path, ZooProgram())], lambda _: (), Broken({"k": tmp_path}), pace=QUICK)
    with watch:
        assert until(lambda: watch.error is not None)
        assert "This must not be." in watch.statuses()["k"].reason


def test_one_process_watches_several_instruments_and_one_that_is_absent_holds_up_no_other(tmp_path: Path) -> None:
    roots = {"falcon": tmp_path / "falcon", "k2": tmp_path / "k2", "absent": tmp_path / "absent"}
    roots["falcon"].mkdir()
    roots["k2"].mkdir()
    taker = Taker(roots)
    folders = [InstrumentFolder(name, root, ZooProgram()) for name, root in roots.items()]
    with Watch(folders, lambda _: (), taker, pace=QUICK) as watch:
        (roots["falcon"] / "a.mrc").write_bytes(movie())
        (roots["k2"] / "a.mrc").write_bytes(movie())
        assert until(lambda: taker.of("falcon", "a.mrc") and taker.of("k2", "a.mrc"))
        states = {name: status.state for name, status in watch.statuses().items()}
    assert states == {"falcon": FolderState.WATCHING, "k2": FolderState.WATCHING, "absent": FolderState.UNREACHABLE}


_UNPRIVILEGED = """
import os, sys, time
from pathlib import Path
from threading import Event
from typing import TypeVar
from passerelle.gateway import *
from passerelle.testing.taker import Taker
from passerelle.testing.writers import ZooProgram
import passerelle.formats
import encodings.idna
root = Path(sys.argv[1])
taker = Taker({"k": root}, reading=False)
watch = Watch([InstrumentFolder("k", root, ZooProgram())], lambda _: (), taker,
              rules=SettleRules(broken_seconds=0.5, patience_seconds=0.5), pace=Pace(0.5, 0.3, 1.0))
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
with watch:
    end = time.time() + 120
    while time.time() < end and not (taker.count() and any(isinstance(c, Bad) for c in taker.changes)
                                     and watch.statuses()["k"].reason):
        time.sleep(0.05)
    print(watch.statuses()["k"].state.value, "|", watch.statuses()["k"].reason)
    for change in taker.changes:
        print(type(change).__name__, getattr(change, "path", ""), getattr(change, "problem", ""))
"""


def test_what_this_account_may_not_read_is_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can act as another account")
    root = Path("/tmp") / f"passerelle-rights-{os.getpid()}"
    root.mkdir(mode=0o755)
    try:
        (root / "forbidden").mkdir(mode=0o700)
        (root / "secret.mrc").write_bytes(movie())
        (root / "secret.mrc").chmod(0o600)
        (root / "open.mrc").write_bytes(movie())
        command = [sys.executable, "-c", _UNPRIVILEGED, root]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    finally:
        subprocess.run(["rm", "-rf", root], check=True)
    assert "watching | forbidden: Permission denied." in done.stdout
    assert "Arrival open.mrc" in done.stdout
    assert "Bad secret.mrc It could not be opened: Permission denied. Check owner and mode" in done.stdout


def test_a_bad_file_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    taker = Taker({"k": tmp_path})
    folder = InstrumentFolder("k", tmp_path, ZooProgram())
    with Watch([folder], lambda _: (), taker, pace=QUICK, rules=SettleRules(broken_seconds=1.0)):
        (tmp_path / "bad.mrc").write_bytes(b"\xff" * 5000)
        (tmp_path / "zip.tif").write_bytes(b"PK\x03\x04" + b"x" * 5000)
        (tmp_path / "good.mrc").write_bytes(movie())
        assert until(lambda: taker.of("k", "good.mrc"))
        assert until(lambda: len([c for c in taker.changes if isinstance(c, Bad)]) == 2)
    assert taker.count() == 1


def test_a_folder_that_does_not_answer_is_shown_as_unreachable_until_it_does(tmp_path: Path) -> None:
    taker, answers = Taker({"k": tmp_path}), Event()

    def known(_: str) -> Sequence[KnownFile]:
        answers.wait(240.0)  # as a dead network mount holds a thread
        return ()

    (tmp_path / "a.mrc").write_bytes(movie())
    watch = Watch([InstrumentFolder("k", tmp_path, ZooProgram())], known, taker, pace=Pace(hangs_seconds=0.5))
    with watch:
        assert until(lambda: [c for c in taker.changes if isinstance(c, FolderChange) and c.state is FolderState.UNREACHABLE])
        assert "not answer" in watch.statuses()["k"].reason
        answers.set()
        assert until(lambda: taker.of("k", "a.mrc"))
        assert until(lambda: watch.statuses()["k"].state is FolderState.WATCHING)
        told = [change.state for change in taker.changes if isinstance(change, FolderChange)]
    assert told[0] is FolderState.UNREACHABLE
    assert FolderState.WATCHING in told
