"""The verbs on the buffer: how full gateway folders are and when they will be, what may go, and let it go."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from passerelle.core.errors import BadInput, Busy, Conflict, printable
from passerelle.gateway.buffer import Rule, Sample, inflow, seconds_until
from passerelle.service.access import Actor, Power, require
from passerelle.service.alerts import disk_use
from passerelle.service.audit import acting
from passerelle.service.buffer_datasets import Dataset, datasets
from passerelle.service.buffer_plan import digest_of, digest_of_all, planned
from passerelle.service.buffer_view import BufferView, DatasetView, PlanView, PurgedView, PurgeView, dataset_view
from passerelle.service.instruments import Instrument
from passerelle.service.purge import Purge, Report, WritesElsewhere, only_one
from passerelle.service.settings_care import BufferSettings
from passerelle.store import Database, fills, purges
from passerelle.store.fills import Fill

SHOWN_SECONDS = 3600.0  # a dry run counts for so long
_RATES = (3600.0, 6 * 3600.0)  # the faster of the two counts: an hour's pause is no reason to be calm
_KEEP_SECONDS = 14 * 24 * 3600.0
_MOST_SAMPLES = 500


class Buffer:
    """The gateway folders of a facility. elsewhere: asks Samba whether a PC has a file open for writing."""

    def __init__(
        self,
        database: Database,
        instruments: Mapping[str, Instrument],
        settings: BufferSettings,
        state: Path,
        *,
        elsewhere: Mapping[str, WritesElsewhere] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database, self._settings, self._state = database, settings, state
        self._folders = {name: each.folder for name, each in instruments.items()}
        self._elsewhere, self._clock = elsewhere or {}, clock
        self.rule = Rule(settings.age_days, settings.quiet_days, settings.copies)
        self._overview: PlanView | None = None

    # -- how full --

    def sample(self) -> None:
        """Write down how full the disks are now; called every few minutes.

        Raises:
            Busy, StorageError: the database cannot be used now.
        """
        found = {name: use for name, folder in self._folders.items() if (use := disk_use(folder)) is not None}
        if found:
            with self._database.write() as connection:
                for name, use in found.items():
                    fill = Fill(self._clock(), use.free_bytes, use.total_bytes)
                    fills.add(connection, name, fill, keep_seconds=_KEEP_SECONDS)

    def state(self) -> list[BufferView]:
        """Return how full each instrument's disk is, how fast it fills, and when the stop line is reached."""
        now = self._clock()
        with self._database.read() as connection:
            samples = {name: fills.since(connection, name, now - _KEEP_SECONDS) for name in self._folders}
            freed = {
                (name, seconds): sum(
                    purges.bytes_since(connection, other, now - seconds)
                    for other in self._folders
                    if self._same_disk(name, other)
                )
                for name in self._folders
                for seconds in _RATES
            }
        found: list[BufferView] = []
        for name, folder in self._folders.items():
            use = disk_use(folder)
            if use is None:
                continue
            latest = Sample(now, use.free_bytes, use.total_bytes)
            known = [*(Sample(each.at, each.free_bytes, each.total_bytes) for each in samples[name]), latest]
            rates = [inflow(known, freed[name, seconds], now, seconds) for seconds in _RATES]
            rate = max((each for each in rates if each is not None), default=None)
            found.append(self._view(name, folder, known, rate))
        return found

    def _view(self, name: str, folder: Path, known: list[Sample], rate: float | None) -> BufferView:
        latest = known[-1]
        stop, full = (seconds_until(latest, percent, rate) for percent in (self._settings.stop_percent, 100.0))
        step = max(1, len(known) // _MOST_SAMPLES)
        return BufferView(
            instrument=name,
            folder=str(folder),
            free_bytes=latest.free_bytes,
            total_bytes=latest.total_bytes,
            percent=100.0 * (1.0 - latest.free_bytes / latest.total_bytes) if latest.total_bytes else 0.0,
            stop_percent=self._settings.stop_percent,
            bytes_per_hour=None if rate is None else rate * 3600.0,
            hours_to_stop=None if stop is None else stop / 3600.0,
            hours_to_full=None if full is None else full / 3600.0,
            samples=[(each.at, each.free_bytes) for each in known[::-1][::step][::-1]],
        )

    def _same_disk(self, one: str, other: str) -> bool:
        try:
            return one == other or os.stat(self._folders[one]).st_dev == os.stat(self._folders[other]).st_dev  # noqa: PTH116
        except OSError:
            return False

    # -- what may go --

    @property
    def overview(self) -> PlanView | None:
        """What may go, as it was last looked at; None where nobody has looked yet."""
        return self._overview

    def look(self) -> PlanView:
        """Look at all datasets and say what may go and why the rest may not; changes nothing, and is no dry run for a purge.

        Raises:
            Busy, StorageError: the database cannot be used now.
        """
        self._overview = self._plan(self._datasets(None, None))
        return self._overview

    def dry_run(self, actor: Actor, *, instrument: str | None = None, dataset: str | None = None) -> PlanView:
        """Return what a purge would delete now, of all or of one instrument or dataset, and remember that it was shown.

        Raises:
            NotAllowed: only who may purge. BadInput: there is no such instrument or dataset.
        """
        require(actor, Power.PURGE)
        with suppress(Busy):  # what a killed purge has left is put back first: it may go, too
            self.recover(actor)
        found = self._plan(self._datasets(instrument, dataset))
        with self._database.write() as connection:
            purges.show_list(
                connection, found.digest, person=actor.audit_name, files=found.files, size=found.bytes, at=self._clock()
            )
        if instrument is None and dataset is None:
            self._overview = found
        return found

    def may_purge(self, actor: Actor, digest: str) -> None:
        """Pass if a person may purge a list: by right, and because the dry run with this digest was made within the last hour.

        Raises:
            NotAllowed, Conflict: says which is missing.
        """
        require(actor, Power.PURGE)
        with self._database.read() as connection:
            shown_at = purges.shown_at(connection, digest, person=actor.audit_name)
        if shown_at is None or not 0 <= self._clock() - shown_at <= SHOWN_SECONDS:
            raise Conflict(
                "This list was not shown to you within the last hour.", advice="Make a dry run, look at it, and purge that list."
            )

    # -- let it go --

    def purge(
        self,
        actor: Actor,
        digest: str,
        *,
        instrument: str | None = None,
        dataset: str | None = None,
        stop: threading.Event | None = None,
        told: Callable[[Report], None] = lambda report: None,
    ) -> PurgeView:
        """Delete what a dry run has shown; each file is read again, and its copies looked at, just before it goes.

        Raises:
            NotAllowed, Conflict: as `may_purge`; or what may go is not what was shown any more.
            Busy: another purge runs. BadInput: there is no such instrument or dataset.
        """
        subject = " ".join(filter(None, (instrument, dataset))) or "all"
        with acting(self._database, actor, "buffer_purge", subject) as deed:
            self.may_purge(actor, digest)
            deed.data = {"digest": digest}
            with only_one(self._state):
                work = self._work(actor, stop, told)
                work.recover()
                self._take_shown(work, self._datasets(instrument, dataset), digest)
                deed.data |= {"files": work.report.files, "bytes": work.report.bytes, "kept": work.report.kept_files}
        return purge_view(work.report)

    def purge_by_rule(self, actor: Actor, *, stop: threading.Event | None = None) -> PurgeView | None:
        """Delete what may go, the oldest first, on disks that are fuller than the rule says; None where none is.

        Raises:
            Busy: another purge runs, or the database cannot be used now.
        """
        excess = {view.instrument: _above(view, self._settings.purge_above_percent) for view in self.state()}
        if not self._settings.purge or not any(excess.values()):
            return None
        with only_one(self._state):
            work = self._work(actor, stop, lambda report: None)
            work.recover()
            for dataset in self._datasets(None, None):
                left = excess.get(dataset.instrument, 0)
                if left <= 0 or work.report.stopped:
                    continue
                before = work.report.bytes
                with planned(dataset, self._folders[dataset.instrument], self.rule, self._clock()) as plan:
                    work.take(plan, before + left)
                gone = work.report.bytes - before
                for other in excess:
                    if gone and self._same_disk(dataset.instrument, other):
                        excess[other] -= gone
        if work.report.files or work.report.kept_files:
            with acting(self._database, actor, "buffer_purge", "by rule") as deed:
                deed.data = {"files": work.report.files, "bytes": work.report.bytes, "kept": work.report.kept_files}
        return purge_view(work.report)

    def recover(self, actor: Actor) -> None:
        """Clear up after a purge that was killed.

        Raises:
            Busy: another purge runs, or the database cannot be used now.
        """
        with only_one(self._state):
            self._work(actor, None, lambda report: None).recover()

    def history(self, actor: Actor, *, limit: int = 100) -> list[PurgedView]:
        """Return what was deleted, latest first.

        Raises:
            NotAllowed: only who may purge sees it.
        """
        require(actor, Power.PURGE)
        with self._database.read() as connection:
            return [_purged_view(row) for row in purges.latest(connection, limit=min(limit, 1000))]

    # -- within --

    def _work(self, actor: Actor, stop: threading.Event | None, told: Callable[[Report], None]) -> Purge:
        return Purge(
            self._database,
            self._folders,
            self.rule,
            person=actor.audit_name,
            verify_target=self._settings.verify_target,
            elsewhere=self._elsewhere,
            stop=stop,
            clock=self._clock,
            told=told,
        )

    def _datasets(self, instrument: str | None, dataset: str | None) -> list[Dataset]:
        if instrument is not None and instrument not in self._folders:
            raise BadInput("There is no such instrument.", advice=f"Known: {', '.join(self._folders) or 'none'}.")
        with self._database.read() as connection:
            known = datasets(connection, self._folders)
        found = [each for each in known if instrument in (None, each.instrument) and dataset in (None, each.source)]
        if dataset is not None and not found:
            raise BadInput("There is no such dataset.", advice="`passerelle buffer plan` lists them.")
        return found

    def _take_shown(self, work: Purge, wanted: list[Dataset], digest: str) -> None:
        """Delete what was shown, dataset by dataset; nothing of one in which that is another list now."""
        shown = [self._look_at(dataset)[1] for dataset in wanted]
        if digest_of_all(shown, self.rule) != digest:
            raise Conflict("What may go is not what was shown any more.", advice="Make another dry run, and look at it.")
        for dataset, own in zip(wanted, shown, strict=True):
            if not own or work.report.stopped:
                continue
            with planned(dataset, self._folders[dataset.instrument], self.rule, self._clock()) as plan:
                if digest_of(plan) == own:
                    work.take(plan)
                else:
                    work.report.keep(f"{printable(dataset.name)}: what may go is not what was shown any more.")

    def _look_at(self, dataset: Dataset) -> tuple[DatasetView, str]:
        with planned(dataset, self._folders[dataset.instrument], self.rule, self._clock()) as plan:
            return dataset_view(plan), digest_of(plan)

    def _plan(self, wanted: list[Dataset]) -> PlanView:
        looked = [self._look_at(dataset) for dataset in wanted]
        return PlanView(
            at=self._clock(),
            rule=self.rule.words,
            digest=digest_of_all([digest for _, digest in looked], self.rule),
            files=sum(view.go_files for view, _ in looked),
            bytes=sum(view.go_bytes for view, _ in looked),
            datasets=[view for view, _ in looked if view.files or view.problem],
        )


def purge_view(report: Report) -> PurgeView:
    """Return what a purge has come to as it is shown."""
    return PurgeView(
        files=report.files,
        bytes=report.bytes,
        folders=report.folders,
        kept_files=report.kept_files,
        kept=report.kept[:100],
        stopped=report.stopped,
    )


def _above(view: BufferView, percent: float) -> float:
    """Return how many bytes a disk holds above a line."""
    return max(0.0, view.total_bytes * (1.0 - percent / 100.0) - view.free_bytes)


def _purged_view(row: purges.Purged) -> PurgedView:
    return PurgedView(
        id=row.id,
        at=row.ended_at or row.intended_at,
        instrument=row.intent.instrument,
        dataset=row.intent.dataset,
        path=row.intent.path,
        kind=row.intent.kind,
        size=row.intent.size,
        digest=row.intent.digest,
        state=row.state,
        person=row.intent.person,
        rule=row.intent.rule,
        copies=[dict(each) for each in row.intent.copies],
        words=row.words,
    )
