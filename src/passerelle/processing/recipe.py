"""The frozen parameters of the on-the-fly processing, one group a step. What a step depends on is its fingerprint."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from passerelle.core.config import Section


class GainRecipe(Section):
    orientation: str = Field(
        default="as_written",
        description="Turn the gain before use: as_written, rotate_90/180/270, flip_x, flip_y, transpose or antitranspose.",
    )
    check_movies: int = Field(
        default=3,
        ge=0,
        description="Rank the 8 orientations on this many first movies of a session; a better one raises an alert.",
    )
    mode: Literal["multiply", "divide"] = Field(
        default="multiply",
        description="multiply: corrected = raw × gain (Gatan, SerialEM); divide: raw ÷ gain (EER with MRC or TIFF).",
    )


class MotionRecipe(Section):
    program: Literal["passerelle", "relion", "motioncor2", "motioncor3"] = Field(
        default="passerelle",
        description="What corrects the motion and makes the micrographs; where a program lies is set in [programs].",
    )
    patches_y: int = Field(
        default=5, ge=1, le=32, description="Patches along y for the local motion; 1 × 1 fits the global drift only."
    )
    patches_x: int = Field(default=5, ge=1, le=32, description="Patches along x for the local motion.")
    bfactor_angstrom2: float = Field(default=150.0, ge=0, description="Weight exp(-B s²/4) on the correlations, Å².")
    max_drift_px: float = Field(
        default=60.0,
        gt=0,
        description="The largest drift between any two frames that the search covers, in pixels of the camera.",
    )
    first_frame: int = Field(default=0, ge=0, description="First frame used, counted from 0.")
    last_frame: int | None = Field(default=None, description="Last frame used; none: to the end.", examples=[39])
    eer_dose_per_fraction: float = Field(
        default=1.0, gt=0, description="EER only: group raw frames so that a fraction carries this dose, e/Å²."
    )
    eer_upsampling: Literal[1, 2, 4] = Field(default=1, description="EER only: 1 renders at 4k, 2 at 8k, 4 at 16k.")
    bin_factor: int | None = Field(
        default=None,
        ge=1,
        le=8,
        description="Crop micrographs by this factor in Fourier space (RELION --bin_factor, MotionCor2 -FtBin); none: back to "
        "the camera's own pixels, which is 2 for super resolution and for EER rendered at 8k, and 1 for other movies.",
        examples=[1],
    )


class DoseRecipe(Section):
    weighted: bool = Field(default=True, description="Also write the dose-weighted sum (Grant & Grigorieff 2015).")
    half_sums: bool = Field(default=True, description="Also write the sums of even and odd frames.")
    pre_exposure_e_per_angstrom2: float = Field(default=0.0, ge=0, description="Dose before the first frame.")
    output: Literal["float32", "float16"] = Field(default="float32", description="Number format of written micrographs.")


class CtfRecipe(Section):
    program: Literal["passerelle", "ctffind4", "ctffind5"] = Field(
        default="passerelle", description="What fits the CTF; where a program lies is set in [programs]."
    )
    box_px: int = Field(default=512, ge=128, le=2048, description="Side of the power spectrum, pixels.")
    resolution_low_angstrom: float = Field(default=30.0, gt=0, description="Lowest resolution in the fit.")
    resolution_high_angstrom: float = Field(
        default=4.0, gt=0, description="Highest resolution in the fit; never beyond what the pixels allow."
    )
    defocus_min_angstrom: float = Field(default=2000.0, gt=0, description="Search from this defocus.")
    defocus_max_angstrom: float = Field(default=60000.0, gt=0, description="Search to this defocus.")
    phase_shift: bool = Field(default=False, description="Fit an additional phase shift (phase plate).")
    amplitude_contrast: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="Amplitude contrast where no source says otherwise (0.07 is common for counted data).",
    )


class PictureRecipe(Section):
    low_pass_angstrom: float = Field(
        default=8.0, ge=0, description="Pictures show no detail finer than this, Å; 0: all. Micrographs stay as they are."
    )
    thumbnail_px: int = Field(default=512, ge=64, le=2048, description="Longest side of thumbnails.")
    zoom_px: int = Field(default=2048, ge=512, le=8192, description="Longest side of the zoomable micrograph.")


class Threshold(Section):
    """Outside of [warn_min, warn_max] a micrograph is marked; outside of [reject_min, reject_max] it is rejected."""

    warn_min: float | None = Field(default=None, description="Marked below this.")
    warn_max: float | None = Field(default=None, description="Marked above this.")
    reject_min: float | None = Field(default=None, description="Rejected below this.")
    reject_max: float | None = Field(default=None, description="Rejected above this.")


class Recipe(Section):
    """All parameters of one movie's processing."""

    gain: GainRecipe = GainRecipe()
    motion: MotionRecipe = MotionRecipe()
    dose: DoseRecipe = DoseRecipe()
    ctf: CtfRecipe = CtfRecipe()
    pictures: PictureRecipe = PictureRecipe()
