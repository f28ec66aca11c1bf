"""The one verb of the product that deletes what it has not made: files of the gateway, by rule, each written down before it goes.

Killed at any moment, the next run finds out what became of each file that was to go, writes it down, and goes on.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from passerelle.core.atomic import TEMPORARY_PREFIX
from passerelle.core.errors import BadFile, Busy, NotFound, PasserelleError, printable, storage_errors
from passerelle.core.log import logger
from passerelle.gateway import Writers, writers_of
from passerelle.gateway.buffer import Rule
from passerelle.service.buffer_datasets import find
from passerelle.service.buffer_plan import Candidate, DatasetPlan, OpenCopy, as_path, copy_words
from passerelle.store import Database, alerts, purges
from passerelle.store.paths import to_text
from passerelle.store.purges import Intent, Purged, PurgeState
from passerelle.transfer import Buffers, Kind, Root, Row, purge

_BATCH_FILES = 64  # each stays open from its reading to its end
_BATCH_BYTES = 8 << 30
_NOT_CLEARED = "purge_not_cleared_up"
_HERE = threading.Lock()

WritesElsewhere = Callable[[Path, int], bool | None]


@dataclass(slots=True)
class Report:
    """What a purge has come to. kept: sentences about files that stay although they might have gone; all are counted."""

    files: int = 0
    bytes: int = 0
    folders: int = 0
    kept_files: int = 0
    kept: list[str] = field(default_factory=list[str])
    stopped: bool = False

    def keep(self, words: str) -> None:
        """Count a file that stays."""
        self.kept_files += 1
        if len(self.kept) < 1000:
            self.kept.append(words)


@contextmanager
def only_one(state: Path) -> Generator[None]:
    """Be the only purge of a facility, in this process and every other, until the block ends.

    Raises:
        Busy: another one runs.
    """
    path = state / "purge.lock"
    if not _HERE.acquire(blocking=False):
        raise _busy()
    try:
        with storage_errors(path):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError as error:
            raise _busy() from error
        finally:
            os.close(descriptor)
    finally:
        _HERE.release()


class Purge:
    """A purge under way; hold `only_one` around it. folders: of the instruments. elsewhere: who else writes, asked of Samba."""

    def __init__(
        self,
        database: Database,
        folders: Mapping[str, Path],
        rule: Rule,
        *,
        person: str,
        verify_target: bool = False,
        elsewhere: Mapping[str, WritesElsewhere] | None = None,
        stop: threading.Event | None = None,
        clock: Callable[[], float] = time.time,
        told: Callable[[Report], None] = lambda report: None,
    ) -> None:
        self._database, self._folders, self._rule = database, folders, rule
        self._person, self._verify_target = person, verify_target
        self._elsewhere = elsewhere or {}
        self._stop = stop or threading.Event()
        self._clock, self._told = clock, told
        self._buffers = Buffers()
        self._damaged: set[int] = set()  # transfers whose copy is not as it was
        self._sound: set[int] = set()
        self.report = Report()

    def recover(self) -> None:
        """Find out what became of files that a run, which was killed, was about to delete.

        Raises:
            Busy, StorageError: the database cannot be used now.
        """
        with self._database.read() as connection:
            open_rows = purges.intended(connection)
            told = any(alert.kind == _NOT_CLEARED for alert in alerts.standing(connection, muted=True))
        troubled = False
        for row in open_rows:
            folder = self._folders.get(row.intent.instrument)
            if folder is None:
                continue
            try:
                state, words = _what_became(row, folder)
            except PasserelleError as problem:
                logger.warning("purge_not_cleared_up", file=row.intent.path, why=str(problem))
                troubled = True
                self._alarm(_NOT_CLEARED, row.intent.instrument, str(problem), "Its row stays open until this is solved.")
                continue
            with self._database.write() as connection:
                purges.end(connection, row.id, state, words=words, at=self._clock())
        if told and not troubled:
            with self._database.write() as connection:
                alerts.clear(connection, _NOT_CLEARED, at=self._clock())

    def take(self, plan: DatasetPlan, most_bytes: float = float("inf")) -> None:
        """Delete what of a dataset may go, at most about so many bytes; the plan is of just now, and still open.

        Raises:
            Busy, StorageError: the database cannot be used now; nothing is deleted without its row.
        """
        for copy in plan.copies:
            if isinstance(copy.problem, BadFile | NotFound) and plan.files:
                self._copy_is_damaged(plan, copy, copy.problem)
        taken_from: set[str] = set()
        with Root(plan.folder) as root:
            for batch in _batches(plan.candidates):
                if self._stop.is_set() or self.report.bytes >= most_bytes:
                    self.report.stopped = self._stop.is_set()
                    return
                if reason := self._not_any_more(plan):
                    self.report.keep(f"{printable(plan.dataset.name)}: {reason}")
                    break
                taken_from |= self._take_batch(root, plan, batch)
                self._told(self.report)
            self._empty_folders(root, plan, taken_from)
        self._all_clear(plan)

    # -- a batch: last looks, rows, deletion, rows

    def _take_batch(self, root: Root, plan: DatasetPlan, batch: Sequence[Candidate]) -> set[str]:
        with ExitStack() as stack:
            ready: list[tuple[Candidate, purge.Source, list[OpenCopy], str]] = []
            for candidate in batch:
                copies = self._standing_copies(plan, candidate)
                if copies is None or self._stop.is_set():
                    continue
                try:
                    source = stack.enter_context(
                        purge.Source(root, candidate.path, _row_of(candidate, copies), self._buffers, _no_tick)
                    )
                except PasserelleError as problem:
                    self._source_differs(plan, candidate, problem)
                    continue
                ready.append((candidate, source, copies, f"{TEMPORARY_PREFIX}purge-{secrets.token_hex(8)}"))
            if not ready:
                return set()
            intents = [self._intent(plan, candidate, copies, aside) for candidate, _, copies, aside in ready]
            with self._database.write() as connection:
                ids = purges.intend(connection, intents, at=self._clock())
            ends: list[tuple[int, PurgeState, str]] = []
            touched: set[str] = set()
            for row_id, (candidate, source, _, aside) in zip(ids, ready, strict=True):
                try:
                    source.take_away(aside, lambda descriptor, each=candidate: self._is_written(plan, each, descriptor))
                except PasserelleError as problem:
                    self.report.keep(str(problem))
                    ends.append((row_id, PurgeState.KEPT, str(problem)))
                    continue
                ends.append((row_id, PurgeState.DELETED, ""))
                touched.add(candidate.entry.folder)
                self.report.files += 1
                self.report.bytes += candidate.entry.size
            purge.settle(root, touched)
            with self._database.write() as connection:
                for row_id, state, words in ends:
                    purges.end(connection, row_id, state, words=words, at=self._clock())
            return touched

    def _standing_copies(self, plan: DatasetPlan, candidate: Candidate) -> list[OpenCopy] | None:
        """Return as many copies, each in another zone, as the rule asks for, which were looked at just now; None: too few."""
        found: dict[str, OpenCopy] = {}
        for copy, row in candidate.rows:
            if copy.record.zone in found or copy.root is None:
                continue
            try:
                if not copy.unchanged():
                    raise BadFile("has got another manifest.", advice="It is looked at again next time.", path=copy.folder)
                purge.copy_stands(copy.root, row, read=self._verify_target, buffers=self._buffers, tick=_no_tick)
            except (BadFile, NotFound) as problem:
                self._copy_is_damaged(plan, copy, problem)
                continue
            except PasserelleError as problem:
                self.report.keep(str(problem))
                continue
            if found and not _same(row, _row_of(candidate, list(found.values()))):
                self.report.keep(f"{printable(candidate.path)}: its copies differ from each other.")
                continue
            found[copy.record.zone] = copy
            self._sound.add(copy.record.transfer_id)
            if len(found) == self._rule.copies:
                return list(found.values())
        words = f"{len(found)} of {self._rule.copies} copies could be seen to stand."
        self.report.keep(f"{printable(candidate.path)}: {words}")
        return None

    def _not_any_more(self, plan: DatasetPlan) -> str:
        """Say why a dataset that could go may not any more: its session was opened again, a transfer has begun."""
        with self._database.read() as connection:
            now = find(connection, self._folders, plan.dataset.instrument, plan.dataset.source)
        if now is None or (now.closed_at, now.arrived_at) != (plan.dataset.closed_at, plan.dataset.arrived_at):
            return "It changed while it was purged."
        return " ".join(now.busy)

    def _is_written(self, plan: DatasetPlan, candidate: Candidate, descriptor: int) -> bool:
        if writers_of(descriptor) is Writers.SOME:
            return True
        asked = self._elsewhere.get(plan.dataset.instrument)
        return asked is not None and asked(plan.folder / candidate.path, candidate.entry.mtime_ns) is True

    def _intent(self, plan: DatasetPlan, candidate: Candidate, copies: Sequence[OpenCopy], aside: str) -> Intent:
        return Intent(
            instrument=plan.dataset.instrument,
            dataset=plan.dataset.source,
            path=to_text(candidate.path),
            kind=str(candidate.entry.kind),
            size=candidate.entry.size,
            digest=_row_of(candidate, copies).digest,
            mtime_ns=candidate.entry.mtime_ns,
            aside=aside,
            copies=[copy_words(copy.record) for copy in copies],
            rule=self._rule.words,
            person=self._person,
        )

    # -- folders that are empty now

    def _empty_folders(self, root: Root, plan: DatasetPlan, taken_from: set[str]) -> None:
        top = as_path(plan.dataset.source)
        around = {folder for each in taken_from for folder in _upwards(each, top)}
        for path in sorted(around, key=lambda each: each.count("/"), reverse=True):
            try:
                if not purge.is_empty(root, path):
                    continue
                with self._database.write() as connection:
                    (row_id,) = purges.intend(connection, [self._folder_intent(plan, path)], at=self._clock())
                gone = purge.remove_empty_folder(root, path)
            except PasserelleError as problem:
                self.report.kept.append(str(problem))
                continue
            with self._database.write() as connection:
                state = PurgeState.DELETED if gone else PurgeState.KEPT
                purges.end(connection, row_id, state, words="" if gone else "It is not empty any more.", at=self._clock())
            self.report.folders += gone

    def _folder_intent(self, plan: DatasetPlan, path: str) -> Intent:
        own = {"instrument": plan.dataset.instrument, "dataset": plan.dataset.source, "path": to_text(path)}
        return Intent(
            **own,
            kind=str(Kind.FOLDER),
            size=0,
            digest="",
            mtime_ns=0,
            aside="",
            copies=[],
            rule=self._rule.words,
            person=self._person,
        )

    # -- what a person must hear of

    def _copy_is_damaged(self, plan: DatasetPlan, copy: OpenCopy, problem: PasserelleError) -> None:
        self._damaged.add(copy.record.transfer_id)
        self.report.keep(str(problem))
        words = f"A copy that is on record is not as it was verified (transfer {copy.record.transfer_id}, zone "
        words += f"{copy.record.zone}): {problem}"
        advice = "Nothing that rests on this copy is purged. Verify the copy, and send the dataset again."
        self._alarm(f"copy_{copy.record.transfer_id}", plan.dataset.instrument, words, advice)

    def _source_differs(self, plan: DatasetPlan, candidate: Candidate, problem: PasserelleError) -> None:
        self.report.keep(str(problem))
        if isinstance(problem, BadFile) and "since it was" not in problem.message:  # same size and time, other bytes
            words = f"A file in the gateway differs from its verified copy, and has the same size and time: {problem}"
            advice = "It stays. One of the two is damaged: compare them before the session is purged."
            self._alarm(f"differs_{plan.dataset.session_id or 0}", plan.dataset.instrument, words, advice)

    def _all_clear(self, plan: DatasetPlan) -> None:
        """End alarms about copies that were found as they must be."""
        sound = [copy.record.transfer_id for copy in plan.copies if copy.record.transfer_id in self._sound - self._damaged]
        if sound:
            with self._database.write() as connection:
                for transfer_id in sound:
                    alerts.clear(connection, f"copy_{transfer_id}", at=self._clock())

    def _alarm(self, kind: str, instrument: str, words: str, advice: str) -> None:
        with self._database.write() as connection:
            alerts.raise_(
                connection, kind[:40], level="error", message=words, advice=advice, instrument=instrument, at=self._clock()
            )


def _what_became(row: Purged, folder: Path) -> tuple[PurgeState, str]:
    path = as_path(row.intent.path)
    with Root(folder) as root:
        if row.intent.kind == Kind.FOLDER:
            there = _folder_is_there(root, path)
        else:
            there = purge.put_back(root, path, row.intent.aside)
    if there:
        return PurgeState.KEPT, "The run was cut off before it went; it is there."
    return PurgeState.DELETED, "The run was cut off after it went."


def _folder_is_there(root: Root, path: str) -> bool:
    try:
        with root.folder(path):
            return True
    except NotFound:
        return False


def _batches(candidates: Sequence[Candidate]) -> Iterator[list[Candidate]]:
    batch: list[Candidate] = []
    size = 0
    for each in candidates:
        batch.append(each)
        size += each.entry.size
        if len(batch) >= _BATCH_FILES or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _row_of(candidate: Candidate, copies: Sequence[OpenCopy]) -> Row:
    return next(row for copy, row in candidate.rows if copy is copies[0])


def _same(one: Row, other: Row) -> bool:
    return (one.digest, one.link_to) == (other.digest, other.link_to)


def _upwards(folder: str, top: str) -> Iterator[str]:
    """Yield a folder and those around it, up to the dataset's own; never the instrument's."""
    while folder and (folder == top or not top or folder.startswith(f"{top}/")):
        yield folder
        folder = folder.rpartition("/")[0]


def _busy() -> Busy:
    return Busy("Another purge runs.", advice="Wait until it has ended.")


def _no_tick(_size: int) -> None: ...
