"""What EPU and other Thermo Fisher programs say in the extended header of an MRC file (FEI1, FEI2), in the units of the house.

Source: "MRC2014 file image specifications", Thermo Fisher Scientific; places and bits checked against files of EPU 1.2 and 2.9.
A bit of a bitmask says whether a field was filled; one that was not, or whose value cannot be, is not reported. The time stamp
is left out: it is the local time of the microscope's computer, of an unknown zone.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

from passerelle.core.units import ANGSTROM_PER_METRE, KILOVOLT_PER_VOLT
from passerelle.formats.mrc_header import HEADER_BYTES, MrcHeader
from passerelle.formats.source import Source

_RECORD_BYTES = {"FEI1": 768, "FEI2": 888}
_BITMASK_AT = {1: 8, 2: 297, 3: 490}


@dataclass(frozen=True, slots=True)
class _Number:
    """A 64-bit float at byte `at`, filled where bit `bit` of bitmask `mask` is set; believed between `lowest` and `highest` ×
    unit.
    """

    at: int
    mask: int
    bit: int
    factor: float
    lowest: float
    highest: float


_NUMBERS = {
    "voltage_kv": _Number(84, 1, 5, KILOVOLT_PER_VOLT, 10, 2000),
    "dose_e_per_angstrom2": _Number(92, 1, 6, ANGSTROM_PER_METRE**-2, 1e-4, 1e4),
    "tilt_deg": _Number(100, 1, 7, 1, -90, 90),
    "stage_x_um": _Number(116, 1, 9, 1e6, -5000, 5000),
    "stage_y_um": _Number(124, 1, 10, 1e6, -5000, 5000),
    "stage_z_um": _Number(132, 1, 11, 1e6, -5000, 5000),
    "pixel_size_angstrom": _Number(156, 1, 14, ANGSTROM_PER_METRE, 1e-3, 1e5),
    # Thermo Fisher counts underfocus negative
    "applied_defocus_angstrom": _Number(236, 1, 24, -ANGSTROM_PER_METRE, -1e6, 1e6),
    "magnification": _Number(289, 1, 31, 1, 1, 1e8),
    "exposure_seconds": _Number(419, 2, 16, 1, 1e-4, 1e5),
}
_TEXTS = {"microscope": (20, 1, 1), "program": (52, 1, 3), "camera": (435, 2, 19)}  # name -> (at, mask, bit), 16 bytes each
_PHASE_PLATE = (518, 3, 6)


def fei_values(source: Source, layout: MrcHeader) -> dict[str, float | str]:
    """Return what the first record of the extended header says, by the names of `acquisition.metadata.Metadata`.

    Empty where there is no FEI record. The dose is that of the exposure only where the file holds one image.
    """
    count = _RECORD_BYTES.get(layout.extended_type)
    if count is None or layout.data_offset - HEADER_BYTES < count:
        return {}
    record = source.read(HEADER_BYTES, count)
    # EPU writes the record in the byte order of the file; the size in its first word proves it
    order = next((o for o in "<>" if struct.unpack_from(o + "i", record, 0)[0] in _RECORD_BYTES.values()), layout.byte_order)
    masks = {mask: struct.unpack_from(order + "I", record, at)[0] for mask, at in _BITMASK_AT.items()}
    values: dict[str, float | str] = {}
    for name, number in _NUMBERS.items():
        (stored,) = struct.unpack_from(order + "d", record, number.at)
        value = stored * number.factor
        if masks[number.mask] >> number.bit & 1 and math.isfinite(value) and number.lowest <= value <= number.highest:
            values[name] = value
    for name, (at, mask, bit) in _TEXTS.items():
        text = record[at : at + 16].split(b"\0")[0].decode("ascii", "replace").strip()
        if masks[mask] >> bit & 1 and text:
            values[name] = text
    at, mask, bit = _PHASE_PLATE
    if masks[mask] >> bit & 1:
        values["phase_plate"] = record[at] != 0
    if layout.frames > 1:
        values.pop("dose_e_per_angstrom2", None)
    return values
