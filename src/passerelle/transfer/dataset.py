"""Copy a whole dataset: list, decide, copy, write down; killed anywhere, the next run goes on where this one was."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from passerelle.core.errors import BadInput, NotFound, OutOfSpace, PasserelleError, StorageError, printable, storage_errors
from passerelle.transfer.attributes import Keep
from passerelle.transfer.copy import copy_batch
from passerelle.transfer.ends import Within, keep_apart, open_source, open_target
from passerelle.transfer.folders import finish_folders, matching_folder, sweep
from passerelle.transfer.ledger import Ledger, read_manifest
from passerelle.transfer.leg import Leg
from passerelle.transfer.links import copy_link, link_again
from passerelle.transfer.manifest import OTHER_DIGESTS
from passerelle.transfer.movers import Movers
from passerelle.transfer.names import twins, windows_trouble
from passerelle.transfer.outcome import Outcome, Problem, problem_of
from passerelle.transfer.plan import Batcher, Step, Task, describes, step
from passerelle.transfer.progress import Cancelled, Control, Meter, Progress
from passerelle.transfer.report import Report
from passerelle.transfer.selection import Selection, chosen, folders_wanted
from passerelle.transfer.tree import OWN_FOLDER, Entry, Kind, Listing, list_folder

_LARGE_LANES = 4  # large files at a time, beside the processes for others
_BLOCK_LANES = 4  # blocks at a time of one large file
_STOPS = frozenset({"OutOfSpace", "Unreachable"})  # no use to try the next file

Told = Callable[[Progress], None]
Came = Callable[[list[Outcome]], None]


def _nobody(_: object) -> None: ...


@dataclass(frozen=True, slots=True)
class Copied:
    """What a copy has come to. files, bytes: verified in the target now; `unchanged` of them were so before.

    problems: files that are not there, and why; notes: what a person should know of files that are. The first thousand of each.
    """

    files: int
    bytes: int
    unchanged: int
    copied_bytes: int
    problem_count: int
    problems: tuple[Problem, ...]
    note_count: int
    notes: tuple[tuple[str, str], ...]
    seconds: float
    manifest_digest: str
    cancelled: bool

    @property
    def whole(self) -> bool:
        """Everything is there and verified."""
        return not self.problem_count and not self.cancelled


def copy_dataset(
    source: Path | Within,
    target: Path | Within,
    *,
    leg: str = "copy",
    keep: Keep | None = None,
    also: tuple[str, ...] = (),
    selection: Selection | None = None,
    control: Control | None = None,
    told: Told = _nobody,
    came: Came = _nobody,
    processes: int | None = None,
) -> Copied:
    """Make the folder `target` hold what `source` holds, each file verified on the medium; return what came of it.

    What is verified already and has not changed since is not copied again. Nothing in the target is deleted, and nothing replaced
    that an earlier copy has not brought. leg: what this way of the dataset is called in its manifest. also: further digests for
    the manifest, some of md5, sha1, sha256, sha512. selection: what is copied, if not all; folders without it are not made.
    told: how far it is, a few times a second. came: what became of each file; called by one lane at a time.
    processes: for what comes in many files; one more than there are processors, if left out.

    Raises:
        NotFound: there is no such folder. BadInput: one lies in the other. Busy: another copy writes to the target.
        BadFile: a manifest is damaged. StorageError and kin: the target cannot be written to at all.
    """
    options: dict[str, Any] = {
        "leg": leg,
        "keep": keep,
        "also": also,
        "selection": selection,
        "control": control,
        "told": told,
        "came": came,
    }
    with copying(source, target, **options, processes=processes) as work:
        work.look()
        return work.finish()


@contextmanager
def copying(
    source: Path | Within,
    target: Path | Within,
    *,
    leg: str = "copy",
    keep: Keep | None = None,
    also: tuple[str, ...] = (),
    selection: Selection | None = None,
    control: Control | None = None,
    told: Told = _nobody,
    came: Came = _nobody,
    processes: int | None = None,
) -> Generator[Copying]:
    """Take source and target for a copy that looks at the source as often as its caller wishes; as `copy_dataset`."""
    control = control or Control()
    if unknown := [name for name in also if name not in OTHER_DIGESTS]:
        raise BadInput(f"`{unknown[0]}` is no digest that a manifest has.", advice=f"Choose of {', '.join(OTHER_DIGESTS)}.")
    with open_source(source) as source_root:
        keep_apart(source, target)
        with open_target(target) as target_root:
            ledger = Ledger(target_root)
            try:
                name = printable(leg)
                meter = Meter(told, control)
                kept = keep or Keep.all_allowed()
                way = Leg(source_root, target_root, name, ledger.run, kept, also, _BLOCK_LANES, _tick(control, meter))
                lanes = (os.cpu_count() or 1) + 1 if processes is None else processes  # one of them waits for the medium
                yield Copying(way, ledger, control, meter, lanes, selection, came)
            finally:
                ledger.close()


def _tick(control: Control, meter: Meter) -> Callable[[int], None]:
    def tick(size: int) -> None:
        meter.add(moved=size)
        control.wait()

    return tick


class Copying:
    """A copy under way: what was seen, done, and said."""

    def __init__(
        self,
        leg: Leg,
        ledger: Ledger,
        control: Control,
        meter: Meter,
        processes: int,
        selection: Selection | None = None,
        came: Came = _nobody,
    ) -> None:
        self._leg = leg
        self._ledger = ledger
        self._control = control
        self._meter = meter
        self._processes = processes
        self._selection = selection
        self._came = came
        self._recording = threading.Lock()  # the lanes, and the look at the source, each by itself
        self._expected = read_manifest(leg.source)
        ledger.manifest.legs = list(dict.fromkeys([*self._expected.legs, *ledger.manifest.legs, leg.name]))
        ledger.select(selection.words if selection else self._expected.selection)
        self._seen: set[str] = set()
        self._done: set[str] = set()
        self._folders: dict[str, Entry] = {}
        self._report = Report()
        self._stopped = False

    def look(self, ready: Callable[[Entry], bool] = lambda entry: True) -> None:
        """List the source once and copy what is not verified yet. ready: files that it refuses are left for a later look."""
        self._report.forget_problems()
        movers = Movers(self._leg, self._control, self._record, processes=self._processes, threads=_LARGE_LANES)
        batcher = Batcher()
        names = _Names()
        try:
            for listing, there in self._listings():
                for task in self._tasks(listing, there, ready, names):
                    if (batch := batcher.add(task)) is not None:
                        movers.put(batch)
            for batch in batcher.rest():
                movers.put(batch)
        except Cancelled:
            pass
        except BaseException:
            self._control.cancel()
            raise
        finally:
            movers.close()
        if not self._control.cancelled:
            self._name_again(names)
            finish_folders(self._leg, self._folders.values(), self._trouble)

    def finish(self) -> Copied:
        """Write the manifest and return what came of it all."""
        self._meter.listed()
        if not self._control.cancelled:
            for path in self._seen - self._done - self._report.troubled:  # a fault of ours must not look like success
                self._trouble(path, StorageError("was seen, and was not copied.", advice="Run the copy again.", path=path))
        try:
            self._ledger.finish()
        except OutOfSpace as error:  # the journal has it all; the next run writes the manifest
            self._trouble(OWN_FOLDER, error)
        progress = self._meter.now()
        return Copied(
            progress.files,
            progress.bytes,
            progress.unchanged,
            progress.moved,
            self._report.problem_count,
            self._report.problems,
            self._report.note_count,
            self._report.notes,
            progress.seconds,
            self._ledger.manifest.digest,
            self._control.cancelled and not self._stopped,
        )

    # -- the source, folder by folder

    def _listings(self) -> Generator[tuple[Listing, Listing]]:
        """Yield each folder of the source with its like in the target, one before those in it."""
        waiting = [""]
        folders = folders_wanted(self._leg.source, self._selection) if self._selection else frozenset[str]()
        while waiting:
            self._control.wait()
            path = waiting.pop()
            try:
                listing = list_folder(self._leg.source, path)
                if self._selection:
                    listing = chosen(listing, self._selection, folders)
                there = matching_folder(self._leg, listing, self._trouble)
                sweep(self._leg, there, self._ledger.earlier)
            except PasserelleError as error:
                if not path:
                    raise
                self._trouble(path, error)
                continue
            yield listing, there
            inner = (
                entry.path for entry in listing.entries.values() if entry.kind is Kind.FOLDER and entry.name in there.entries
            )
            waiting.extend(reversed(list(inner)))

    def _tasks(self, listing: Listing, there: Listing, ready: Callable[[Entry], bool], names: _Names) -> Generator[Task]:
        """Yield the files of a folder that are to be copied; links are made at once."""
        self._folders[listing.folder.path] = listing.folder
        for first, second in twins(listing.entries):
            self._report.note(
                f"{listing.folder.path}/{second}".lstrip("/"), f"Windows takes it for the same as {printable(first)}."
            )
        rows = self._ledger.manifest.rows
        links: list[tuple[Entry, bool]] = []
        unchanged = unchanged_bytes = found = found_bytes = 0
        for name, entry in listing.entries.items():
            if entry.kind is Kind.FOLDER:
                continue
            if trouble := windows_trouble(name):
                self._report.note(entry.path, f"Its name {trouble}.")
            if entry.kind is Kind.SPECIAL:
                self._report.note(entry.path, "It is a FIFO, socket or device, and was not copied.")
                continue
            if not ready(entry):
                continue
            again = entry.links > 1 and names.seen(entry)
            what = step(entry, there.entries.get(name), rows.get(entry.path))
            if entry.path not in self._seen:
                self._seen.add(entry.path)
                found += 1
                found_bytes += entry.size if entry.kind is Kind.FILE else 0
            if what is Step.NOTHING:
                unchanged += entry.path not in self._done
                unchanged_bytes += rows[entry.path].size if entry.path not in self._done else 0
                self._done.add(entry.path)
            elif entry.kind is Kind.LINK:
                links.append((entry, what is Step.REPLACE))
            elif again:
                names.more.append((entry, what is Step.REPLACE))
            else:
                expected = self._expected.rows.get(entry.path)
                yield Task(
                    entry.path, entry.size, what is Step.REPLACE, expected if expected and describes(expected, entry) else None
                )
        counts = {"known_files": found, "known_bytes": found_bytes}
        self._meter.add(files=unchanged, bytes=unchanged_bytes, unchanged=unchanged, **counts)
        self._make_links(listing.folder.path, links)

    def _make_links(self, path: str, links: list[tuple[Entry, bool]]) -> None:
        if not links:
            return
        outcomes: list[Outcome] = []
        with self._leg.target.folder(path) as folder:
            for entry, replace in links:
                try:
                    outcomes.append(copy_link(self._leg, folder, entry, replace=replace))
                except PasserelleError as error:
                    outcomes.append(Outcome(entry.path, None, problem_of(entry.path, error)))
            with storage_errors(self._leg.target.named(path)):
                os.fsync(folder)
        self._record(outcomes)

    def _name_again(self, names: _Names) -> None:
        """Make the other names of files that have several; where that is not possible, copy the file."""
        rows = self._ledger.manifest.rows
        for entry, replace in names.more:
            first = rows.get(names.first[entry.device, entry.inode])
            try:
                if first is None or not describes(first, entry):
                    raise NotFound("was not copied under its first name.")
                outcomes = [link_again(self._leg, entry, first, replace=replace)]
            except PasserelleError:
                outcomes = copy_batch(self._leg, (Task(entry.path, entry.size, replace),))
                self._report.note(entry.path, "It is another name of a file, and was copied as a file of its own.")
            self._record(outcomes)

    # -- what came of it

    def _record(self, outcomes: list[Outcome]) -> None:
        """Write down what was verified, and remember what was not."""
        with self._recording:
            try:
                self._ledger.record(outcome.row for outcome in outcomes if outcome.row is not None)
            except PasserelleError as error:  # without a record nothing is verified, and what follows would not be either
                self._trouble(OWN_FOLDER, error)
                self._stop()
                return
            new = [each for each in outcomes if each.row is not None and each.path not in self._done]
            self._done.update(each.path for each in new)
            for outcome in outcomes:
                for note in outcome.notes:
                    self._report.note(outcome.path, note)
                if outcome.problem is not None:
                    self._report.problem(outcome.problem)
                    if outcome.problem.kind in _STOPS:
                        self._stop()
            failed = sum(outcome.problem is not None for outcome in outcomes)
            self._meter.add(files=len(new), bytes=sum(each.bytes for each in new), problems=failed)
            self._came(outcomes)

    def _stop(self) -> None:
        """End, for a cause that stops every file."""
        self._stopped = True
        self._control.cancel()

    def _trouble(self, path: str, error: PasserelleError) -> None:
        self._report.trouble(path, error)
        self._meter.add(problems=1)


class _Names:
    """Files that have several names: the first one of each, and the others, with whether they may replace what is there."""

    def __init__(self) -> None:
        self.first: dict[tuple[int, int], str] = {}
        self.more: list[tuple[Entry, bool]] = []

    def seen(self, entry: Entry) -> bool:
        """Take a name; tell whether the file has come by under another one."""
        return self.first.setdefault((entry.device, entry.inode), entry.path) != entry.path
