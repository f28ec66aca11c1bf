"""The table of acquisition programs, and which of them wrote a folder."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, tzinfo
from pathlib import PurePosixPath
from typing import ClassVar

from passerelle.acquisition import epu_names
from passerelle.acquisition.digital_micrograph import DigitalMicrograph
from passerelle.acquisition.epu import Epu
from passerelle.acquisition.falcon import Falcon, frame_of
from passerelle.acquisition.generic import Generic
from passerelle.acquisition.metadata import Metadata
from passerelle.acquisition.program import AcquisitionProgram, Place
from passerelle.acquisition.serialem import SerialEm, is_map


@dataclass(frozen=True, slots=True)
class Auto:
    """Each file by the program whose mark it bears: an EPU name, an .mdoc, a frame number; all others as plain movies.

    A file's place depends on its own path alone, so that it does not change when more files arrive.
    """

    name: ClassVar[str] = "auto"
    time_zone: tzinfo = UTC

    def place(self, path: PurePosixPath) -> Place | None:
        """Say what `path` means to the program whose mark it bears; there is always an answer."""
        return self._program(path).place(path)

    def read_sidecar(self, path: PurePosixPath, content: bytes) -> Metadata:
        """Read a sidecar by the program whose mark it bears.

        Raises:
            IncompleteFile, BadFile: as that program's `read_sidecar`.
        """
        return self._program(path).read_sidecar(path, content)

    def _program(self, path: PurePosixPath) -> AcquisitionProgram:
        name = mark(path)
        if name == "falcon":
            return Falcon(plain_numbers=False, time_zone=self.time_zone)
        # a .dm4 tells nothing that the plain names do not
        return program_at(name if name in {"epu", "serialem"} else "generic", self.time_zone)


PROGRAMS: dict[str, AcquisitionProgram] = {
    program.name: program for program in (Auto(), Epu(), SerialEm(), DigitalMicrograph(), Falcon(), Generic())
}


def program_at(name: str, time_zone: tzinfo) -> AcquisitionProgram:
    """Return the program of that name for a microscope in a time zone, which counts where sidecars give local times."""
    program = PROGRAMS[name]
    if isinstance(program, Auto | Epu | SerialEm | Falcon):
        return replace(program, time_zone=time_zone)
    return program


def identify(paths: Iterable[PurePosixPath]) -> AcquisitionProgram:
    """Return the program that wrote most of the marked files among `paths`; the plain one where no file bears a mark."""
    votes: dict[str, int] = {}
    for path in paths:
        name = mark(path)
        if name is not None:
            votes[name] = votes.get(name, 0) + 1
    # a DM4 among an .mdoc is SerialEM's gain; EPU with a K2 leaves DM4 references, too
    ranking = ("epu", "serialem", "falcon", "digital_micrograph")
    order = sorted(votes, key=lambda name: (name == "digital_micrograph", -votes[name], ranking.index(name)))
    return PROGRAMS[order[0] if order else "generic"]


def mark(path: PurePosixPath) -> str | None:
    """Return the program whose mark the name of a file bears, None where several programs could have written it."""
    if epu_names.bears_mark(path):
        return "epu"
    suffix = path.suffix.lower()
    if suffix == ".mdoc" or is_map(path) or path.name.startswith(("SuperRef_", "CountRef_", "defects_")):
        return "serialem"
    if frame_of(path, plain_numbers=False) is not None:
        return "falcon"
    if suffix in {".dm4", ".dm3", ".gtg"}:
        return "digital_micrograph"
    return None
