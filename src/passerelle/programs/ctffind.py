"""CTFFIND 4.1 and 5: the answers that it reads on standard input, and the tables that it leaves (Rohou & Grigorieff 2015).

One order of answers serves both. What versions ask at the end differs (4.1.15 adds the tilt, 5 the thickness, neither with a
phase shift), and each of these questions takes "no"; answers too many are not read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from passerelle.core.errors import ProgramFailed
from passerelle.programs.texts import lines_of, numbers

NAME = "CTFFIND"
_PICTURE, _TABLE, _CURVES = "diagnostic.mrc", "diagnostic.txt", "diagnostic_avrot.txt"
_LOWEST_ANGSTROM = 50.0  # CTFFIND refuses a coarser limit
_LEAST_BOX_PX = 128

Generation = Literal[4, 5]
_STEP_ANGSTROM: dict[Generation, float] = {4: 500.0, 5: 100.0}  # each program's own default
_PHASE_STEP_RAD: dict[Generation, float] = {4: 0.2, 5: 0.2}


@dataclass(frozen=True, slots=True)
class CtfRequest:
    """One micrograph to be fitted. micrograph: a name inside the folder that the program runs in. Units as in the names."""

    micrograph: str
    pixel_size_angstrom: float
    voltage_kv: float
    spherical_aberration_mm: float
    amplitude_contrast: float
    box_px: int = 512
    resolution_low_angstrom: float = 30.0
    resolution_high_angstrom: float = 5.0
    defocus_min_angstrom: float = 5000.0
    defocus_max_angstrom: float = 50000.0
    phase_shift: bool = False


@dataclass(frozen=True, slots=True)
class FoundCtf:
    """What CTFFIND found. angle_deg: of defocus 1, counter-clockwise from x. score: its cross correlation.

    resolution_angstrom: the spacing up to which its rings fit; not a number where it names none. version: as its table says.
    Curves, all of one length: spacing_per_angstrom; spectrum, averaged along its fitted rings; model; agreement.
    """

    version: str
    defocus_1_angstrom: float
    defocus_2_angstrom: float
    angle_deg: float
    phase_shift_deg: float
    score: float
    resolution_angstrom: float
    spacing_per_angstrom: NDArray[np.float32]
    spectrum: NDArray[np.float32]
    model: NDArray[np.float32]
    agreement: NDArray[np.float32]


def command(executable: str, arguments: Sequence[str] = ()) -> list[str]:
    """Return the command; everything else is answered on standard input."""
    return [executable, *arguments]


def answers(request: CtfRequest, *, generation: Generation) -> str:
    """Return the lines that CTFFIND reads, in the order of its questions."""
    high = max(request.resolution_high_angstrom, 2 * request.pixel_size_angstrom)
    lines: list[object] = [
        request.micrograph,
        _PICTURE,
        f"{request.pixel_size_angstrom:.9g}",
        f"{request.voltage_kv:.9g}",
        f"{request.spherical_aberration_mm:.9g}",
        f"{request.amplitude_contrast:.9g}",
        max(request.box_px, _LEAST_BOX_PX),
        f"{min(request.resolution_low_angstrom, _LOWEST_ANGSTROM):.9g}",
        f"{high:.9g}",
        f"{request.defocus_min_angstrom:.9g}",
        f"{request.defocus_max_angstrom:.9g}",
        f"{_STEP_ANGSTROM[generation]:g}",
        "no",  # is the astigmatism known?
        "yes" if generation == 4 else "no",  # the slower search: the default since 4.1.8, and not in 5
        "no",  # a restraint on astigmatism?
    ]
    lines += ["yes", "0", f"{math.pi:.6f}", f"{_PHASE_STEP_RAD[generation]:g}"] if request.phase_shift else ["no"]
    lines += ["no", "no", "no"]  # tilt, thickness, expert options
    return "".join(f"{line}\n" for line in lines)


def read(folder: Path) -> FoundCtf:
    """Read what CTFFIND left in `folder`.

    Raises:
        ProgramFailed: its tables are not there, not whole, or hold no numbers.
    """
    path = folder / _TABLE
    comments, rows = _table(path, "no fit")
    if len(rows) != 1 or len(rows[0]) < 7:
        found = f"{len(rows[0])} numbers" if len(rows) == 1 else f"{len(rows)} lines of numbers"
        raise ProgramFailed(f"holds {found}; one line of 7 or more was expected.", path=path)
    _, one, two, angle, phase, score, resolution = rows[0][:7]
    if not all(math.isfinite(value) for value in (one, two, angle, phase, score)):
        raise ProgramFailed(
            f"says that {NAME} found no CTF: a value is no number.", advice="Is the micrograph empty or without rings?", path=path
        )
    curves = _curves(folder / _CURVES)
    return FoundCtf(
        version=_version(comments),
        defocus_1_angstrom=one,
        defocus_2_angstrom=two,
        angle_deg=angle,
        phase_shift_deg=math.degrees(phase),
        score=score,
        resolution_angstrom=resolution if math.isfinite(resolution) and resolution > 0 else math.nan,
        spacing_per_angstrom=curves[0],
        spectrum=curves[2],
        model=curves[3],
        agreement=curves[4],
    )


def _curves(path: Path) -> NDArray[np.float32]:
    """Return (6, n): spacing, mean of the spectrum, the same along the fitted rings, fit, agreement, noise of it.

    What is no number, as where CTFFIND divided by an empty ring, is zero.
    """
    _, rows = _table(path, "no curves")
    if len(rows) != 6 or len({len(row) for row in rows}) != 1:
        lengths = ", ".join(str(len(row)) for row in rows)
        raise ProgramFailed(f"holds lines of {lengths or 'no'} numbers; six of one length were expected.", path=path)
    return np.nan_to_num(np.array(rows, np.float32), nan=0.0, posinf=0.0, neginf=0.0)


def _table(path: Path, without: str) -> tuple[list[str], list[list[float]]]:
    """Return the comments and the rows of numbers of one of CTFFIND's text files."""
    if not path.is_file():
        raise ProgramFailed(f"was not written: {NAME} left {without}.", path=path)
    lines = lines_of(path, program=NAME)
    comments = [line for line in lines if line.startswith("#")]
    rows = [numbers(line.split(), path=path, program=NAME) for line in lines if line.strip() and not line.startswith("#")]
    return comments, rows


def _version(comments: list[str]) -> str:
    for line in comments:
        _, mark, rest = line.lower().partition("ctffind version ")
        if mark:
            return rest.split(",")[0].strip()
    return ""
