"""Is this file whole? Decided from facts and the time alone.

A file is handed on when it is closed, complete by its header, and has been quiet for a short time:

| what is known                                               | it must have been quiet for         |
|-------------------------------------------------------------|-------------------------------------|
| nobody has it open, header or end of file prove it whole    | settle_seconds                      |
| the same, but nobody can tell who has it open (a network)   | unknown_writer_seconds              |
| valid, but it would be valid with more frames, too          | quiet_seconds, more after long gaps |
| fewer frames than earlier movies had, or empty frames       | patience_seconds                    |
| fewer frames than its own sidecar says                      | unfinished_seconds                  |
| shorter than its header says, stretches unwritten           | for ever: it is shown as unfinished |
| empty frames, and nobody can tell who has it open           | for ever: it is shown as unfinished |

A sidecar is believed for a long time, not for ever: what programs call a frame differs (raw, saved, fractions), and a session
must not stand still over it. The caller sees both numbers in the Arrival and shows the conflict.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from passerelle.formats.reader import MovieHeader
from passerelle.gateway.change import ExpectedFrames


class Writers(Enum):
    """Whether some process has the file open for writing, or mapped."""

    NONE = "none"
    SOME = "some"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Whole:
    """Header and size agree.

    growable: with more frames appended it would be just as valid (TIFF, EER). doubt: why it may yet be unfilled, a sentence.
    """

    header: MovieHeader | None = None
    growable: bool = False
    doubt: str = ""


@dataclass(frozen=True, slots=True)
class Incomplete:
    """The file ends before its header says, or parts of it were never written."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unproven:
    """Of a kind that does not tell where it ends."""

    text: bool = False  # ends with a line end, as a program leaves it that has written all it wanted


@dataclass(frozen=True, slots=True)
class Broken:
    """Not what its name says. passing: not the file's fault (permission, input/output), so it is tried again now and then."""

    problem: str
    passing: bool = False


Finding = Whole | Incomplete | Unproven | Broken


@dataclass(frozen=True, slots=True)
class SettleRules:
    """The times of the table above, in seconds."""

    settle_seconds: float = 0.3
    text_quiet_seconds: float = 2.0
    unknown_writer_seconds: float = 4.0
    quiet_seconds: float = 10.0
    gap_factor: float = 4.0  # a writer that once paused for 5 s may do so again: wait for 20 s
    broken_seconds: float = 30.0
    patience_seconds: float = 150.0  # the longest pause of a writer that we were told of is 120 s
    unfinished_seconds: float = 600.0
    open_check_seconds: float = 5.0  # how often a file that somebody has open is looked at when no event comes


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What is known of one file; instants on one monotonic clock.

    changed_at: last change of size, time or inode, or last close. longest_gap_seconds: between two changes seen so far.
    """

    changed_at: float
    longest_gap_seconds: float
    writers: Writers
    finding: Finding
    expected: ExpectedFrames | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """Not yet: look again at `until`, or when something happens to the file."""

    until: float
    reason: str


@dataclass(frozen=True, slots=True)
class HandOn:
    """Whole."""


@dataclass(frozen=True, slots=True)
class GiveNotice:
    """It has not become whole for a long time: tell the operator, go on watching."""

    reason: str


@dataclass(frozen=True, slots=True)
class SetAside:
    """It will not become whole by itself; passing as in `Broken`."""

    problem: str
    passing: bool = False


Decision = Wait | HandOn | GiveNotice | SetAside


def settle(facts: FileFacts, now: float, rules: SettleRules) -> Decision:
    """Decide what to do with a file, from facts alone."""
    finding = facts.finding
    if facts.writers is Writers.SOME:
        reason = "A program still has it open for writing."
        return _wait_or_notice(facts, now, rules, reason, look_again=now + rules.open_check_seconds)
    if isinstance(finding, Incomplete):
        return _wait_or_notice(facts, now, rules, finding.reason)
    if isinstance(finding, Broken):
        patient = rules.broken_seconds if facts.writers is Writers.NONE else rules.patience_seconds
        return _after(facts, now, patient, "Its header cannot be read yet.", SetAside(finding.problem, finding.passing))
    frames = finding.header.frames if isinstance(finding, Whole) and finding.header else None
    if frames is not None and facts.expected and frames < facts.expected.count:
        reason = f"It has {frames} of {facts.expected.count} frames."
        patience = rules.unfinished_seconds if facts.expected.certain else rules.patience_seconds
        return _after(facts, now, patience, reason, HandOn())
    if isinstance(finding, Whole) and finding.doubt:
        if facts.writers is Writers.UNKNOWN:
            return _wait_or_notice(facts, now, rules, finding.doubt)
        return _after(facts, now, rules.patience_seconds, finding.doubt, HandOn())
    return _after(facts, now, _quiet_needed(facts, frames, rules), "It must be quiet for a while.", HandOn())


def _quiet_needed(facts: FileFacts, frames: int | None, rules: SettleRules) -> float:
    finding = facts.finding
    if isinstance(finding, Whole):
        counted = facts.expected is not None and frames == facts.expected.count
        agrees = facts.expected is None or frames is None or counted
        if counted or (not finding.growable and agrees):
            return rules.settle_seconds if facts.writers is Writers.NONE else rules.unknown_writer_seconds
    if isinstance(finding, Unproven) and finding.text and facts.writers is Writers.NONE:
        base = rules.text_quiet_seconds
    else:
        base = rules.quiet_seconds
    return min(max(base, rules.gap_factor * facts.longest_gap_seconds), max(rules.patience_seconds, base))


def _after(facts: FileFacts, now: float, quiet_seconds: float, reason: str, decision: Decision) -> Decision:
    due = facts.changed_at + quiet_seconds
    return decision if now >= due else Wait(due, reason)


def _wait_or_notice(
    facts: FileFacts, now: float, rules: SettleRules, reason: str, look_again: float | None = None
) -> Wait | GiveNotice:
    due = facts.changed_at + rules.unfinished_seconds
    if now >= due:
        return GiveNotice(reason)
    return Wait(due if look_again is None else min(due, look_again), reason)
