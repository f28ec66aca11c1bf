"""Transfers as faces show them."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import PurePosixPath
from typing import Any

from pydantic import BaseModel

from passerelle.core.errors import printable
from passerelle.core.states import TransferState, moves
from passerelle.service.datasets import label
from passerelle.service.selections import SelectionKind, words
from passerelle.store.paths import from_text
from passerelle.store.transfers import Transfer
from passerelle.zones import Zone, linux_path, windows_path

_ACTS = {
    "pause": TransferState.PAUSED,
    "cancel": TransferState.CANCELLED,
}
_AGAIN = frozenset({TransferState.INCOMPLETE, TransferState.FAILED, TransferState.CANCELLED})


class ProblemView(BaseModel):
    """A file that is not there, and why."""

    path: str
    error: str
    message: str
    advice: str


class NoteView(BaseModel):
    """What a person should know of a file that is there."""

    path: str
    note: str


class FileView(BaseModel):
    """A file that was verified in the last moments."""

    path: str
    bytes: int


class TransferView(BaseModel):
    """A transfer. may: what the person who asked may do with it. ahead: how many are started before it, while it waits.

    fraction: of what is known so far, 0 to 1; listing: more may be found. Rates in bytes a second.
    """

    id: int
    person: str
    state: TransferState
    made_at: float
    started_at: float | None
    begun_at: float | None
    ended_at: float | None
    instrument: str
    source: str
    name: str
    label: str
    session_id: int | None
    selection: SelectionKind
    squares: list[str]
    selection_words: str
    follow: bool
    zone: str
    folder: str
    linux: str
    windows: str
    attempts: int
    files: int
    bytes: int
    known_files: int
    known_bytes: int
    moved_bytes: int
    listing: bool
    fraction: float
    bytes_per_second: float
    mean_bytes_per_second: float
    eta_seconds: float | None
    seconds: float
    ahead: int | None
    problem_count: int
    problems: list[ProblemView]
    note_count: int
    notes: list[NoteView]
    latest: list[FileView]
    manifest_digest: str
    error: str
    advice: str
    may: list[str]


class EstimateView(BaseModel):
    """What a transfer would bring, before it is asked for. seconds: None where nothing was sent to this zone before.

    problem: why it cannot be asked for as it is, in words; empty where it can.
    """

    files: int
    bytes: int
    free_bytes: int | None
    seconds: float | None
    folder: str
    linux: str
    windows: str
    problem: str


class Certificate(BaseModel):
    """What a transfer has verified: each file was read back from the medium of the target."""

    facility: str
    transfer: TransferView
    leg: str
    source: str
    target: str
    version: str


def transfer_view(server: str, transfer: Transfer, zone: Zone, *, allowed: bool, ahead: int | None) -> TransferView:
    """Put together what is known of a transfer."""
    progress: dict[str, Any] = dict(transfer.progress) if transfer.state is TransferState.RUNNING else {}
    kind = SelectionKind(transfer.selection)
    within = PurePosixPath(from_text(transfer.folder))
    known = transfer.known_bytes
    fraction = 1.0 if transfer.state is TransferState.DONE else min(1.0, transfer.bytes / known) if known else 0.0
    return TransferView(
        id=transfer.id,
        person=transfer.person,
        state=transfer.state,
        made_at=transfer.made_at,
        started_at=transfer.started_at,
        begun_at=transfer.begun_at,
        ended_at=transfer.ended_at,
        instrument=transfer.instrument,
        source=transfer.source,
        name=printable(transfer.name),
        label=label(transfer.instrument, transfer.source),
        session_id=transfer.session_id,
        selection=kind,
        squares=list(transfer.squares),
        selection_words=words(kind, transfer.squares) or "the whole dataset",
        follow=transfer.follow,
        zone=transfer.zone,
        folder=transfer.folder,
        linux=printable(str(linux_path(zone, within)), 8192),
        windows=printable(windows_path(server, zone, within), 8192),
        attempts=transfer.attempts,
        files=transfer.files,
        bytes=transfer.bytes,
        known_files=transfer.known_files,
        known_bytes=known,
        moved_bytes=transfer.moved_bytes,
        listing=bool(progress.get("listing", False)),
        fraction=fraction,
        bytes_per_second=float(progress.get("bytes_per_second", 0.0)),
        mean_bytes_per_second=transfer.mean_bytes_per_second,
        eta_seconds=_eta(transfer, progress),
        seconds=transfer.seconds,
        ahead=ahead,
        problem_count=transfer.problem_count,
        problems=[ProblemView.model_validate(each) for each in transfer.problems],
        note_count=transfer.note_count,
        notes=[NoteView.model_validate(each) for each in transfer.notes],
        latest=[FileView(path=path, bytes=size) for path, size in reversed(progress.get("latest", []))],
        manifest_digest=transfer.manifest_digest or "",
        error=transfer.error or "",
        advice=transfer.advice or "",
        may=acts(transfer) if allowed else [],
    )


def acts(transfer: Transfer) -> list[str]:
    """Return what can be done with a transfer where it stands."""
    found = [act for act, target in _ACTS.items() if target in moves(transfer.state)]
    if transfer.state is TransferState.PAUSED:
        found.append("resume")
    if transfer.state in _AGAIN:
        found.append("retry")
    if transfer.state is TransferState.DONE:
        found.append("certificate")
    return found


def may_become(transfer: Transfer, targets: Collection[TransferState]) -> bool:
    """Tell whether a transfer can still come to one of these."""
    return not moves(transfer.state).isdisjoint(targets)


def _eta(transfer: Transfer, progress: dict[str, Any]) -> float | None:
    rate = transfer.mean_bytes_per_second
    if transfer.follow or not progress or rate <= 0 or not transfer.known_bytes:
        return None
    return max(0, transfer.known_bytes - transfer.bytes) / rate
