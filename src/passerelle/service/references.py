"""Which gain reference and which defect map belong to a movie: configured, or named by its sidecar, or lying with the session."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from sqlalchemy import Connection

from passerelle.acquisition import Role
from passerelle.core.states import FileState
from passerelle.service.instruments import Instrument
from passerelle.store import File, Movie, Session, files, paths, sessions


@dataclass(frozen=True, slots=True)
class Candidates:
    """The reference files of a session and of the folders above it, nearest and latest last."""

    gains: tuple[File, ...]
    defects: tuple[File, ...]


@dataclass(frozen=True, slots=True)
class References:
    """What a movie is corrected with. Paths are absolute. gain_named: named by the sidecar and not there."""

    gain: str | None = None
    defects: str | None = None
    gain_state: FileState | None = None
    gain_named: str | None = None
    inputs: tuple[tuple[str, str], ...] = ()

    def as_inputs(self) -> dict[str, Any]:
        """Return what to store of it: changes when a reference is another one, or has other content."""
        return dict(self.inputs)


def candidates(connection: Connection, session: Session) -> Candidates:
    """Return the reference files that lie with a session, or in a folder above it in the same instrument's folder."""
    root = paths.from_text(session.root)
    above = [
        each
        for each in sessions.every(connection)
        if each.instrument == session.instrument and root.is_relative_to(paths.from_text(each.root))
    ]
    above.sort(key=lambda each: len(paths.from_text(each.root).parts))
    gains = [file for each in above for file in files.of_role(connection, each.id, Role.GAIN)]
    defects = [file for each in above for file in files.of_role(connection, each.id, Role.DEFECTS)]
    return Candidates(tuple(gains), tuple(defects))


def references(movie: Movie, lying: Candidates, instrument: Instrument) -> References:
    """Choose the references of a movie: configured, else named by its sidecar, else the latest that lies nearest."""
    values = movie.metadata.get("values", {})
    inputs: dict[str, str] = {}
    gain_named = None
    state = None
    if instrument.settings.gain is not None:
        gain, state = str(instrument.settings.gain), FileState.WHOLE
        inputs["gain"] = gain
    else:
        chosen = _choose(lying.gains, values.get("gain_reference"))
        gain_named = (_name(values.get("gain_reference")) or None) if chosen is None else None
        gain = None if chosen is None else str(instrument.folder / paths.from_text(chosen.path))
        if chosen is not None:
            state = chosen.state
            inputs["gain"] = f"{chosen.path}#{chosen.generation}"
    if instrument.settings.defects is not None:
        defects: str | None = str(instrument.settings.defects)
        inputs["defects"] = str(defects)
    else:
        found = _choose([file for file in lying.defects if file.state is FileState.WHOLE], values.get("defect_file"))
        defects = None if found is None else str(instrument.folder / paths.from_text(found.path))
        if found is not None:
            inputs["defects"] = f"{found.path}#{found.generation}"
    return References(gain, defects, state, gain_named, tuple(sorted(inputs.items())))


def _choose(found: Sequence[File], named: object) -> File | None:
    present = [file for file in found if file.state not in {FileState.GONE, FileState.BAD}]
    if named:
        wanted = _name(named)
        same = [file for file in present if PurePosixPath(file.path).name.casefold() == wanted.casefold()]
        if same or not wanted:
            present = same
        elif any(file.state is FileState.WHOLE for file in present):
            # renamed or converted on the way, as CountRef_x.dm4 to gain.mrc: one that lies with the session is better than none
            present = [file for file in present if file.state is FileState.WHOLE]
        else:
            present = []
    return present[-1] if present else None


def _name(path: object) -> str:
    text = str(path or "")
    return PureWindowsPath(text).name if "\\" in text else PurePosixPath(text).name
