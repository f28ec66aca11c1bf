"""Which page of a light microscope's TIFF file is which: channels, depths, times, as OME-XML or ImageJ say it.

OME-TIFF: Linkert et al. 2010, doi:10.1083/jcb.201004104, schema 2016-06. Only the first image is looked at, of its first time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from passerelle.formats.look import Channel

_MOST_CHANNELS = 16
_MOST = 1 << 20
_MICROMETRES = {"µm": 1.0, "um": 1.0, "micron": 1.0, "microns": 1.0, "\\u00b5m": 1.0, "nm": 1e-3, "mm": 1e3, "å": 1e-4}
# told apart by most people with any colour vision, in this order; a single channel is grey
_PALETTE = ((0, 255, 0), (255, 0, 255), (0, 200, 255), (255, 220, 0), (255, 60, 60), (90, 110, 255))
_WHITE = (255, 255, 255)


@dataclass(frozen=True, slots=True)
class Stack:
    """The order of pages. strides: from a channel, and from a depth, to the next, in pages."""

    kind: str
    channels: tuple[Channel, ...]
    depths: int
    channel_stride: int
    depth_stride: int
    facts: Mapping[str, float | str]

    def page(self, channel: int, depth: int) -> int:
        """Return the number of the page that holds this channel and depth, at the first time."""
        return channel * self.channel_stride + depth * self.depth_stride


def plain_stack(kind: str) -> Stack:
    """Return the order where nothing is said: the first page alone."""
    return Stack(kind, (Channel("", _WHITE),), 1, 1, 1, {})


def ome_stack(xml: str) -> Stack | None:
    """Return what OME-XML says of its first image; None where it makes no sense."""
    try:
        root = fromstring(xml.encode("utf-8", "replace"), forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError):
        return None
    pixels = next((each for each in root.iter() if _tag(each) == "Pixels"), None)
    if pixels is None:
        return None
    size = {axis: _count(pixels.get(f"Size{axis}")) for axis in "CZT"}
    # the axes after X and Y, the fastest first
    order = [axis for axis in pixels.get("DimensionOrder", "XYCZT")[2:] if axis in size]
    strides: dict[str, int] = {}
    stride = 1
    said = [each for each in pixels if _tag(each) == "Channel"]
    samples = _count(said[0].get("SamplesPerPixel")) if said else 1
    size["C"] = max(1, size["C"] // samples)  # the samples of a colour lie in one page
    for axis in order or ["C", "Z", "T"]:
        strides[axis] = stride
        stride *= size[axis]
    channels = _channels(said, size["C"])
    facts: dict[str, float | str] = {}
    facts |= _counts(size["C"], size["Z"], size["T"])
    for axis, name in (("X", "pixel_size_um"), ("Z", "depth_step_um")):
        length = _micrometres(pixels.get(f"PhysicalSize{axis}"), pixels.get(f"PhysicalSize{axis}Unit", "µm"))
        if length is not None and (axis == "X" or size["Z"] > 1):
            facts[name] = length
    names = ", ".join(each.name for each in channels if each.name)
    if names:
        facts["channel_names"] = names[:200]
    return Stack("OME-TIFF", channels, size["Z"], strides.get("C", 1), strides.get("Z", 1), facts)


def imagej_stack(description: str) -> Stack | None:
    """Return what ImageJ wrote: lines of name=value. Its pages run over channels, then depths, then times."""
    values = dict(line.split("=", 1) for line in description.splitlines() if "=" in line)
    count, depths, times = (_count(values.get(name)) for name in ("channels", "slices", "frames"))
    facts: dict[str, float | str] = {}
    facts |= _counts(count, depths, times)
    step = _micrometres(values.get("spacing"), values.get("unit", ""))
    if step is not None and depths > 1:
        facts["depth_step_um"] = step
    channels = _coloured([""] * min(count, _MOST_CHANNELS))
    return Stack("ImageJ TIFF", channels, depths, 1, count, facts)


def _counts(channels: int, depths: int, times: int) -> dict[str, float | str]:
    said = {"channels": channels, "depths": depths, "times": times}
    return {name: count for name, count in said.items() if count > 1}


def _channels(said: list[Element], count: int) -> tuple[Channel, ...]:
    count = min(count, _MOST_CHANNELS)
    names = [said[index].get("Name", "")[:60] if index < len(said) else "" for index in range(count)]
    own = [_colour(said[index].get("Color")) if index < len(said) else None for index in range(count)]
    if count > 1 and all(own) and len(set(own)) == count:
        return tuple(Channel(name, colour) for name, colour in zip(names, own, strict=True) if colour)
    return _coloured(names)


def _coloured(names: list[str]) -> tuple[Channel, ...]:
    if len(names) == 1:
        return (Channel(names[0], _WHITE),)
    return tuple(Channel(name, _PALETTE[index % len(_PALETTE)]) for index, name in enumerate(names))


def _colour(text: str | None) -> tuple[int, int, int] | None:
    """Return OME's colour, a signed 32-bit integer of red, green, blue, alpha; None for black and where there is none."""
    try:
        number = int(text or "0") & 0xFFFFFFFF
    except ValueError:
        return None
    colour = (number >> 24, number >> 16 & 255, number >> 8 & 255)
    return colour if max(colour) > 60 else None


def _count(text: str | None) -> int:
    try:
        return min(max(int(text or "1"), 1), _MOST)
    except ValueError:
        return 1


def _micrometres(text: str | None, unit: str) -> float | None:
    factor = _MICROMETRES.get(unit.strip().lower())
    try:
        length = float(text or "nan") * (factor or math.nan)
    except ValueError:
        return None
    return round(length, 6) if 1e-5 < length < 1e5 else None


def _tag(element: Element) -> str:
    return element.tag.rpartition("}")[2]
