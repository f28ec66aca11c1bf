"""Look at diffraction images: ADSC and EDF, which are a text and plain numbers; CBF and Bruker through fabio.

fabio (Knudsen et al. 2013, doi:10.1107/S0021889813000150) is an extra: `passerelle[diffraction]`. It is never given a path: some
of its formats name other files, which would be opened with the service's rights. HDF5 (`look_hdf5`) and mar345 (`look_mar345`)
are read without it: its decoder of mar345 writes beyond its memory on damaged files (fabio 2026.6).
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from passerelle.core.errors import BadFile, UnsupportedFile
from passerelle.formats.bounded import FAULTS, BoundedFile
from passerelle.formats.look import Drawing, Look, Plane, require_pixels
from passerelle.formats.look_detector import detector_facts, keyed_facts
from passerelle.formats.source import Source

_HEADER_BYTES = 64 << 10
_BYTE_OFFSET = "x-CBF_BYTE_OFFSET"  # the compression of Dectris detectors, a byte a pixel at least
# How a file begins, what it is, and fabio's class for it.
_FABIO: tuple[tuple[bytes, str, str, str], ...] = (
    (b"###CBF: VERSION", "CBF image", "cbfimage", "CbfImage"),
    (b"FORMAT :100", "Bruker image", "bruker100image", "Bruker100Image"),
    (b"FORMAT :86", "Bruker image", "brukerimage", "BrukerImage"),
    (b"FORMAT :        86", "Bruker image", "brukerimage", "BrukerImage"),
)
_TEXT_STARTS = (b"{", b"\n{", b"\r\n{", b"\r{")
_EDF_TYPES = {
    "signedbyte": "i1", "unsignedbyte": "u1", "signedshort": "i2", "unsignedshort": "u2", "signedinteger": "i4",
    "unsignedinteger": "u4", "signedlong": "i4", "unsignedlong": "u4", "signed64": "i8", "unsigned64": "u8",
    "floatvalue": "f4", "float": "f4", "real": "f4", "doublevalue": "f8", "double": "f8",
}  # fmt: skip


def is_diffraction(head: bytes) -> bool:
    """Say whether a file begins as a diffraction image does."""
    if head.startswith(tuple(row[0] for row in _FABIO)):
        return True
    return head.startswith(_TEXT_STARTS) and b"=" in head[:512] and b";" in head[:1024]


def look_diffraction(source: Source) -> Look:
    """Look at a diffraction image.

    Raises:
        BadFile: corrupt. UnsupportedFile: too large, of a kind that is not shown, or fabio is not installed.
    """
    head = source.read(0, min(source.size, 64))
    for start, kind, module, name in _FABIO:
        if head.startswith(start):
            return _through_fabio(source, kind, module, name)
    return _text_and_numbers(source)


def _text_and_numbers(source: Source) -> Look:
    """ADSC (SMV) and EDF: `{ NAME = value; … }`, filled up with blanks, then the pixels."""
    head = source.read(0, min(source.size, _HEADER_BYTES))
    text, end, _ = head.partition(b"}")
    if not end:
        raise BadFile("has a header without an end.", path=source.path)
    lines = text.decode("latin-1").partition("{")[2].split(";")
    values = {key.strip(): value.strip() for key, sign, value in (line.partition("=") for line in lines) if sign}
    upper = {key.upper(): value for key, value in values.items()}
    if any(key.startswith("EDF_BINARYFILE") for key in upper):
        raise UnsupportedFile("keeps its pixels in another file, which is not opened.", path=source.path)
    if upper.get("COMPRESSION", "none").lower() not in ("none", "nocompression", ""):
        raise UnsupportedFile(f"is compressed by {upper['COMPRESSION'][:40]}.", path=source.path)
    adsc = "SIZE1" in upper
    try:
        width, height = int(upper["SIZE1" if adsc else "DIM_1"]), int(upper["SIZE2" if adsc else "DIM_2"])
        named = upper.get("TYPE" if adsc else "DATATYPE", "unsigned_short").lower().replace("_", "")
        low_first = upper.get("BYTE_ORDER" if adsc else "BYTEORDER", "little_endian").lower()
        dtype = np.dtype(_EDF_TYPES[named]).newbyteorder("<" if low_first.startswith(("little", "low")) else ">")
        after = len(text) + 1
        at = int(upper["HEADER_BYTES"]) if adsc else after + (1 if head[after : after + 1] == b"\n" else 2)
    except (KeyError, ValueError) as error:
        raise BadFile(f"does not say how its pixels lie: {error} is missing or makes no sense.", path=source.path) from error
    require_pixels(source, "an image", width, height)
    source.require(at, width * height * dtype.itemsize)
    facts: dict[str, float | str] = {"width_px": width, "height_px": height, "pixels_are": str(dtype.newbyteorder("="))}

    def planes() -> Iterator[Plane]:
        pixels = np.frombuffer(source.read(at, width * height * dtype.itemsize), dtype)
        yield Plane(pixels.reshape(height, width))

    return Look("ADSC image" if adsc else "EDF image", Drawing.DIFFRACTION, facts | keyed_facts(values), planes)


def _through_fabio(source: Source, kind: str, module: str, name: str) -> Look:
    try:
        reader: Any = getattr(importlib.import_module(f"fabio.{module}"), name)
    except ImportError as error:
        raise UnsupportedFile(
            f"is a {kind}; what reads it is not installed.", advice="Install passerelle[diffraction].", path=source.path
        ) from error
    try:
        header = reader()
        header._readheader(_Stream(source))  # sizes first: `read` would make room for whatever they say
        height, width = header.shape
        facts: dict[str, float | str] = {"width_px": int(width), "height_px": int(height)}
        values = {str(key): str(value) for key, value in header.header.items()}
    except FAULTS as error:
        raise BadFile(f"is no {kind} that can be read: {error}.", path=source.path) from error
    require_pixels(source, "an image", int(width), int(height))
    if name == "CbfImage" and values.get("conversions") != _BYTE_OFFSET:  # fabio's words for it are a bare Exception
        raise UnsupportedFile(f"is compressed by {values.get('conversions', 'nothing that it names')[:40]}.", path=source.path)
    facts |= detector_facts(values.get("_array_data.header_contents", "")) or keyed_facts(values)

    def planes() -> Iterator[Plane]:
        try:
            pixels = np.asarray(reader().read(_Stream(source)).data)
        except FAULTS as error:
            raise BadFile(f"is corrupt: {error}.", path=source.path) from error
        if pixels.ndim != 2 or pixels.dtype.kind not in "uif":
            raise BadFile("is corrupt: what it holds is no image.", path=source.path)
        yield Plane(pixels)

    return Look(kind, Drawing.DIFFRACTION, facts, planes)


class _Stream(BoundedFile):
    """fabio takes for a file what can be read and written."""

    def write(self, content: object, /) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        raise OSError("files of others are only read")
