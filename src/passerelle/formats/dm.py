"""Movies, images and gain references in DM3 and DM4 files (Gatan DigitalMicrograph).

Rows are yielded in the order of the file, as IMOD's dm2mrc and MotionCor2 do (docs/decisions/0004).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerelle.core.errors import BadFile, IncompleteFile, UnsupportedFile
from passerelle.core.units import ANGSTROM_PER_MICROMETRE, ANGSTROM_PER_NANOMETRE, KILOVOLT_PER_VOLT
from passerelle.formats.dm_tags import ArrayPlace, Value, read_tags
from passerelle.formats.movie import OpenMovie
from passerelle.formats.reader import MovieHeader
from passerelle.formats.source import Source

_DTYPES = {1: "i2", 2: "f4", 6: "u1", 7: "i4", 9: "i1", 10: "u2", 11: "u4", 12: "f8", 14: "u1"}
_THUMBNAIL = 23  # red, green, blue, alpha
_MAX_SIDE = 1 << 17
_UNITS = {"nm": ANGSTROM_PER_NANOMETRE, "µm": ANGSTROM_PER_MICROMETRE, "um": ANGSTROM_PER_MICROMETRE, "Å": 1.0, "A": 1.0}

_TAGS = ".ImageTags."
# end of the path -> name in Metadata, factor, believed from … to
_NUMBERS = {
    "Microscope Info.Voltage": ("voltage_kv", KILOVOLT_PER_VOLT, 10.0, 2000.0),
    "Microscope Info.Cs(mm)": ("spherical_aberration_mm", 1.0, 0.001, 20.0),
    "Microscope Info.Indicated Magnification": ("magnification", 1.0, 1.0, 1e8),
    "Microscope Info.Stage Position.Stage X": ("stage_x_um", 1.0, -5000.0, 5000.0),
    "Microscope Info.Stage Position.Stage Y": ("stage_y_um", 1.0, -5000.0, 5000.0),
    "Microscope Info.Stage Position.Stage Z": ("stage_z_um", 1.0, -5000.0, 5000.0),
    "Microscope Info.Stage Position.Stage Alpha": ("tilt_deg", 1.0, -90.0, 90.0),
    "Acquisition.Parameters.High Level.Exposure (s)": ("exposure_seconds", 1.0, 1e-4, 1e5),
    "DataBar.Exposure Time (s)": ("exposure_seconds", 1.0, 1e-4, 1e5),
}
_TEXTS = {"Acquisition.Device.Name": "camera", "Microscope Info.Name": "microscope"}
_PICTURE = (
    ".ImageData.Data",
    ".ImageData.DataType",
    ".ImageData.Dimensions.0",
    ".ImageData.Dimensions.1",
    ".ImageData.Dimensions.2",
)
_SCALE = (".ImageData.Calibrations.Dimension.0.Scale", ".ImageData.Calibrations.Dimension.0.Units")


def _wanted(path: str) -> bool:
    if not path.startswith("ImageList."):
        return False
    number, _, rest = path.removeprefix("ImageList.").partition(".")
    if not number.isdecimal():
        return False
    rest = "." + rest
    if rest in _PICTURE or rest in _SCALE:
        return True
    tag = rest.removeprefix(_TAGS)
    return tag != rest and (tag in _NUMBERS or tag in _TEXTS)


class DmReader(OpenMovie):
    """The largest image of a DM3 or DM4 file; its third dimension is time. 32-bit integers are yielded as 32-bit floats."""

    def __init__(self, source: Source) -> None:
        """Read the tags.

        Raises:
            IncompleteFile: tags or pixels lead out of the file.
            BadFile: corrupt, or without an image.
            UnsupportedFile: complex or colour pixels only.
        """
        tags = read_tags(source, _wanted)
        numbers = sorted({path.split(".")[1] for path in tags}, key=int)
        pictures = [picture for number in numbers if (picture := self._picture(source, tags, f"ImageList.{number}"))]
        if not pictures:
            raise UnsupportedFile("holds no image that can be read: only tags, colours or complex numbers.", path=source.path)
        self._at, self._stored, shape, prefix = max(pictures, key=lambda picture: math.prod(picture[2]) * picture[1].itemsize)
        frames, height, width = shape
        if frames == 0:
            raise IncompleteFile("holds no frame: its header says 0.", advice="It may still be written.", path=source.path)
        yielded = np.dtype(np.float32) if self._stored.itemsize > 2 else self._stored.newbyteorder("=")
        values = _values(tags, prefix)
        size = values.get("pixel_size_angstrom")
        header = MovieHeader("DM", frames, height, width, yielded, None if size is None else float(size), values)
        super().__init__(source, header)

    def _picture(
        self, source: Source, tags: dict[str, Value], prefix: str
    ) -> tuple[int, np.dtype[Any], tuple[int, int, int], str] | None:
        """Return place, dtype in the file, (frames, height, width) of an image; None if it is a thumbnail or of another kind."""
        data, kind = tags.get(prefix + ".ImageData.Data"), tags.get(prefix + ".ImageData.DataType")
        if not isinstance(data, ArrayPlace) or not isinstance(kind, int) or kind not in _DTYPES:
            return None
        sides = [tags.get(f"{prefix}.ImageData.Dimensions.{axis}", 1) for axis in range(3)]
        width, height, frames = (side if isinstance(side, int) else -1 for side in sides)
        if not (0 < width <= _MAX_SIDE and 0 < height <= _MAX_SIDE and 0 <= frames < 1 << 31):
            raise BadFile(f"claims {width} × {height} pixels and {frames} frames, which cannot be.", path=source.path)
        dtype = np.dtype(_DTYPES[kind]).newbyteorder("<")
        if data.count * data.element_bytes < frames * height * width * dtype.itemsize:
            raise BadFile(
                f"holds {data.count * data.element_bytes:,} bytes of pixels, but claims {frames} frames of {width} × {height}.",
                path=source.path,
            )
        return data.at, dtype, (frames, height, width), prefix

    def _decode(self, index: int, target: NDArray[Any]) -> None:
        at = self._at + index * target.size * self._stored.itemsize
        if target.dtype == self._stored:
            self._source.read_into(at, target)
            return
        stored = np.empty(target.shape, self._stored)
        self._source.read_into(at, stored)
        target[:] = stored


def _values(tags: dict[str, Value], prefix: str) -> dict[str, float | str]:
    """Return what the tags of one image say, by the names of `acquisition.metadata.Metadata`."""
    values: dict[str, float | str] = {"program": "DigitalMicrograph"}
    for tag, (name, factor, lowest, highest) in _NUMBERS.items():
        value = tags.get(prefix + _TAGS + tag)
        if isinstance(value, int | float) and math.isfinite(value) and lowest <= value * factor <= highest:
            values.setdefault(name, float(value) * factor)
    for tag, name in _TEXTS.items():
        text = tags.get(prefix + _TAGS + tag)
        if isinstance(text, str) and text.strip():
            values[name] = text.strip()[:100]
    scale, units = tags.get(prefix + _SCALE[0]), tags.get(prefix + _SCALE[1])
    if isinstance(scale, int | float) and isinstance(units, str):
        size = float(scale) * _UNITS.get(units.strip("\0 ").replace("\u03bc", "µ"), math.nan)
        if 0.01 < size < 1e5:
            values["pixel_size_angstrom"] = round(size, 6)
    return values
