"""The values that the watch speaks in: what a caller tells it at the start, and the changes that it hands on.

A sink takes changes in batches and returns only when it has recorded them durably: returning is the acknowledgement.
Whatever was not acknowledged is found again after a restart, because the caller's record, not the watch's memory, is the truth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Protocol

from passerelle.acquisition.program import AcquisitionProgram, Place
from passerelle.core.states import FileState
from passerelle.formats.reader import MovieHeader


class FolderState(StrEnum):
    """How an instrument's folder is doing."""

    WATCHING = "watching"  # the kernel wakes us; a slow poll is the truth
    POLLING = "polling"  # a network mount, or the kernel gives no events: a quick poll
    UNREACHABLE = "unreachable"  # missing, unmounted, or it does not answer; nothing in it counts as removed
    REFUSED = "refused"  # this account may not read it


@dataclass(frozen=True, slots=True)
class ExpectedFrames:
    """How many frames a movie should have. certain: its own sidecar says so; else learnt from earlier movies."""

    count: int
    certain: bool = False


@dataclass(frozen=True, slots=True)
class KnownFile:
    """A file as the caller's record has it at the start. path is relative to the instrument's folder.

    handed_on: an Arrival with this size, time and inode was recorded (always so for WHOLE; it matters for GONE).
    """

    path: PurePosixPath
    size: int
    mtime_ns: int
    inode: int
    generation: int = 0
    state: FileState = FileState.WHOLE
    handed_on: bool = True


def _nothing_expected(place: Place) -> ExpectedFrames | None:
    return None


def _nobody_knows(path: Path, mtime_ns: int) -> bool | None:
    return None


@dataclass(frozen=True, slots=True)
class InstrumentFolder:
    """One instrument's folder and how to watch it.

    quiet_seconds: how long a file that cannot be proven whole must not change.
    expected_frames: asked when a movie is closed; quick, and safe to call from any thread. `Expectations` is one.
    polling: None chooses by the kind of mount.
    open_elsewhere: asked where the kernel does not say who has a file open: path and mtime in nanoseconds -> whether somebody may
    still write to it, None where that is not known either. Samba's server is one that knows.
    """

    name: str
    path: Path
    program: AcquisitionProgram
    quiet_seconds: float = 10.0
    expected_frames: Callable[[Place], ExpectedFrames | None] = field(default=_nothing_expected)
    polling: bool | None = None
    open_elsewhere: Callable[[Path, int], bool | None] = field(default=_nobody_knows)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileChange:
    """What all changes of a file tell. generation: 0 for the first content handed on, + 1 for each later one."""

    instrument: str
    path: PurePosixPath
    place: Place
    size: int
    mtime_ns: int
    inode: int
    generation: int
    seen_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Growing(FileChange):
    """A file is there and not whole yet; told once, when it has been so for about a second, and when it is opened again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival(FileChange):
    """A file is whole: take it up. An Arrival of a higher generation replaces what was made from a lower one.

    header: of movies, frames and gains. expected_frames: what was expected of a movie when it was handed on.
    closed_at: last close, or last change where no close was seen; None where neither is known on our clock.
    """

    header: MovieHeader | None
    expected_frames: int | None
    closed_at: float | None
    whole_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished(FileChange):
    """A file has not become whole for a long time; reason is a sentence for the operator. It is still watched."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bad(FileChange):
    """A file will not become whole by itself; problem is a sentence for the operator. A change takes it up again."""

    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Touched(FileChange):
    """A file handed on before got another time, with no write: record the time, make nothing again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned(FileChange):
    """A file that was gone is back as it was when it was handed on: nothing is to be made again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """A file was removed or renamed away."""

    instrument: str
    path: PurePosixPath


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkIgnored:
    """A symbolic link leads out of the instrument's folder; it is not followed. Told once."""

    instrument: str
    path: PurePosixPath
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderChange:
    """An instrument's folder changed its state; reason is a sentence, empty when all is well."""

    instrument: str
    state: FolderState
    reason: str
    at: float


Change = Arrival | Growing | Unfinished | Bad | Touched | Returned | Gone | LinkIgnored | FolderChange


class Sink(Protocol):
    """Who takes changes."""

    def take(self, changes: Sequence[Change]) -> None:
        """Record `changes` in order, durably, best in one transaction; called by one thread at a time.

        Raises:
            PasserelleError: with `retry` LATER or NOW the same batch is offered again; with NEVER the watch ends with it.
        """
        ...


KnownFiles = Callable[[str], Iterable[KnownFile]]
"""Given an instrument's name, all that the caller's record has of it. Asked once, when the watch starts."""
