"""Where something of a zone lies: for a dataset to come, and as people on Windows and Linux write it."""

from __future__ import annotations

import re
import time
from pathlib import Path, PurePosixPath

from passerelle.core.errors import BadInput
from passerelle.zones.beneath import TOP
from passerelle.zones.zone import Content, Zone

_FOLDERS: dict[Content, str] = {
    Content.ACQUISITION: "",  # an instrument's PC writes where it likes
    Content.DATASET: "datasets",
    Content.RESULTS: "results",
    Content.RECALLED: "recalled",
}
_UNSAFE = re.compile(r"[^A-Za-z0-9._+-]+")
_LONGEST = 100


def dataset_place(zone: Zone, content: Content, *, instrument: str, name: str, at: float) -> PurePosixPath:
    """Return where a new dataset lies, relative to the zone's root: datasets/krios/2026-11-23_apoferritin.

    name: of the session or folder, as a person or a program chose it. at: when it was acquired (UTC seconds).

    Raises:
        BadInput: nothing of the kind may lie in this zone, or not now.
    """
    if not zone.takes(content):
        raise BadInput(
            f"Zone {zone.name} ({zone.kind}, {zone.state}) does not take a {content}.",
            advice="Choose an active personal or platform zone.",
        )
    day = time.strftime("%Y-%m-%d", time.gmtime(at))
    return PurePosixPath(_FOLDERS[content]) / plain_name(instrument) / f"{day}_{plain_name(name)}"


def plain_name(name: str) -> str:
    """Return a name that every file system and Windows take, and that people still recognise."""
    return _UNSAFE.sub("_", name)[:_LONGEST].strip("._ ") or "unnamed"


def linux_path(zone: Zone, within: PurePosixPath = TOP) -> Path:
    """Return a place in a zone as the processing machines see it."""
    return zone.root / within


def windows_path(server: str, zone: Zone, within: PurePosixPath = TOP) -> str:
    r"""Return a place in a zone as Windows writes it: \\server\zone\folder."""
    return "\\".join(["\\", server, zone.name, *within.parts])
