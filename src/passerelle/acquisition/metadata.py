"""What is known of an exposure, from which source, and where the sources contradict each other."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Metadata(BaseModel):
    """Values of one exposure; None is "not said". Frozen; JSON in and out.

    Stage in micrometres; beam shift in the program's own units (EPU's has none, SerialEM's is micrometres). Applied defocus
    positive for underfocus, in angstrom, as CTF programs count it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    voltage_kv: float | None = None
    spherical_aberration_mm: float | None = None
    amplitude_contrast: float | None = None
    pixel_size_angstrom: float | None = None
    dose_e_per_angstrom2: float | None = None  # of the whole exposure, on the specimen
    dose_per_frame_e_per_angstrom2: float | None = None
    exposure_seconds: float | None = None
    frames: int | None = None
    height_px: int | None = None
    width_px: int | None = None
    super_resolution: bool | None = None  # the camera places electrons on half pixels
    applied_defocus_angstrom: float | None = None
    phase_plate: bool | None = None
    tilt_deg: float | None = None
    stage_x_um: float | None = None
    stage_y_um: float | None = None
    stage_z_um: float | None = None
    beam_shift_x: float | None = None
    beam_shift_y: float | None = None
    magnification: float | None = None
    camera: str | None = None
    microscope: str | None = None
    program: str | None = None
    grid_square: str | None = None
    foil_hole: str | None = None
    gain_reference: str | None = None  # file name, as the sidecar gives it
    defect_file: str | None = None
    acquired_at: float | None = None  # UTC seconds since 1970


class MetadataConflict(BaseModel):
    """One value about which two or more sources disagree.

    used: the source that was believed. explanation: why they may differ, where that is known (super resolution, say); or "".
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    said: dict[str, str | float | int | bool]  # source -> its value
    used: str
    explanation: str = ""


class Reconciled(BaseModel):
    """The values in force, the source of each, and the conflicts that a person must see."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    values: Metadata
    sources: dict[str, str]
    conflicts: tuple[MetadataConflict, ...] = ()
