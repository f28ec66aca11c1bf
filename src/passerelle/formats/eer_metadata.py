"""What an EER file says of its exposure: XML in tag 65001, as Falcon 4 and 4i write it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from passerelle.core.units import ANGSTROM_PER_METRE
from passerelle.formats.tiff_pages import EER_ACQUISITION, Page, TiffFile

_LIMIT = 1 << 16  # real ones take 3 KB


def eer_values(tiff: TiffFile, pages: Sequence[Page]) -> dict[str, float | str]:
    """Return what the first two pages say, by the names of `acquisition.metadata.Metadata`; nothing where the XML is hostile or
    broken.

    The pixel size is that of the detector's pixels on the specimen.
    """
    for page in pages[:2]:
        content = tiff.content(page, EER_ACQUISITION, _LIMIT)
        if content and content.lstrip().startswith(b"<"):
            return _values(_items(content))
    return {}


def _items(content: bytes) -> dict[str, str]:
    try:
        root = fromstring(content.rstrip(b"\0 \r\n"), forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError):  # LookupError: an encoding that does not exist
        return {}
    return {item.get("name", ""): (item.text or "").strip() for item in root.iter("item")}


def _values(items: dict[str, str]) -> dict[str, float | str]:
    values: dict[str, float | str] = {}
    camera = items.get("commercialName") or items.get("cameraName")
    if camera:
        values["camera"] = camera[:100]
    if (seconds := _number(items, "exposureTime", 1e-4, 1e5)) is not None:
        values["exposure_seconds"] = seconds
    metres = _number(items, "sensorPixelSize.width", 1e-12, 1e-8)  # larger ones are the pitch of the chip, not of the specimen
    if metres is not None:
        values["pixel_size_angstrom"] = metres * ANGSTROM_PER_METRE
        per_pixel = _number(items, "totalDose", 1e-4, 1e5)
        if per_pixel is not None:
            values["dose_e_per_angstrom2"] = per_pixel / (metres * ANGSTROM_PER_METRE) ** 2
    try:
        moment = datetime.fromisoformat(items.get("timestamp", ""))
        if moment.tzinfo is not None:
            values["acquired_at"] = moment.timestamp()
    except (ValueError, OverflowError):
        pass
    return values


def _number(items: dict[str, str], name: str, lowest: float, highest: float) -> float | None:
    try:
        value = float(items.get(name, ""))
    except ValueError:
        return None
    return value if math.isfinite(value) and lowest <= value <= highest else None
