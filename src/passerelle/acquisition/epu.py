"""EPU (Thermo Fisher): the program knows its names (epu_names) and reads the XML that it writes beside each exposure.

Versions 2.x to 3.9. EPU's lengths are metres, its angles radians, its doses electrons per square metre; its defocus is negative
for underfocus. EPU writes no spherical aberration and no gain reference into the XML. The pixel size and the area are those of
the summed picture: a movie in super resolution has finer pixels, which `reconcile` finds from the movie's own size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, tzinfo
from pathlib import PurePosixPath
from typing import ClassVar

from passerelle.acquisition import epu_names
from passerelle.acquisition.instants import iso_instant
from passerelle.acquisition.metadata import Metadata
from passerelle.acquisition.program import Place
from passerelle.acquisition.xml_reader import Element, read_xml
from passerelle.core.errors import BadFile
from passerelle.core.units import ANGSTROM_PER_METRE, KILOVOLT_PER_VOLT

_MICROMETRE_PER_METRE = 1e6
_PARTS = frozenset({"CustomData", "ReferenceTransformation", "SpatialScale", "microscopeData"})
_PER_ANGSTROM2_FROM_PER_METRE2 = ANGSTROM_PER_METRE**-2


@dataclass(frozen=True, slots=True)
class Epu:
    """EPU 1.x to 3.9. time_zone: the microscope's, for the few files that give a local time."""

    name: ClassVar[str] = "epu"
    time_zone: tzinfo = UTC

    def place(self, path: PurePosixPath) -> Place | None:
        """Say what `path` means; None where neither its name nor its folders are EPU's."""
        return epu_names.place(path)

    def read_sidecar(self, path: PurePosixPath, content: bytes) -> Metadata:
        """Read the XML of an exposure (also of a grid square, a foil hole, a tile or an atlas: they have the same form).

        Raises:
            IncompleteFile: the XML ends too early.
            BadFile: not a MicroscopeImage, hostile, or a value that is not a number.
        """
        parts = read_microscope_image(path, content)
        try:
            return self._metadata(path, parts)
        except (ValueError, OverflowError) as error:
            raise BadFile(str(error), path=path) from error

    def _metadata(self, path: PurePosixPath, parts: Element) -> Metadata:
        custom = key_values(parts.child("CustomData"))
        data = parts.child("microscopeData") or Element("microscopeData", {})
        camera = data.child("acquisition", "camera") or Element("camera", {})
        settings = key_values(camera.child("CameraSpecificInput"))
        dose = _positive(_scaled(_number(custom, "Dose"), _PER_ANGSTROM2_FROM_PER_METRE2))
        frames = _fractions(settings.get("FractionationSettings"))
        finer = _number(settings, "SuperResolutionFactor")
        return Metadata(
            voltage_kv=_positive(_scaled(data.number("gun", "AccelerationVoltage"), KILOVOLT_PER_VOLT)),
            pixel_size_angstrom=_positive(_scaled(_length(parts.child("SpatialScale", "pixelSize", "x")), ANGSTROM_PER_METRE)),
            dose_e_per_angstrom2=dose,
            dose_per_frame_e_per_angstrom2=dose / frames if dose and frames else None,
            exposure_seconds=_positive(camera.number("ExposureTime")),
            frames=frames,
            height_px=_count(camera.number("ReadoutArea", "height")),
            width_px=_count(camera.number("ReadoutArea", "width")),
            super_resolution=None if finer is None else finer > 1,
            applied_defocus_angstrom=_underfocus(_number(custom, "AppliedDefocus")),
            phase_plate=_flag(custom.get("PhasePlateUsed")),
            tilt_deg=_scaled(data.number("stage", "Position", "A"), 180.0 / math.pi),
            stage_x_um=_scaled(data.number("stage", "Position", "X"), _MICROMETRE_PER_METRE),
            stage_y_um=_scaled(data.number("stage", "Position", "Y"), _MICROMETRE_PER_METRE),
            stage_z_um=_scaled(data.number("stage", "Position", "Z"), _MICROMETRE_PER_METRE),
            beam_shift_x=data.number("optics", "BeamShift", "_x"),
            beam_shift_y=data.number("optics", "BeamShift", "_y"),
            magnification=_positive(data.number("optics", "TemMagnification", "NominalMagnification")),
            camera=_camera(custom, camera),
            microscope=data.string("instrument", "InstrumentModel") or data.string("instrument", "InstrumentID"),
            program=_program(data),
            grid_square=epu_names.grid_square_of(path),
            foil_hole=epu_names.foil_hole_of(path),
            acquired_at=iso_instant(data.string("acquisition", "acquisitionDateTime"), self.time_zone),
        )


