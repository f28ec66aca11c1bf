"""What follows what, on one page. Pure: values and the time in, a decision out; no disk, no database, no clock.

file whole ──▶ readiness ──▶ queue ──▶ (pipeline) ──▶ after_outcome ──▶ record, alerts
sidecar, gain or configuration says otherwise ──▶ must_redo ──▶ queue again
thresholds changed ──▶ judge the stored metrics again (no work)
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from passerelle.acquisition import Metadata, Role
from passerelle.core.states import FileState
from passerelle.processing import MovieOutcome
from passerelle.store import File

# The values of an exposure on which its processing depends: a movie is done again when one of these changes.
MATTERS = (
    "voltage_kv",
    "spherical_aberration_mm",
    "amplitude_contrast",
    "pixel_size_angstrom",
    "dose_e_per_angstrom2",
    "dose_per_frame_e_per_angstrom2",
    "phase_plate",
    "super_resolution",
)

_MAIN = frozenset({Role.MOVIE, Role.FRAME})
_WAITING = frozenset({FileState.GROWING, FileState.UNFINISHED})


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a whole movie waits for its companions, seconds."""

    sidecar: float
    gain: float
    frames: float


@dataclass(frozen=True, slots=True)
class Ready:
    """Everything is there, or was waited for long enough. closed_at, whole_at: of the last file that it needed."""

    files: tuple[File, ...]  # the movie, or its frames in order
    closed_at: float | None
    whole_at: float
    without: str = ""  # what it goes on without, for the movie's history


@dataclass(frozen=True, slots=True)
class NotYet:
    """Something is missing. until: when to look again, None if only a file's arrival can help."""

    reason: str
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Vanished:
    """None of its files is there any more."""


Readiness = Ready | NotYet | Vanished


def main_files(companions: Sequence[File]) -> list[File]:
    """Return the files that hold a movie's frames, in the order of the frames.

    A movie may lie there twice, raw and recompressed (`a.mrc`, `a.tif`): the larger one counts as long as it is there. One that
    is only just appearing stands for nothing yet, also where the other was removed before the watch knew it whole.
    """
    main = [file for file in companions if file.role in _MAIN]
    twins = [file for file in main if file.role == Role.MOVIE]
    if len(twins) > 1:
        whole = [file for file in twins if file.state is FileState.WHOLE]
        gone = [file for file in twins if file.state is FileState.GONE]
        chosen = max(whole or gone or twins, key=lambda file: (file.size, file.path))
        main = [file for file in main if file is chosen or file.role != Role.MOVIE]
    return sorted(main, key=lambda file: (file.frame or 0, file.path))


def generation(companions: Sequence[File]) -> int:
    """Return what changes whenever a file that holds a movie's frames has other content."""
    return sum(file.generation for file in companions if file.role in _MAIN)


def readiness(
    files: Sequence[File],
    *,
    expects: Collection[Role],
    expected_frames: int | None,
    certain: bool,
    gain: FileState | None,
    gain_named: str | None,
    patience: Patience,
    now: float,
) -> Readiness:
    """Say whether a movie may be processed.

    files: all that bear its key. expects: roles of companions that its program always writes. expected_frames: of a movie of
    single-frame files; certain: its own sidecar says so. gain: the state of its gain file, None where there is none.
    gain_named: the gain that the sidecar names and that is not there.
    """
    main = [file for file in main_files(files) if file.state is not FileState.GONE]
    if not main:
        return Vanished()
    whole = [file for file in main if file.state is FileState.WHOLE]
    if len(whole) < len(main):
        return NotYet("its file is not whole yet")
    whole_at = max(file.whole_at or file.seen_at for file in whole)
    closes = [file.closed_at for file in whole if file.closed_at is not None]
    frames = sorted((file for file in whole if file.role == Role.FRAME), key=lambda file: (file.frame or 0, file.path))
    if frames and (waiting := _frames_missing(frames, expected_frames, certain, whole_at, patience, now)):
        return waiting
    without = ""
    if Role.MOVIE_METADATA in expects and not _has_sidecar(files):
        until = whole_at + patience.sidecar
        if now < until:
            return NotYet("its sidecar is not there yet", until)
        without = "sidecar"
    if gain in _WAITING or (gain is None and gain_named is not None):
        until = whole_at + patience.gain
        if now < until:
            return NotYet(f"the gain reference {gain_named or ''} is not there yet".replace("  ", " "), until)
        without = f"{without}, gain".lstrip(", ")
    ordered = tuple(frames) or tuple(whole[:1])
    return Ready(ordered, max(closes) if closes else None, whole_at, without)


