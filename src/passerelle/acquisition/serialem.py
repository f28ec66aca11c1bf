"""SerialEM: one stack of frames a movie in a folder of the user's choice, an .mdoc beside each, references by SerialEM's names.

SerialEM's defocus is in micrometres and negative for underfocus, its stage in micrometres, its times local without a zone.
The values of a frame stack are those of the saved frames: `Binning = 0.5` is super resolution and `PixelSpacing` its pixel.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, tzinfo
from pathlib import PurePosixPath
from typing import ClassVar

from passerelle.acquisition.instants import serialem_instant
from passerelle.acquisition.mdoc import Mdoc, Section, read_mdoc
from passerelle.acquisition.metadata import Metadata
from passerelle.acquisition.naming import (
    MOVIE_SUFFIXES,
    PICTURE_SUFFIXES,
    folder_session,
    is_temporary,
    last_part,
    movie_key,
    reference_role,
)
from passerelle.acquisition.program import Place, Role
from passerelle.core.errors import BadFile
from passerelle.core.units import ANGSTROM_PER_MICROMETRE

# maps that lie beside the frames: LMM, MMM, montage, atlas …
_MAP = re.compile(
    r"(lmm|mmm|gmm|mont(age)?|atlas|full_?grid|grid_?maps?|polygons?|anchors?)([_.\- \d].*)?", re.IGNORECASE | re.ASCII
)
_OTHER_SUFFIXES = frozenset({".nav", ".log", ".txt", ".idoc", ".st", ".map", ".rawtlt", ".csv", ".xml", ".gtg"})
_CAMERA = re.compile(r"(\d+):(\S+)")


@dataclass(frozen=True, slots=True)
class SerialEm:
    """SerialEM 3.7 and newer. time_zone: the microscope's, as SerialEM writes local times."""

    name: ClassVar[str] = "serialem"
    time_zone: tzinfo = UTC

    def place(self, path: PurePosixPath) -> Place | None:
        """Say what `path` means; None where SerialEM would not write such a file."""
        session = folder_session(path)
        suffix = path.suffix.lower()
        if is_temporary(path.name):
            return Place(session, Role.OTHER)
        if suffix == ".mdoc":
            inner = path.with_suffix("") if path.stem.strip(".") else path
            movie = inner if inner.suffix.lower() in MOVIE_SUFFIXES else path
            if is_map(movie):
                return Place(session, Role.ATLAS)
            return Place(session, Role.MOVIE_METADATA, movie_key(session, movie))
        reference = reference_role(path.name)
        if reference is not None:
            return Place(session, reference)
        if suffix in MOVIE_SUFFIXES:
            if is_map(path):
                return Place(session, Role.ATLAS)
            return Place(session, Role.MOVIE, movie_key(session, path))
        if suffix in PICTURE_SUFFIXES:
            return Place(session, Role.PREVIEW, movie_key(session, path))
        return Place(session, Role.OTHER) if suffix in _OTHER_SUFFIXES else None

    def read_sidecar(self, path: PurePosixPath, content: bytes) -> Metadata:
        """Read the .mdoc of a movie.

        Where the file holds several exposures (a tilt series, a montage), the section whose frames are called like `path` is
        read; is there none, the values that all sections share.

        Raises:
            IncompleteFile: the last line is cut.
            BadFile: not an .mdoc, or a value that is not a number.
        """
        mdoc = read_mdoc(path, content)
        frame_sets = self._frame_sets(path, mdoc)
        if len(frame_sets) == 1:
            return frame_sets[0][1]
        stem = _stem(path.name)
        for name, metadata in frame_sets:
            if name is not None and _stem(last_part(name)) == stem:
                return metadata
        return _shared([metadata for _, metadata in frame_sets])

    def read_frame_sets(self, path: PurePosixPath, content: bytes) -> dict[str, Metadata]:
        """Read every exposure of an .mdoc: name of its frames' file (as SerialEM gives it, without folders) -> values.

        Raises:
            IncompleteFile, BadFile: as `read_sidecar`.
        """
        found = self._frame_sets(path, read_mdoc(path, content))
        return {last_part(name): metadata for name, metadata in found if name is not None}

    def _frame_sets(self, path: PurePosixPath, mdoc: Mdoc) -> list[tuple[str | None, Metadata]]:
        sections = [section for section in mdoc.sections if section.kind == "FrameSet"]
        # in a frame set with ZValue sections, these are pieces of the one movie
        sections = sections or [section for section in mdoc.sections if section.kind in {"ZValue", "Image"}] or [mdoc.head]
        try:
            return [(section.string("SubFramePath"), self._metadata(mdoc, section)) for section in sections]
        except (ValueError, OverflowError) as error:
            raise BadFile(str(error), path=path) from error

    def _metadata(self, mdoc: Mdoc, section: Section) -> Metadata:
        dose, dose_per_frame, frames = _doses(section)
        stage = section.numbers("StagePosition")
        # TargetDefocus is what was asked for; Defocus counts from a zero that the user sets (+2.7 in a real series at -4)
        defocus = section.number("TargetDefocus" if section.string("TargetDefocus") else "Defocus")
        title = " ".join(mdoc.titles)[:500]
        binning = section.number("Binning")
        size = section.numbers("ImageSize") or mdoc.head.numbers("ImageSize")
        return Metadata(
            voltage_kv=_positive(section.number("Voltage") or mdoc.head.number("Voltage")),
            pixel_size_angstrom=_positive(section.number("PixelSpacing") or mdoc.head.number("PixelSpacing")),
            dose_e_per_angstrom2=dose,
            dose_per_frame_e_per_angstrom2=dose_per_frame,
            exposure_seconds=_positive(section.number("ExposureTime")),
            frames=frames,
            width_px=_count(size[0]) if len(size) == 2 and not section.string("SubFramePath") else None,
            height_px=_count(size[1]) if len(size) == 2 and not section.string("SubFramePath") else None,
            super_resolution=None if binning is None else binning == 0.5,
            applied_defocus_angstrom=_underfocus(defocus),
            tilt_deg=section.number("TiltAngle"),
            stage_x_um=stage[0] if len(stage) == 2 else None,
            stage_y_um=stage[1] if len(stage) == 2 else None,
            stage_z_um=section.number("StageZ"),
            beam_shift_x=_pair(section, "ImageShift", 0),
            beam_shift_y=_pair(section, "ImageShift", 1),
            magnification=_positive(section.number("Magnification")),
            camera=_camera(title, section.number("CameraIndex")),
            microscope=_microscope(title),
            program="SerialEM",
            gain_reference=_reference(section, "GainReference"),
            defect_file=_reference(section, "DefectFile"),
            acquired_at=serialem_instant(section.string("DateTime"), self.time_zone),
        )


