"""The defect list that Thermo Fisher cameras keep inside their `.gain` file: XML in a private tag of the TIFF.

Elements: `<row>` and `<col>` with lists such as `3-5,9`, `<area>` x0,y0,x1,y1, `<point>` and `<nonmaskingpoint>` x,y.
Coordinates are those of the gain's own pixels, row 0 first in the file, as EER frames are yielded. Source: IMOD's
CorDefParseFeiXml.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

import numpy as np
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring
from numpy.typing import NDArray

from passerelle.core.errors import BadFile
from passerelle.formats.source import Source
from passerelle.formats.tiff_pages import TiffFile

_FIRST_PRIVATE_TAG = 65000
_LIMIT = 1 << 18
_SCALES = (1, 2, 4)


def read_fei_defects(path: Path, height: int, width: int) -> NDArray[np.bool_]:
    """Read the defects of a `.gain` file for frames of `height` × `width` (upsampled or binned by 2 or 4); True is defective.

    Raises:
        BadFile: no list inside, one that makes no sense, or one for a camera of another size.
    """
    source = Source(path)
    try:
        tiff = TiffFile(source)
        page = tiff.pages()[0]
        for tag in sorted(page.entries):
            content = tiff.content(page, tag, _LIMIT) if tag >= _FIRST_PRIVATE_TAG else None
            if content and b"<defects" in content:
                return _fitted(path, _paint(path, _parse(path, content), page.height, page.width), height, width)
    finally:
        source.close()
    raise BadFile("holds no defect list.", advice="Choose the camera's own .gain file, or a defect map.", path=path)


def _parse(path: Path, content: bytes) -> Element:
    try:
        return fromstring(content.rstrip(b"\0 \r\n"), forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise BadFile(f"holds a defect list that is not valid XML: {error}.", path=path) from error


def _paint(path: Path, root: Element, height: int, width: int) -> NDArray[np.bool_]:
    bad = np.zeros((height, width), np.bool_)
    for element in root.iter():
        text = element.text or ""
        if element.tag in ("row", "col"):
            lines = bad if element.tag == "row" else bad.T
            for first, last in _ranges(path, text):
                if last >= lines.shape[0]:
                    raise BadFile(f"lists a defective {element.tag} {last}, outside of its {width} × {height} pixels.", path=path)
                lines[first : last + 1] = True
        elif element.tag in ("area", "point", "nonmaskingpoint"):
            numbers = [first for first, _ in _ranges(path, text)]
            if len(numbers) != (4 if element.tag == "area" else 2):
                raise BadFile(f"holds a defect list with an {element.tag} of {text[:60]!r}.", path=path)
            x, y, x_last, y_last = numbers if len(numbers) == 4 else (*numbers, *numbers)
            if not (x <= x_last < width and y <= y_last < height):
                raise BadFile(f"lists a defect at {text[:60]!r}, outside of its {width} × {height} pixels.", path=path)
            bad[y : y_last + 1, x : x_last + 1] = True
    return bad


def _ranges(path: Path, text: str) -> list[tuple[int, int]]:
    """Read `3-5,9` as [(3, 5), (9, 9)]."""
    found: list[tuple[int, int]] = []
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        last = last or first
        if not all(word.isdecimal() and word.isascii() and len(word) < 7 for word in (first, last)) or int(last) < int(first):
            raise BadFile(f"holds a defect list with a number that makes no sense: {part[:60]!r}.", path=path)
        found.append((int(first), int(last)))
    return found


def _fitted(path: Path, bad: NDArray[np.bool_], height: int, width: int) -> NDArray[np.bool_]:
    for factor in _SCALES:
        if (bad.shape[0] * factor, bad.shape[1] * factor) == (height, width):
            return bad.repeat(factor, axis=0).repeat(factor, axis=1)
        if bad.shape == (height * factor, width * factor):
            return np.asarray(bad.reshape(height, factor, width, factor).any(axis=(1, 3)))
    raise BadFile(
        f"is a defect list for {bad.shape[1]} × {bad.shape[0]} pixels, but the movie has {width} × {height}.", path=path
    )