def read_microscope_image(path: PurePosixPath, content: bytes) -> Element:
    """Read a MicroscopeImage document, the form of every XML that EPU writes beside a picture.

    Raises:
        IncompleteFile, BadFile: as `read_xml`.
    """
    image = Element("MicroscopeImage", {})
    wanted = set(_PARTS)  # each once

    def keep(tag: str, depth: int) -> bool:
        return depth == 1 and tag in wanted

    def handle(element: Element) -> None:
        wanted.discard(element.tag)
        image.children.append(element)

    read_xml(path, content, root="MicroscopeImage", keep=keep, handle=handle)
    if image.child("microscopeData") is None:
        raise BadFile("is a MicroscopeImage without microscopeData.", path=path)
    return image


def key_values(dictionary: Element | None) -> dict[str, Element]:
    """Return a serialized dictionary as key -> value element; a key that comes twice keeps its first value."""
    found: dict[str, Element] = {}
    for pair in dictionary.children if dictionary else []:
        key = pair.string("Key") or pair.string("key")
        value = pair.child("Value") or pair.child("value")
        if key and value and key not in found:
            found[key] = value
    return found


def _fractions(settings: Element | None) -> int | None:
    if settings is None:
        return None
    for element in settings.children:
        # "NumberOffractions" is EPU's own spelling
        if element.tag.lower() in {"numberoffractions", "numberofframes"}:
            return _count(element.number())
    # Falcon 3: one DoseFractionDefinition (first and last camera frame) a fraction
    listed = sum(1 for _ in settings.descendants("DoseFractionDefinition"))
    return listed or None


def _camera(custom: dict[str, Element], camera: Element) -> str | None:
    name = camera.string("Name")
    for key in ("DetectorCommercialName", f"Detectors[{name}].CommercialName"):
        if key in custom and custom[key].string():
            return custom[key].string()
    return name


def _program(data: Element) -> str | None:
    words = (data.string("core", "ApplicationSoftware"), data.string("core", "ApplicationSoftwareVersion"))
    return " ".join(word for word in words if word) or None


def _length(element: Element | None) -> float | None:
    if element is None:
        return None
    symbols = [found.text.strip() for found in element.descendants("_x003C_Symbol_x003E_k__BackingField")]
    if symbols and symbols[0] != "m":
        raise ValueError(f"pixelSize should be in m, found {symbols[0][:20]!r}.")
    return element.number("numericValue")


def _number(values: dict[str, Element], key: str) -> float | None:
    if key not in values:
        return None
    try:
        return values[key].number()
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from error


def _flag(element: Element | None) -> bool | None:
    return {"true": True, "false": False}.get(element.text.strip().lower()) if element else None


def _scaled(value: float | None, factor: float) -> float | None:
    product = math.inf if value is None else value * factor
    return product if math.isfinite(product) else None


def _positive(value: float | None) -> float | None:
    """EPU writes 0 where it does not know."""
    return value if value is not None and 0 < value < math.inf else None


def _count(value: float | None) -> int | None:
    return int(value) if value is not None and 0 < value < 1e6 and value == int(value) else None


def _underfocus(defocus_metre: float | None) -> float | None:
    negated = _scaled(defocus_metre, -ANGSTROM_PER_METRE)
    return None if negated is None else negated + 0.0  # no negative zero