def is_map(path: PurePosixPath) -> bool:
    """Whether a file is called like one of SerialEM's maps and lies outside of a folder of frames, where movies lie."""
    in_frames = folder_session(path) != path.parent
    return not in_frames and path.suffix.lower() in {".mrc", ".st", ".mdoc"} and _MAP.fullmatch(path.stem) is not None


def _doses(section: Section) -> tuple[float | None, float | None, int | None]:
    """Return total dose, dose per frame and frames. FrameDosesAndNumber is pairs: dose of a frame, number of such frames."""
    pairs = section.numbers("FrameDosesAndNumber")
    if len(pairs) % 2:
        raise ValueError(f"FrameDosesAndNumber should be pairs of a dose and a number, found {len(pairs)} numbers.")
    total = _positive(section.number("ExposureDose"))  # 0: not calibrated
    frames = _count(section.number("NumSubFrames"))
    counts = pairs[1::2]
    listed = sum(counts)
    if not pairs or not 0 < listed < 1e6 or min(counts) < 0:
        return total, total / frames if total and frames else None, frames
    summed = _positive(sum(dose * count for dose, count in zip(pairs[::2], counts, strict=True)))
    if summed is None:
        return total, None, frames or int(listed)
    return total or summed, summed / listed, frames or int(listed)


def _camera(title: str, index: float | None) -> str | None:
    """`SerialEM: UMass_Krios Camera -> 0:Ceta 1:GIF-K3`: the camera of this index."""
    if index is None:
        return None
    return dict(_CAMERA.findall(title.partition("->")[2])).get(str(int(index)))


def _microscope(title: str) -> str | None:
    match = re.match(r"SerialEM:\s*(.{1,100}?)(?:\s+Camera\s*->|\s{2,}|$)", title)
    return (match[1].removeprefix("Digitized on ").strip() or None) if match else None


def _reference(section: Section, key: str) -> str | None:
    value = section.string(key)
    return last_part(value) if value else None


def _pair(section: Section, key: str, index: int) -> float | None:
    numbers = section.numbers(key)
    return numbers[index] if len(numbers) == 2 else None


def _shared(all_metadata: list[Metadata]) -> Metadata:
    """Return the values that every exposure has alike."""
    first = all_metadata[0].model_dump()
    return Metadata(
        **{
            name: value
            for name, value in first.items()
            if value is not None and all(getattr(other, name) == value for other in all_metadata[1:])
        }
    )


def _stem(name: str) -> str:
    """`x.tif.mdoc`, `x.mdoc` and `x.tif` -> `x`."""
    stem = name[: -len(".mdoc")] if name.lower().endswith(".mdoc") else name
    path = PurePosixPath(stem)
    return path.stem if path.suffix.lower() in MOVIE_SUFFIXES else stem


def _positive(value: float | None) -> float | None:
    return value if value is not None and 0 < value < math.inf else None


def _underfocus(defocus_micrometre: float | None) -> float | None:
    if defocus_micrometre is None or abs(defocus_micrometre) > 1e6:
        return None
    return 0.0 - defocus_micrometre * ANGSTROM_PER_MICROMETRE


def _count(value: float | None) -> int | None:
    return int(value) if value is not None and 0 < value < 1e6 and value == int(value) else None
