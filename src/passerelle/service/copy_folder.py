"""The verbs `copy` and `verify` of a single user: from folder to folder, with nothing configured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from passerelle.core.errors import PasserelleError, printable
from passerelle.transfer import Control, Copied, Problem, Progress, Verified, copy_dataset, verify_dataset

Told = Callable[[Progress], None]


def copy_folder(
    source: Path,
    target: Path,
    *,
    leg: str = "",
    also: tuple[str, ...] = (),
    control: Control | None = None,
    told: Told | None = None,
) -> Copied:
    """Copy a dataset so that each file is read back from the medium; run again, it goes on. leg: its name in the manifest.

    also: further digests for the manifest, as md5.

    Raises:
        PasserelleError: nothing could be copied at all; problems of single files are in what is returned.
    """
    name = leg or f"{source.resolve().name} to {target.resolve().name}"
    return copy_dataset(source, target, leg=name, also=also, control=control, told=told or _nobody)


def verify_folder(
    folder: Path, *, manifest_of: Path | None = None, control: Control | None = None, told: Told | None = None
) -> Verified:
    """Read a dataset back from the medium and hold it against its manifest, or against that of another copy.

    Raises:
        PasserelleError: there is no manifest, or it is damaged.
    """
    return verify_dataset(folder, manifest_of=manifest_of, control=control, told=told or _nobody)


def first_error(problems: tuple[Problem, ...]) -> PasserelleError | None:
    """Return the error whose exit code a command ends with: the first one that is not of a single file, else the first."""
    ordered = sorted(problems, key=lambda problem: problem.kind not in {"OutOfSpace", "Unreachable"})
    return ordered[0].error if ordered else None


def report(done: Copied | Verified) -> Mapping[str, Any]:
    """Return what came of a copy or a verification as plain values, for a machine; names safe to show."""
    fields: dict[str, Any] = {"files": done.files, "bytes": done.bytes, "whole": done.whole, "cancelled": done.cancelled}
    if isinstance(done, Copied):
        notes = [{"path": printable(path), "note": note} for path, note in done.notes]
        fields |= {"unchanged": done.unchanged, "copied_bytes": done.copied_bytes, "notes": notes, "note_count": done.note_count}
    else:
        fields |= {"unknown": [printable(path) for path in done.unknown]}
    problems = [
        {"path": printable(each.path), "error": each.kind, "message": each.message, "advice": each.advice}
        for each in done.problems
    ]
    return fields | {
        "problems": problems,
        "problem_count": done.problem_count if isinstance(done, Copied) else len(problems),
        "manifest_blake3": done.manifest_digest,
        "seconds": round(done.seconds, 3),
    }


def _nobody(_progress: Progress) -> None: ...
