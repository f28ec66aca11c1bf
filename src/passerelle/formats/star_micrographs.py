"""Corrected micrographs with their CTF as RELION ≥ 3.1 reads them: a table of optics groups and a table of micrographs.

Labels as RELION's jobs MotionCorr and CtfFind write them (metadata_label.h). A column that no micrograph has a value for is
left out; where only some have one, RELION's own default fills the gap, so that a number is never made up: motion 0, phase shift
0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from passerelle.core.errors import BadInput
from passerelle.formats.star import StarBlock


@dataclass(frozen=True, slots=True)
class OpticsGroup:
    """Micrographs taken with the same optics. movie_pixel_size_angstrom: before binning, where that differs."""

    name: str
    voltage_kv: float
    spherical_aberration_mm: float
    amplitude_contrast: float
    pixel_size_angstrom: float
    movie_pixel_size_angstrom: float | None = None


@dataclass(frozen=True, slots=True)
class MicrographRow:
    """One corrected micrograph. name and the other names: paths as RELION shall find them, without spaces.

    optics_group: counted from 1. defocus_angle_deg: counter-clockwise from x to the direction of U. score: correlation of the
    fit; resolution_angstrom: to which it holds. Motion in Å.
    """

    name: str
    optics_group: int = 1
    name_not_weighted: str | None = None
    movie: str | None = None
    spectrum_picture: str | None = None
    defocus_u_angstrom: float | None = None
    defocus_v_angstrom: float | None = None
    defocus_angle_deg: float | None = None
    phase_shift_deg: float | None = None
    score: float | None = None
    resolution_angstrom: float | None = None
    total_motion_angstrom: float | None = None
    early_motion_angstrom: float | None = None
    late_motion_angstrom: float | None = None
    pre_exposure_e_per_angstrom2: float | None = None

    @property
    def astigmatism_angstrom(self) -> float | None:
        """Absolute difference of both defoci."""
        if self.defocus_u_angstrom is None or self.defocus_v_angstrom is None:
            return None
        return abs(self.defocus_u_angstrom - self.defocus_v_angstrom)


# RELION's label, our attribute, what stands where a micrograph has no value
_COLUMNS: tuple[tuple[str, str, object], ...] = (
    ("rlnMicrographName", "name", ""),
    ("rlnMicrographNameNoDW", "name_not_weighted", "None"),
    ("rlnMicrographMovieName", "movie", "None"),
    ("rlnOpticsGroup", "optics_group", 1),
    ("rlnCtfImage", "spectrum_picture", "None"),
    ("rlnDefocusU", "defocus_u_angstrom", 0.0),
    ("rlnDefocusV", "defocus_v_angstrom", 0.0),
    ("rlnCtfAstigmatism", "astigmatism_angstrom", 0.0),
    ("rlnDefocusAngle", "defocus_angle_deg", 0.0),
    ("rlnPhaseShift", "phase_shift_deg", 0.0),
    ("rlnCtfFigureOfMerit", "score", 0.0),
    ("rlnCtfMaxResolution", "resolution_angstrom", 999.0),
    ("rlnAccumMotionTotal", "total_motion_angstrom", 0.0),
    ("rlnAccumMotionEarly", "early_motion_angstrom", 0.0),
    ("rlnAccumMotionLate", "late_motion_angstrom", 0.0),
    ("rlnMicrographPreExposure", "pre_exposure_e_per_angstrom2", 0.0),
)
_ALWAYS = ("name", "optics_group")
_PATHS = ("name", "name_not_weighted", "movie", "spectrum_picture")


def micrographs_star(optics: Sequence[OpticsGroup], micrographs: Sequence[MicrographRow]) -> dict[str, StarBlock]:
    """Return the blocks `optics` and `micrographs`, ready for `write_star`.

    Raises:
        BadInput: a micrograph of an optics group that there is not, or a path with spaces (RELION cannot read it).
    """
    for row in micrographs:
        if not 1 <= row.optics_group <= len(optics):
            raise BadInput(f"{row.name} belongs to optics group {row.optics_group}; there are 1 … {len(optics)}.")
        for attribute in _PATHS:
            path = getattr(row, attribute)
            if path and any(letter.isspace() for letter in path):
                raise BadInput(
                    f"RELION cannot read a path with a space: {path!r}.", advice="Link the folder under a name without spaces."
                )
    used = [
        column for column in _COLUMNS if column[1] in _ALWAYS or any(getattr(row, column[1]) is not None for row in micrographs)
    ]
    rows = [[_filled(getattr(row, attribute), gap) for _, attribute, gap in used] for row in micrographs]
    return {"optics": _optics_block(optics), "micrographs": StarBlock.of_rows([column[0] for column in used], rows)}


def _filled(value: object, gap: object) -> object:
    return gap if value is None else value


def _optics_block(optics: Sequence[OpticsGroup]) -> StarBlock:
    columns = (
        "rlnOpticsGroupName",
        "rlnOpticsGroup",
        "rlnMicrographOriginalPixelSize",
        "rlnVoltage",
        "rlnSphericalAberration",
        "rlnAmplitudeContrast",
        "rlnMicrographPixelSize",
    )
    rows = [
        (
            group.name,
            number,
            float(group.movie_pixel_size_angstrom or group.pixel_size_angstrom),
            float(group.voltage_kv),
            float(group.spherical_aberration_mm),
            float(group.amplitude_contrast),
            float(group.pixel_size_angstrom),
        )
        for number, group in enumerate(optics, 1)
    ]
    return StarBlock.of_rows(columns, rows)