def _frames_missing(
    frames: Sequence[File], expected: int | None, certain: bool, whole_at: float, patience: Patience, now: float
) -> NotYet | None:
    numbers = [file.frame or 0 for file in frames]
    gaps = max(numbers) - min(numbers) + 1 != len(set(numbers))
    if expected is not None and len(frames) >= expected and not gaps:
        return None
    told = f"{len(frames)} of {expected} frames are there" if expected else f"{len(frames)} frames are there so far"
    if gaps:
        return NotYet(f"{told}, and frames between them are missing")
    if certain and expected is not None:
        return NotYet(told)
    # learnt from earlier movies, or not known: exposures may have become shorter
    until = whole_at + patience.frames * (3 if expected is not None else 1)
    return NotYet(told, until) if now < until else None


def _has_sidecar(files: Sequence[File]) -> bool:
    return any(file.role == Role.MOVIE_METADATA and file.state is FileState.WHOLE for file in files)


def values_that_matter(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of an exposure that its processing depends on. metadata: of `Metadata`, by field name."""
    return {name: metadata[name] for name in MATTERS if metadata.get(name) is not None}


def must_redo(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the values that matter and differ: the movie must be done again if there are any."""
    old, new = values_that_matter(before), values_that_matter(after)
    return tuple(name for name in MATTERS if old.get(name) != new.get(name))


@dataclass(frozen=True, slots=True)
class Raise:
    """Open an alert of the session."""

    kind: str
    level: str
    message: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Clear:
    """Close an alert of the session."""

    kind: str


AlertMove = Raise | Clear


def after_movie(
    outcome: MovieOutcome | None, *, name: str, error: str | None, failed_in_a_row: int, failed_limit: int
) -> tuple[AlertMove, ...]:
    """Return what the session should be told after a movie was done (outcome) or set aside (error)."""
    if outcome is None:
        if not failed_limit or failed_in_a_row < failed_limit:
            return ()
        words = f"{failed_in_a_row} movies in a row could not be processed; the last, {name}: {error}"
        return (Raise("movies_failed", "error", words, "Open one of them to see what to do."),)
    moves: list[AlertMove] = [Clear("movies_failed"), Clear("no_space"), Clear("reference_absent")]
    gain = next((record.values for record in outcome.steps if record.step == "gain"), {})
    if better := gain.get("better_mode"):
        words = f"{name}: the gain reference fits the movie when one {better}s by it, and not as it is used now."
        moves.append(Raise("gain_orientation", "error", words, f"Process the session again with gain mode {better}."))
    elif better := gain.get("better_orientation"):
        words = f"{name}: the gain reference fits the movie when it is turned by {better}, and not as it is used now."
        moves.append(Raise("gain_orientation", "error", words, f"Process the session again with gain orientation {better}."))
    elif "orientations" in gain:
        moves.append(Clear("gain_orientation"))
    return tuple(moves)


def no_space(words: str, folder: Path) -> AlertMove:
    """Return what the session should be told when results find no room in `folder`."""
    return Raise("no_space", "error", words, f"Make room on the disk of {folder}; the work goes on by itself, nothing is lost.")


def reference_absent(words: str) -> AlertMove:
    """Return what the session should be told when the gain or defect map of the configuration is not there."""
    advice = "Put it back, mount its disk, or correct the configuration; the movies wait, and go on by themselves."
    return Raise("reference_absent", "error", words, advice)


def columns(metadata: Metadata) -> dict[str, Any]:
    """Return the columns of a movie that its metadata fills."""
    return {
        "acquired_at": metadata.acquired_at,
        "grid_square": metadata.grid_square,
        "foil_hole": metadata.foil_hole,
    }
