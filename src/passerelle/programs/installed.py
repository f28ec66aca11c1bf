"""Which external programs can be chosen, and whether they are here: found once, asked for their version, in words if not."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from passerelle.core.errors import BadConfiguration, Busy, NotFound, storage_errors
from passerelle.programs.run import run_to_end

_VERSION_SECONDS = 30.0
_CANNOT_START = frozenset({126, 127})  # of a shell script; 127 also where the loader misses a library


@dataclass(frozen=True, slots=True)
class Kind:
    """An external program. asks: how it says its version, where it does so without work; says: what its answer looks like."""

    label: str
    asks: tuple[str, ...] = ()
    says: re.Pattern[str] = re.compile(r"(?!)")


KINDS: dict[str, Kind] = {
    "relion": Kind("RELION's motion correction", ("--version",), re.compile(r"RELION version:\s*(\S+)")),
    "motioncor2": Kind("MotionCor2", ("--version",), re.compile(r"MotionCor2 version\s+(\S+)", re.IGNORECASE)),
    "motioncor3": Kind("MotionCor3", ("--version",), re.compile(r"MotionCor3 version\s+(\S+)", re.IGNORECASE)),
    "ctffind4": Kind("CTFFIND 4"),  # it tells its version only in what it leaves
    "ctffind5": Kind("CTFFIND 5"),
}


@dataclass(frozen=True, slots=True)
class Installed:
    """A program that is here. version: what it says of itself, else size and date of its file; results depend on it."""

    name: str
    executable: str
    version: str


def find_program(name: str, executable: str) -> Installed:
    """Look for a program by its path, or by its name in the folders of PATH, and ask it for its version.

    Raises:
        BadConfiguration: it is not there, may not be run, or does not start; its own words are in the message.
    """
    kind = KINDS[name]
    advice = f"Set programs.{name} to its path, or choose another program."
    path = shutil.which(executable)
    if path is None:
        raise BadConfiguration(f"{kind.label} is to be used, and {executable!r} is not installed here.", advice=advice)
    return Installed(name, path, _version(kind, path, advice) if kind.asks else _identity(path))


def _version(kind: Kind, path: str, advice: str) -> str:
    try:
        ended = run_to_end([path, *kind.asks], seconds=_VERSION_SECONDS)
    except (NotFound, Busy) as error:
        raise BadConfiguration(f"{kind.label} does not tell its version: {error.message}", advice=advice, path=path) from error
    if ended.code in _CANNOT_START or ended.code < 0:
        raise BadConfiguration(f"{kind.label} does not start: {ended.last_words or ended.code}", advice=advice, path=path)
    said = kind.says.search(ended.output)
    return said.group(1) if said else _identity(path)


def _identity(path: str) -> str:
    with storage_errors(path):
        status = Path(path).stat()
    return f"{status.st_size} bytes of {status.st_mtime_ns}"


def program_file(executable: str) -> tuple[object, ...]:
    """Return what changes when another file takes an executable's place, at the price of a look."""
    path = shutil.which(executable)
    return (executable, None) if path is None else (path, _identity(path))
