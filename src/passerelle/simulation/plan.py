"""What the simulated microscopes shall do: frozen settings, every one described."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from passerelle.core.config import Section

Fault = Literal["ice", "empty", "drift", "astigmatism"]
Orientation = Literal["as_written", "rotate_90", "rotate_180", "rotate_270", "flip_x", "flip_y", "transpose", "antitranspose"]


class InstrumentPlan(Section):
    """One microscope with one camera, writing one session."""

    name: str = Field(
        default="krios1",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,60}$",
        description="Folder of the instrument in the gateway folder.",
    )
    session: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,100}$",
        description="Name of the session; none: made from the time and the instrument, as the program does.",
    )
    program: Literal["epu", "serialem", "digitalmicrograph", "falcon2"] = Field(
        default="epu", description="The acquisition program whose names and sidecar files are written."
    )
    format: Literal["mrc", "tiff", "eer", "dm4"] = Field(default="mrc", description="File format of the movies.")
    depth: Literal["uint8", "uint16", "uint4"] = Field(
        default="uint8",
        description="Number format of raw frames; uint4 packs two pixels in a byte, uint8 in MRC holds counts up to 127.",
    )
    specimen: Literal["falcon", "k2", "phantom", "model"] = Field(
        default="phantom",
        description="falcon, k2: a real Krios micrograph (fetched once with pip; offline the phantom takes its place). "
        "phantom: computed particles in ice. model: particles of an atomic model in ice.",
    )
    model: Path | None = Field(default=None, description="Atomic model (PDB or mmCIF, may be .gz) for specimen = model.")
    size_px: int | None = Field(
        default=None, ge=64, le=8192, description="Side of the frames; none: the whole real micrograph, else 4096."
    )
    pixel_size_angstrom: float = Field(default=0.85, gt=0.1, lt=20, description="Pixel of computed specimens.")
    dose_e_per_angstrom2: float = Field(default=40.0, gt=0, le=500, description="Dose of an exposure of computed specimens.")
    defocus_min_angstrom: float = Field(default=9000.0, gt=0, description="Computed specimens: smallest underfocus.")
    defocus_max_angstrom: float = Field(default=22000.0, gt=0, description="Computed specimens: largest underfocus.")
    frames: int = Field(default=40, ge=1, le=2000, description="Frames a movie.")
    eer_raw_per_frame: int = Field(
        default=8, ge=1, le=100, description="EER only: raw frames for each of `frames`; the motion goes on from one to the next."
    )
    exposure_seconds: float = Field(default=4.0, gt=0, description="Exposure time that sidecars tell.")
    movies: int | None = Field(default=None, ge=0, description="End after this many movies; none: go on until stopped.")
    movies_per_hour: float = Field(default=120.0, ge=0, description="Rate of exposures; 0: as fast as this machine can.")
    arrival: Literal["append", "bulk"] = Field(
        default="append",
        description="append: straight onto the share in many small appends (Falcon). bulk: kept on the camera's own disk, "
        "copied later, out of order (K2).",
    )
    append_seconds: float = Field(default=1.0, ge=0, description="append: time over which a movie is written.")
    bulk_movies: int = Field(default=3, ge=1, description="bulk: copy after this many exposures.")
    drift_px: float = Field(
        default=30.0, ge=0, le=500, description="Largest global drift of a movie; each has 30 to 100 % of it."
    )
    local_motion_px: float = Field(default=4.0, ge=0, le=100, description="Largest local motion about the drift.")
    steps_per_frame: int = Field(
        default=1, ge=1, le=16, description="Steps of motion within a frame; 1: the specimen stands still during a frame."
    )
    gain_pattern: bool = Field(
        default=True, description="A camera with a gain pattern, dead columns and hot pixels; false: a perfect one."
    )
    gain_orientation: Orientation = Field(
        default="as_written",
        description="How the gain file must be turned to fit the movies; anything but as_written is a trap on purpose.",
    )
    bad_every: int = Field(default=8, ge=0, description="Every how many exposures one is bad on purpose (0: never).")
    faults: tuple[Fault, ...] = Field(
        default=("ice", "empty", "drift", "astigmatism"), description="Kinds of bad exposures, in turn."
    )
    keep_specimens: bool = Field(default=True, description="Keep each specimen at rest with the truth (about 1 byte a pixel).")
    seed: int = Field(default=1, ge=0, description="The same seed gives the same movies.")

    @model_validator(mode="after")
    def _fits_together(self) -> InstrumentPlan:
        formats = {
            "epu": ("mrc", "tiff", "eer"),
            "serialem": ("tiff", "mrc"),
            "digitalmicrograph": ("dm4", "mrc"),
            "falcon2": ("mrc",),
        }
        if self.format not in formats[self.program]:
            raise ValueError(f"{self.program} writes {' or '.join(formats[self.program])}, not {self.format}")
        if self.depth == "uint4" and self.format != "mrc":
            raise ValueError("depth = uint4 needs format = mrc")
        if self.specimen == "model" and self.model is None:
            raise ValueError("specimen = model needs the path of a model")
        if self.defocus_max_angstrom < self.defocus_min_angstrom:
            raise ValueError("defocus_max_angstrom is below defocus_min_angstrom")
        return self


class Plan(Section):
    """All microscopes of a simulation."""

    instruments: tuple[InstrumentPlan, ...] = Field(
        default=(InstrumentPlan(),), description="The microscopes, each with its own folder."
    )

    @model_validator(mode="after")
    def _names_differ(self) -> Plan:
        names = [instrument.name for instrument in self.instruments]
        if len(set(names)) != len(names):
            raise ValueError("two instruments have the same name")
        return self


def demo_plan(
    *, movies: int | None = None, size_px: int | None = 2048, movies_per_hour: float = 120.0, offline: bool = False
) -> Plan:
    """Return the plan of the demo: a Falcon under EPU that appends, a K2 under SerialEM that copies in bulk.

    movies: of each instrument. offline: do not try to fetch the real micrographs.
    """
    falcon = InstrumentPlan(
        name="krios1-falcon",
        program="epu",
        format="mrc",
        specimen="phantom" if offline else "falcon",
        size_px=size_px,
        movies=movies,
        movies_per_hour=movies_per_hour,
        arrival="append",
        pixel_size_angstrom=0.6666,
        bad_every=5,
        seed=11,
    )
    k2 = InstrumentPlan(
        name="krios1-k2",
        program="serialem",
        format="tiff",
        specimen="phantom" if offline else "k2",
        size_px=size_px,
        movies=movies,
        movies_per_hour=movies_per_hour,
        arrival="bulk",
        bulk_movies=2,
        pixel_size_angstrom=0.8538,
        exposure_seconds=8.0,
        bad_every=5,
        faults=("empty", "drift", "ice", "astigmatism"),
        seed=12,
    )
    return Plan(instruments=(falcon, k2))
