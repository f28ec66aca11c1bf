"""What is known of one file: as the file system shows it, as one look found it, settled, or still awaited."""

from __future__ import annotations

from dataclasses import dataclass

from passerelle.acquisition.program import Place
from passerelle.core.states import FileState
from passerelle.gateway.settle import Finding, Writers


@dataclass(frozen=True, slots=True)
class Moment:
    """One instant on two clocks: `mono` for all decisions (it never jumps), `utc` for the record."""

    mono: float
    utc: float


@dataclass(frozen=True, slots=True)
class Seen:
    """What the file system says of a file."""

    size: int
    mtime_ns: int
    inode: int
    ctime_ns: int

    @property
    def changed_utc(self) -> float:
        """When its content, name or rights were last changed, by the clock of its file system; UTC."""
        return max(self.mtime_ns, self.ctime_ns) / 1e9


@dataclass(frozen=True, slots=True)
class Look:
    """What one look into a file found; seen is None when it is gone. finding is None where writers made a probe idle."""

    seen: Seen | None
    writers: Writers = Writers.UNKNOWN
    finding: Finding | None = None


@dataclass(slots=True)
class Settled:
    """A file with which nothing is to be done until it changes. state None: the program would not write such a file."""

    size: int
    mtime_ns: int
    inode: int
    generation: int
    state: FileState | None
    handed_on: bool
    settled_at: float | None = None  # None: before this process
    written: bool = False  # a write-close was seen since it was settled


@dataclass(slots=True)
class Pending:
    """A file that is not whole yet. seen_at and closed_at are UTC, the other instants monotonic.

    before: what was settled of it, if ever. rested_at: the first look that found it at rest, and only touched since then.
    """

    place: Place
    seen: Seen
    generation: int
    seen_at: float
    since: float
    changed_at: float
    due_at: float
    closed_at: float | None = None
    gap: float = 0.0
    quiet: float = 0.0  # at the last look
    was_closed: bool = False  # at the last look
    finding: Finding | None = None  # None: its bytes must be looked at (again)
    growing_told: bool = False
    notice_told: bool = False
    before: Settled | None = None
    rested_at: float | None = None
