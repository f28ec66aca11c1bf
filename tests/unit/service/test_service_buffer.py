"""What may go from the gateway goes, by rule, with its row; whatever is not as it must be stays, and a person hears of it."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from passerelle.core.errors import BadFile, BadInput, Busy, Conflict, NotAllowed, PasserelleError
from passerelle.core.states import SessionState
from passerelle.service.access import POWERS, Actor, PersonRole, Through, this_account
from passerelle.service.purge import only_one
from passerelle.store import audit, fills, purges, sessions, transfers, zones
from passerelle.store.fills import Fill
from passerelle.store.purges import Intent, PurgeState
from passerelle.testing.buffer_bench import DAY, SESSION, BufferBench
from passerelle.transfer import Root, verify_dataset
from passerelle.transfer import purge as last_looks

ROOT = this_account()
OPERATOR = Actor("olaf", PersonRole.OPERATOR, POWERS[PersonRole.OPERATOR], Through.PAGE)
MANAGER = Actor("mara", PersonRole.DATA_MANAGER, POWERS[PersonRole.DATA_MANAGER], Through.PAGE)
FILES = {f"Images/Grid/movie {number}.tiff": os.urandom(40_000 + number) for number in range(6)} | {"notes.txt": b"ice is thin"}


Make = Callable[..., BufferBench]


@pytest.fixture
def make(migrated_file: Path) -> Iterator[Make]:
    """A bench in a folder; its database has its schema already."""
    made: list[BufferBench] = []

    def bench_in(root: Path, **rule: Any) -> BufferBench:
        state = root / "state" / "passerelle.sqlite"
        if not state.exists():
            state.parent.mkdir(parents=True)
            shutil.copyfile(migrated_file, state)
        made.append(BufferBench(root, **rule))
        return made[-1]

    yield bench_in
    for each in made:
        each.database.close()


@pytest.fixture
def bench(make: Make, tmp_path: Path) -> BufferBench:
    made = make(tmp_path)
    made.fill(FILES)
    return made


def reasons(bench: BufferBench) -> dict[str, int]:
    (dataset,) = bench.buffer.dry_run(ROOT).datasets
    return {reason.words: reason.files for reason in dataset.reasons}


def same_size_and_time(path: Path, content: bytes) -> None:
    before = path.stat()
    assert len(content) == before.st_size
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_what_is_safe_elsewhere_goes_with_its_row_and_its_empty_folders(bench: BufferBench) -> None:
    copy = bench.send("anna")
    plan = bench.buffer.dry_run(ROOT)
    assert (plan.files, plan.bytes) == (7, sum(map(len, FILES.values())))
    assert bench.left() == FILES
    done = bench.buffer.purge(ROOT, plan.digest)
    assert (done.files, done.bytes, done.kept_files, done.kept) == (7, plan.bytes, 0, [])
    assert not bench.session.exists()
    assert bench.folder.is_dir()
    assert verify_dataset(copy).whole
    rows = bench.rows()
    assert {row.state for row in rows} == {PurgeState.DELETED}
    files = {row.intent.path.removeprefix(f"{SESSION}/"): row for row in rows if row.intent.kind == "file"}
    assert files.keys() == FILES.keys()
    one = files["notes.txt"].intent
    assert (one.size, one.person, one.instrument, one.dataset) == (11, ROOT.audit_name, "krios", SESSION)
    assert one.copies[0]["folder"] == str(copy)
    assert one.rule == "14 days after its end (closed, or quiet for 3 days), 1 verified copy"
    assert [row.intent.path for row in rows if row.intent.kind == "folder"] == ["s1/Images/Grid", "s1/Images", "s1"]
    with bench.database.read() as connection:
        (deed,) = audit.latest(connection, limit=1)
        assert (deed.act, deed.result, deed.data["files"]) == ("buffer_purge", "done", 7)
        assert purges.totals(connection) == (7, plan.bytes)
    assert bench.buffer.dry_run(ROOT).datasets == []


def test_without_a_copy_nothing_goes(bench: BufferBench) -> None:
    assert reasons(bench) == {"No verified copy of it is on record.": 7}
    assert bench.purge().files == 0
    assert bench.left() == FILES


def test_what_the_copy_does_not_have_stays(bench: BufferBench) -> None:
    bench.send("anna")
    (bench.session / "late.tiff").write_bytes(b"came after the copy")
    os.utime(bench.session / "late.tiff", (time.time() - 20 * DAY,) * 2)
    changed = bench.session / "notes.txt"
    changed.write_bytes(b"ice is thin and broken")
    os.utime(changed, (time.time() - 20 * DAY,) * 2)
    assert reasons(bench) == {"No verified copy of it is on record.": 1, "It has changed since it was copied.": 1}
    assert bench.purge().files == 6
    assert sorted(bench.left()) == ["late.tiff", "notes.txt"]


def test_other_bytes_of_the_same_size_and_time_stay_and_are_told_of(bench: BufferBench) -> None:
    bench.send("anna")
    changed = bench.session / "notes.txt"
    same_size_and_time(changed, b"ice is THIN")
    done = bench.purge()
    assert (done.files, done.kept_files) == (6, 1)
    assert bench.left() == {"notes.txt": b"ice is THIN"}
    (alert,) = bench.alerts()
    assert (alert.kind, alert.level, alert.instrument) == ("differs_1", "error", "krios")
    assert "notes.txt" in alert.message
    assert [row for row in bench.rows() if "notes" in row.intent.path] == []


@pytest.mark.parametrize("how", ["removed", "cut", "other time", "a link", "folder away"])
def test_a_copy_that_is_not_as_it_was_saves_the_source_and_alarms(bench: BufferBench, how: str, tmp_path: Path) -> None:
    copy = bench.send("anna")
    plan = bench.buffer.dry_run(ROOT)
    target = copy / "notes.txt"
    if how == "removed":
        target.unlink()
    elif how == "cut":
        target.write_bytes(b"ice")
    elif how == "other time":
        os.utime(target)
    elif how == "a link":
        shutil.move(target, tmp_path / "elsewhere")
        target.symlink_to(tmp_path / "elsewhere")
    else:
        shutil.move(copy, tmp_path / "moved")
        with pytest.raises(Conflict, match="not what was shown any more"):
            bench.buffer.purge(ROOT, plan.digest)
        assert bench.purge().files == 0
        assert bench.left() == FILES
        return
    done = bench.buffer.purge(ROOT, plan.digest)
    assert done.files == 6
    assert bench.left() == {"notes.txt": FILES["notes.txt"]}
    (alert,) = bench.alerts()
    assert (alert.kind, alert.level) == ("copy_1", "error")
    assert "zone anna" in alert.message


def test_a_manifest_that_is_not_the_recorded_one_counts_for_nothing(bench: BufferBench) -> None:
    copy = bench.send("anna")
    path = copy / ".passerelle" / "manifest.jsonl"
    text = path.read_text()
    path.write_text(text.replace("notes.txt", "nites.txt"))
    assert bench.purge().files == 0
    (dataset,) = bench.buffer.dry_run(ROOT).datasets
    assert "cut off or changed" in dataset.copies[0].problem
    path.unlink()
    assert bench.purge().files == 0
    path.write_text(text)
    assert bench.purge().files == 7


def test_damage_in_a_copy_is_seen_where_the_rule_reads_copies_again(make: Make, tmp_path: Path) -> None:
    bench = make(tmp_path, verify_target=True)
    bench.fill(FILES)
    copy = bench.send("anna")
    same_size_and_time(copy / "notes.txt", b"ice is THIN")
    assert bench.purge().files == 6
    assert list(bench.left()) == ["notes.txt"]
    assert [alert.kind for alert in bench.alerts()] == ["copy_1"]
    same_size_and_time(copy / "notes.txt", FILES["notes.txt"])
    assert bench.purge().files == 1
    assert bench.alerts() == []


def test_two_copies_must_lie_in_two_zones(make: Make, tmp_path: Path) -> None:
    bench = make(tmp_path, copies=2)
    bench.fill(FILES)
    first = bench.send("anna")
    shutil.copytree(first, first.parent / "again")
    assert reasons(bench) == {"Only 1 of 2 zones that are asked for have a verified copy.": 7}
    second = bench.send("vault")
    (second / "notes.txt").unlink()
    assert bench.purge().files == 6
    assert list(bench.left()) == ["notes.txt"]
    rows = [row for row in bench.rows() if row.intent.kind == "file"]
    assert all({copy["zone"] for copy in row.intent.copies} == {"anna", "vault"} for row in rows)


def test_copies_with_different_contents_let_nothing_go(make: Make, tmp_path: Path) -> None:
    bench = make(tmp_path, copies=2)
    bench.fill({"a": b"one", "b": b"two"})
    bench.send("anna")
    same_size_and_time(bench.session / "a", b"ONE")
    bench.send("vault")
    done = bench.purge()
    assert (done.files, sorted(bench.left())) == (1, ["a"])
    assert any("differ from each other" in words for words in done.kept)


def test_a_partial_copy_lets_its_own_files_go(make: Make, tmp_path: Path) -> None:
    bench = make(tmp_path)
    bench.fill({"a/1": b"one", "b/2": b"two"})
    hidden = bench.root / "b"
    shutil.move(bench.session / "b", hidden)
    bench.send("anna", selection="accepted")
    shutil.move(hidden, bench.session / "b")
    assert bench.purge().files == 1
    assert bench.left() == {"b/2": b"two"}
    assert not (bench.session / "a").exists()


def test_the_time_is_waited_for(make: Make, tmp_path: Path) -> None:
    bench = make(tmp_path / "open")
    bench.fill(FILES, closed=False)
    bench.send("anna")
    assert bench.purge().files == 7  # nobody closed it, and it is quiet for a month
    young = make(tmp_path / "young")
    young.fill(FILES, days=12.5)
    young.send("anna")
    assert reasons(young) == {"Its age is not reached: 1.5 days to go.": 7}
    assert young.purge().files == 0
    late = make(tmp_path / "late")
    number = late.fill(FILES)
    late.send("anna")
    with late.database.write() as connection:
        sessions.touch(connection, number, last_file_at=time.time() - DAY)  # an old file that arrived yesterday
    assert late.purge().files == 0


def test_nothing_goes_while_something_goes_on_with_it(bench: BufferBench) -> None:
    bench.send("anna")
    plan = bench.buffer.dry_run(ROOT)
    with bench.database.write() as connection:
        zone = zones.get(connection, "anna")
        transfers.create(
            connection,
            person="otto",
            groups=[],
            through="page",
            instrument="krios",
            source="",
            session_id=None,
            name="all",
            selection="whole",
            zone_id=zone.id,
            folder="all",
            at=1.0,
        )
    assert reasons(bench) == {"Transfer 2 of it is under way.": 7}
    with pytest.raises(Conflict):
        bench.buffer.purge(ROOT, plan.digest)
    assert bench.left() == FILES


def test_a_session_that_opens_again_in_mid_purge_is_left(bench: BufferBench) -> None:
    many = {f"more/{number}": bytes([number]) * 10 for number in range(150)}
    bench.session.joinpath("more").mkdir()
    for name, content in many.items():
        (bench.session / name).write_bytes(content)
        os.utime(bench.session / name, (time.time() - 30 * DAY,) * 2)
    bench.send("anna")
    plan = bench.buffer.dry_run(ROOT)

    def reopen(_report: object) -> None:
        with bench.database.write() as connection:
            if sessions.get(connection, 1).state is SessionState.CLOSED:
                sessions.change_state(connection, 1, SessionState.OPEN, at=time.time())

    done = bench.buffer.purge(ROOT, plan.digest, told=reopen)
    assert done.files == 64
    assert len(bench.left()) == 157 - 64


def test_a_purge_can_be_stopped(bench: BufferBench) -> None:
    bench.send("anna")
    stop = threading.Event()
    stop.set()
    done = bench.buffer.purge(ROOT, bench.buffer.dry_run(ROOT).digest, stop=stop)
    assert (done.files, done.stopped) == (0, True)
    assert bench.left() == FILES


def test_only_what_was_shown_to_this_person_within_the_hour_goes(make: Make, tmp_path: Path) -> None:
    now = [time.time()]
    bench = make(tmp_path, clock=lambda: now[0])
    bench.fill(FILES)
    bench.send("anna")
    with pytest.raises(NotAllowed):
        bench.buffer.dry_run(OPERATOR)
    with pytest.raises(NotAllowed):
        bench.buffer.purge(OPERATOR, "0" * 64)
    with pytest.raises(NotAllowed):
        bench.buffer.history(OPERATOR)
    with pytest.raises(Conflict, match="not shown to you"):
        bench.buffer.purge(MANAGER, "0" * 64)
    shown = bench.buffer.dry_run(MANAGER)
    with pytest.raises(Conflict, match="not shown to you"):
        bench.buffer.purge(ROOT, shown.digest)
    now[0] += 3601
    with pytest.raises(Conflict, match="not shown to you"):
        bench.buffer.purge(MANAGER, shown.digest)
    shown = bench.buffer.dry_run(MANAGER)
    os.utime(bench.session / "notes.txt")
    with pytest.raises(Conflict, match="not what was shown"):
        bench.buffer.purge(MANAGER, shown.digest)
    assert bench.left() == FILES
    with bench.database.read() as connection:
        assert {(each.result, each.person) for each in audit.latest(connection, limit=3)} == {
            ("failed", "mara"),
            ("failed", ROOT.audit_name),
        }
    for wrong in ({"instrument": "talos"}, {"instrument": "krios", "dataset": "s9"}):
        with pytest.raises(BadInput):
            bench.buffer.dry_run(MANAGER, **wrong)


def test_what_a_killed_purge_has_left_is_cleared_up_by_the_next_dry_run(bench: BufferBench) -> None:
    bench.send("anna")
    plan = bench.buffer.dry_run(ROOT)
    aside, untouched, gone, folder = "notes.txt", "Images/Grid/movie 1.tiff", "Images/Grid/movie 2.tiff", "was/empty"
    names = {aside: "file", untouched: "file", gone: "file", folder: "folder"}
    intents = [
        Intent("krios", SESSION, f"{SESSION}/{name}", kind, 1, "", 0, f".p-purge-{number}", [], "a rule", "somebody")
        for number, (name, kind) in enumerate(names.items())
    ]
    with bench.database.write() as connection:
        purges.intend(connection, intents, at=1.0)
    (bench.session / aside).rename(bench.session / ".p-purge-0")
    (bench.session / gone).unlink()
    again = bench.buffer.dry_run(ROOT)
    assert again.files == plan.files - 1
    assert bench.left() == {name: content for name, content in FILES.items() if name != gone}
    states = {row.intent.path.removeprefix(f"{SESSION}/"): row.state for row in bench.rows()}
    kept, deleted = PurgeState.KEPT, PurgeState.DELETED
    assert states == {aside: kept, untouched: kept, gone: deleted, folder: deleted}
    with bench.database.write() as connection:
        purges.intend(connection, [intents[0]], at=2.0)
    (bench.session / ".p-purge-0").write_bytes(b"somebody gave the name to another file")
    assert bench.buffer.dry_run(ROOT).files == plan.files - 1
    assert (bench.session / aside).read_bytes() == FILES[aside]
    assert [alert.kind for alert in bench.alerts()] == ["purge_not_cleared_up"]
    assert bench.rows()[-1].state is PurgeState.INTENDED
    (bench.session / ".p-purge-0").unlink()
    bench.buffer.dry_run(ROOT)
    assert bench.alerts() == []


def test_one_purge_at_a_time(bench: BufferBench) -> None:
    bench.send("anna")
    with only_one(bench.root / "state"), pytest.raises(Busy):
        bench.purge()
    assert bench.purge().files == 7


def test_a_file_that_somebody_writes_to_stays(make: Make, bench: BufferBench) -> None:
    bench.send("anna")
    with (bench.session / "notes.txt").open("r+b"):
        done = bench.purge()
    assert (done.files, list(bench.left())) == (6, ["notes.txt"])
    assert any("open for writing" in words for words in done.kept)
    kept = [row for row in bench.rows() if row.state is PurgeState.KEPT]
    assert [row.intent.path for row in kept] == ["s1/notes.txt"]
    asked = make(bench.root, elsewhere={"krios": lambda path, _mtime: path.name == "notes.txt"})
    assert asked.purge().files == 0
    assert bench.purge().files == 1


def test_a_swap_between_the_reading_and_the_end_deletes_nothing_else(bench: BufferBench, tmp_path: Path) -> None:
    bench.send("anna")
    outside = tmp_path / "precious"
    outside.mkdir()
    (outside / "notes.txt").write_bytes(FILES["notes.txt"])
    victim = bench.session / "notes.txt"
    rows = {row.path: row for row in last_looks.read_manifest(Root(bench.root / "zones/anna/s1")).rows.values()}

    def source() -> last_looks.Source:
        return last_looks.Source(Root(bench.folder), "s1/notes.txt", rows["notes.txt"], last_looks.Buffers(), lambda _: None)

    def replaced() -> None:
        held = bench.root / "held"
        shutil.move(victim, held)
        victim.symlink_to(outside / "notes.txt")

    def renewed() -> None:
        new = bench.session / "new"
        new.write_bytes(FILES["notes.txt"])
        os.utime(new, ns=(0, rows["notes.txt"].mtime_ns))
        new.rename(victim)

    def written() -> None:
        same_size_and_time(victim, b"ICE IS THIN")

    original = victim.read_bytes()
    for swap in (replaced, renewed, written):
        with source() as looked:
            swap()
            with pytest.raises(BadFile, match="changed since it was read"):
                looked.take_away(".p-purge-x", lambda _: False)
        assert victim.exists() or victim.is_symlink()
        victim.unlink()
        victim.write_bytes(original)
        os.utime(victim, ns=(0, rows["notes.txt"].mtime_ns))
    with source() as looked:  # in the very last moment: while it is asked who has it open
        calls: list[int] = []

        def last_moment(_descriptor: int) -> bool:
            if not calls:
                calls.append(1)
                new = bench.session / "new"
                new.write_bytes(b"another file")
                new.rename(victim)
            return False

        with pytest.raises(BadFile, match="last moment"):
            looked.take_away(".p-purge-x", last_moment)
    assert victim.read_bytes() == b"another file"
    shutil.move(bench.session, bench.root / "old session")
    bench.session.symlink_to(outside)
    with pytest.raises(PasserelleError, match="no folder"):
        source()
    assert (outside / "notes.txt").read_bytes() == FILES["notes.txt"]
    assert os.listdir(outside) == ["notes.txt"]


def test_links_hard_links_and_odd_names_go_as_they_are(make: Make, tmp_path: Path) -> None:
    bench = make(tmp_path)
    odd = os.fsdecode(b"odd \xff\n name")
    bench.fill({"a": b"one", odd: b"two", "x%41": b"three"})
    outside = tmp_path / "outside"
    outside.write_bytes(b"precious")
    (bench.session / "link").symlink_to(outside)
    os.link(bench.session / "a", bench.session / "another name")
    os.utime(bench.session / "link", (time.time() - 30 * DAY,) * 2, follow_symlinks=False)
    os.mkfifo(bench.session / "fifo")
    os.utime(bench.session / "fifo", (time.time() - 30 * DAY,) * 2)
    bench.send("anna")
    bench.purge()
    bench.purge()  # of a file with several names the second one goes when the first is gone
    assert os.listdir(bench.session) == ["fifo"]
    assert outside.read_bytes() == b"precious"
    assert {row.intent.kind for row in bench.rows()} == {"file", "link"}


def test_what_lies_inside_of_another_dataset_is_that_ones(make: Make, tmp_path: Path) -> None:
    bench = make(tmp_path)
    bench.fill({"a": b"one", "inner/b": b"two"})
    with bench.database.write() as connection:
        sessions.create(
            connection, instrument="krios", root="s1/inner", name="inner", program="epu", recipe={}, thresholds={}, at=time.time()
        )
    bench.send("anna")
    assert bench.purge().files == 1
    assert bench.left() == {"inner/b": b"two"}


def test_a_dataset_that_is_no_session_goes_by_its_transfers(make: Make, tmp_path: Path) -> None:
    bench = make(tmp_path, age_days=0, quiet_days=0)
    loose = bench.folder / "diffraction" / "run 1"
    loose.mkdir(parents=True)
    (loose / "frame.cbf").write_bytes(b"spots")
    os.utime(loose / "frame.cbf", (time.time() - DAY,) * 2)
    bench.send("anna", source="diffraction")
    assert bench.purge().files == 1
    assert os.listdir(bench.folder) == []


def test_by_rule_only_where_the_disk_is_full_and_the_oldest_first(make: Make, tmp_path: Path) -> None:
    assert make(tmp_path / "off").buffer.purge_by_rule(ROOT) is None
    calm = make(tmp_path / "calm", purge=True, purge_above_percent=100)
    calm.fill(FILES)
    calm.send("anna")
    assert calm.buffer.purge_by_rule(ROOT) is None
    full = make(tmp_path / "full", purge=True, purge_above_percent=0)
    full.fill(FILES)
    full.send("anna")
    done = full.buffer.purge_by_rule(ROOT)
    assert done is not None
    assert done.files == 7
    assert full.left() == {}


def test_the_state_is_measured_and_foretold(bench: BufferBench) -> None:
    (now,) = bench.buffer.state()
    usage = shutil.disk_usage(bench.folder)
    assert now.total_bytes == usage.total
    assert now.bytes_per_hour is None
    with bench.database.write() as connection:
        for minutes in range(90, 0, -5):
            at = time.time() - minutes * 60
            free = usage.free + minutes * 60 * 10**6  # 1 MB/s
            fills.add(connection, "krios", Fill(at, free, usage.total), keep_seconds=1e6)
    bench.buffer.sample()
    (now,) = bench.buffer.state()
    assert now.bytes_per_hour == pytest.approx(3.6e9, rel=0.5)
    assert len(now.samples) == 20
    line = usage.free - usage.total * 0.05
    if line > 0:
        assert now.hours_to_stop == pytest.approx(line / now.bytes_per_hour, rel=0.5)
    assert now.hours_to_full is not None
    assert now.hours_to_full > (now.hours_to_stop or 0)
