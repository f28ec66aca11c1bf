"""The buffer as faces show it."""

from __future__ import annotations

from pydantic import BaseModel

from passerelle.core.errors import printable
from passerelle.service.buffer_plan import DatasetPlan


class BufferView(BaseModel):
    """The disk of an instrument's folder. hours_to_stop, hours_to_full: at the present rate; None where it does not fill.

    samples: (UTC seconds, free bytes) of the last days, oldest first.
    """

    instrument: str
    folder: str
    free_bytes: int
    total_bytes: int
    percent: float
    stop_percent: float
    bytes_per_hour: float | None
    hours_to_stop: float | None
    hours_to_full: float | None
    samples: list[tuple[float, int]]


class CopyView(BaseModel):
    """A verified copy on record. problem: why it does not count now."""

    transfer: int
    zone: str
    folder: str
    whole: bool
    at: float
    problem: str


class ReasonView(BaseModel):
    """Why files stay: how many, and one of them."""

    words: str
    files: int
    bytes: int
    example: str


class DatasetView(BaseModel):
    """A dataset in the gateway. go_files, go_bytes: what may go now. goes_at: when its time comes, where only that is missing."""

    instrument: str
    dataset: str
    name: str
    session_id: int | None
    files: int
    bytes: int
    changed_at: float
    closed_at: float | None
    go_files: int
    go_bytes: int
    goes_at: float | None
    reasons: list[ReasonView]
    copies: list[CopyView]
    examples: list[str]
    problem: str


class PlanView(BaseModel):
    """What would be deleted now, and what not. digest: names this very list; a purge by hand asks for it."""

    at: float
    rule: str
    digest: str
    files: int
    bytes: int
    datasets: list[DatasetView]


class PurgeView(BaseModel):
    """What a purge has come to. kept: the first sentences about files that stay although they might have gone."""

    files: int
    bytes: int
    folders: int
    kept_files: int
    kept: list[str]
    stopped: bool


class RunView(BaseModel):
    """The purge that runs now, or ran last. error: what ended it."""

    person: str
    began_at: float
    ended_at: float | None
    done: PurgeView
    error: str = ""


class PurgedView(BaseModel):
    """A line of the record of what was deleted."""

    id: int
    at: float
    instrument: str
    dataset: str
    path: str
    kind: str
    size: int
    digest: str
    state: str
    person: str
    rule: str
    copies: list[dict[str, str | int]]
    words: str


def dataset_view(plan: DatasetPlan) -> DatasetView:
    """Return a dataset as it is shown; names safe to print."""
    reasons = [
        ReasonView(words=words, files=kept.files, bytes=kept.bytes, example=kept.example) for words, kept in plan.kept.items()
    ]
    copies = [
        CopyView(
            transfer=copy.record.transfer_id,
            zone=copy.record.zone,
            folder=printable(str(copy.folder), 4096),
            whole=copy.record.whole,
            at=copy.record.ended_at,
            problem="" if copy.problem is None else str(copy.problem),
        )
        for copy in plan.copies
    ]
    return DatasetView(
        instrument=plan.dataset.instrument,
        dataset=plan.dataset.source,
        name=printable(plan.dataset.name),
        session_id=plan.dataset.session_id,
        files=plan.files,
        bytes=plan.bytes,
        changed_at=plan.changed_at,
        closed_at=plan.dataset.closed_at,
        go_files=len(plan.candidates),
        go_bytes=plan.go_bytes,
        goes_at=plan.answer.goes_at,
        reasons=sorted(reasons, key=lambda each: -each.bytes),
        copies=copies,
        examples=[printable(each.path) for each in plan.candidates[:5]],
        problem=plan.problem,
    )
