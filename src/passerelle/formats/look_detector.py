"""What headers of diffraction detectors say, by the names of the house: Dectris (Pilatus, Eiger), marCCD, mar345, ADSC, EDF."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Mapping, Sequence

from passerelle.formats.source import Source

_METRES_TO_MM, _METRES_TO_UM = 1e3, 1e6
# "# Pixel_size 172e-6 m x 172e-6 m": the header that Dectris detectors write into CBF and TIFF files (PILATUS_1.2)
_DECTRIS: dict[str, tuple[str, float]] = {
    "Pixel_size": ("pixel_size_um", _METRES_TO_UM),
    "Wavelength": ("wavelength_angstrom", 1.0),
    "Detector_distance": ("distance_mm", _METRES_TO_MM),
    "Exposure_time": ("exposure_seconds", 1.0),
    "Angle_increment": ("oscillation_deg", 1.0),
}
_LINE = re.compile(r"^#\s*([A-Z][A-Za-z_]+)[:=]?\s+([-+0-9.eE]+)", re.MULTILINE)
_NAME = re.compile(r"^#\s*Detector:\s*([^\r\n]{1,80})", re.MULTILINE)
_PLAUSIBLE: dict[str, tuple[float, float]] = {
    "pixel_size_um": (1, 5000),
    "wavelength_angstrom": (0.01, 20),
    "distance_mm": (1, 1e5),
    "exposure_seconds": (1e-6, 1e6),
    "oscillation_deg": (-360, 360),
}
# name in the header -> ours, and what turns it into our unit
_KEYS: dict[str, tuple[str, Callable[[float], float]]] = {
    "PIXEL_SIZE": ("pixel_size_um", lambda mm: mm * 1e3),
    "WAVELENGTH": ("wavelength_angstrom", lambda angstrom: angstrom),
    "DISTANCE": ("distance_mm", lambda mm: mm),
    "TIME": ("exposure_seconds", lambda seconds: seconds),
    "OSC_RANGE": ("oscillation_deg", lambda degrees: degrees),
    "PSIZE_1": ("pixel_size_um", lambda metres: metres * _METRES_TO_UM),
    "SAMPLEDISTANCE": ("distance_mm", lambda metres: metres * _METRES_TO_MM),
    "WAVELENGTH_M": ("wavelength_angstrom", lambda metres: metres * 1e10),
    "EXPOSURETIME": ("exposure_seconds", lambda seconds: seconds),
}
# place in files of NeXus -> ours, and the factor from its unit: metres, seconds, Å
_NEXUS: dict[str, tuple[str, float]] = {
    "entry/instrument/detector/x_pixel_size": ("pixel_size_um", _METRES_TO_UM),
    "entry/instrument/detector/detector_distance": ("distance_mm", _METRES_TO_MM),
    "entry/instrument/detector/count_time": ("exposure_seconds", 1.0),
    "entry/instrument/beam/incident_wavelength": ("wavelength_angstrom", 1.0),
}


def detector_facts(text: str) -> dict[str, float | str]:
    """Return what a Dectris header says; nothing where the text is none."""
    if not _NAME.search(text):
        return {}
    name = _NAME.search(text)
    facts: dict[str, float | str] = {"detector": name.group(1).strip()} if name else {}
    for key, value in _LINE.findall(text[:65536]):
        if key in _DECTRIS:
            ours, factor = _DECTRIS[key]
            _keep(facts, ours, value, lambda number, factor=factor: number * factor)
    return facts


def keyed_facts(values: Mapping[str, str]) -> dict[str, float | str]:
    """Return what a header of ADSC or EDF says. Its names may be in any case."""
    facts: dict[str, float | str] = {}
    upper = {key.upper(): value for key, value in values.items()}
    if "PSIZE_1" in upper and "WAVELENGTH" in upper:  # EDF counts in metres
        upper["WAVELENGTH_M"] = upper.pop("WAVELENGTH")
    for key, (ours, turn) in _KEYS.items():
        if key in upper:
            _keep(facts, ours, upper[key].split()[0] if upper[key].split() else "", turn)
    return facts


def marccd_facts(source: Source) -> dict[str, float | str]:
    """Return what the header of a marCCD image says (3072 bytes from byte 1024 on, Rayonix' frame_header)."""
    if source.size < 4096:
        return {}
    block = source.read(1024, 3072)
    order = {1234: "<", 4321: ">"}.get(struct.unpack_from("<I", block, 28)[0], "<")

    def number(at: int) -> float:
        return float(struct.unpack_from(order + "i", block, at)[0])

    facts: dict[str, float | str] = {"detector": "marCCD"}
    for name, at, factor in (
        ("distance_mm", 640, 1e-3),
        ("exposure_seconds", 656, 1e-3),
        ("pixel_size_um", 772, 1e-3),
        ("wavelength_angstrom", 908, 1e-5),
    ):
        _keep(facts, name, str(number(at)), lambda value, factor=factor: value * factor)
    return facts


def mar345_facts(numbers: Sequence[int]) -> dict[str, float | str]:
    """Return what the sixteen numbers at the head of a mar345 image say."""
    facts: dict[str, float | str] = {"detector": "mar345"}
    for name, value in (
        ("pixel_size_um", float(numbers[6])),
        ("wavelength_angstrom", numbers[8] * 1e-6),
        ("distance_mm", numbers[9] * 1e-3),
        ("oscillation_deg", (numbers[11] - numbers[10]) * 1e-3),
    ):
        _keep(facts, name, str(value), float)
    return facts


def nexus_facts(number: Callable[[str], float | None]) -> dict[str, float | str]:
    """Return what a NeXus file says. number: what stands at a place of it, None where nothing does."""
    facts: dict[str, float | str] = {}
    for place, (ours, factor) in _NEXUS.items():
        value = number(place)
        if value is not None:
            _keep(facts, ours, str(value), lambda each, factor=factor: each * factor)
    return facts


def _keep(facts: dict[str, float | str], name: str, text: str, turn: Callable[[float], float]) -> None:
    try:
        value = turn(float(text))
    except ValueError:
        return
    lowest, highest = _PLAUSIBLE[name]
    if math.isfinite(value) and lowest <= value <= highest:
        facts[name] = round(value, 6)
