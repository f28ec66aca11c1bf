"""Defective pixels of a camera: SerialEM's text, MotionCor's text, a map in an image file, or the list in a `.gain`; True is
defective.

SerialEM's coordinates count rows from the top of the picture; a map here counts them from the bottom, as frames do (IMOD turns
the list over in the same place: `clip`, `alignframes`). Sources: the defect lists that SerialEM writes beside K2 and K3 frames,
IMOD's CorDefParseDefects.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from passerelle.core.errors import BadFile
from passerelle.formats.defects_fei import read_fei_defects
from passerelle.formats.opening import ensure_size, read_image
from passerelle.formats.source import Source

_MAX_TEXT = 8 << 20
_TEXT_SUFFIXES = {".txt", ".defects", ".lst"}
# keywords that say nothing about which pixels are bad
_SETTINGS = {
    "RotationAndFlip", "WasScaled", "K2Type", "FalconType", "NumToAvgSuperRes", "UsableArea",
    "CorrectionScale", "CorrectionOffset",
}  # fmt: skip
_SCALES = (1, 2, 4)


def read_defects(path: Path, height: int, width: int) -> NDArray[np.bool_]:
    """Read a defect list or map for frames of `height` × `width`; True where a pixel is defective.

    Raises:
        BadFile: a map of another size, or a list for a camera of another size (both sizes are named), or no defect list at all.
    """
    if path.suffix.lower() in _TEXT_SUFFIXES:
        return _read_text(path, height, width)
    if path.suffix.lower() == ".gain":
        return read_fei_defects(path, height, width)
    bad = read_image(path) != 0
    for factor in _SCALES[1:]:  # frames in super resolution have finer pixels than the camera's map
        if (bad.shape[0] * factor, bad.shape[1] * factor) == (height, width):
            bad = bad.repeat(factor, axis=0).repeat(factor, axis=1)
    ensure_size(path, "defect map", bad.shape, height, width)
    return bad


def _read_text(path: Path, height: int, width: int) -> NDArray[np.bool_]:
    source = Source(path)
    try:
        if source.size > _MAX_TEXT:
            raise BadFile(f"is a text of {source.size:,} bytes; no defect list is that long.", path=path)
        text = source.read(0, source.size).decode("utf-8", "replace")
    finally:
        source.close()
    lines = [line for line in (raw.split("#")[0].split() for raw in text.splitlines()) if line]
    if lines and all(len(line) == 4 and all(map(_is_integer, line)) for line in lines):
        return _boxes(path, [[int(word) for word in line] for line in lines], height, width)
    return _SerialEmList(path, lines).paint(height, width)


def _boxes(path: Path, boxes: list[list[int]], height: int, width: int) -> NDArray[np.bool_]:
    """MotionCor's list: x y width height a line, in the coordinates of the frames."""
    bad = np.zeros((height, width), np.bool_)
    for x, y, w, h in boxes:
        if min(x, y, w, h) < 0 or x + w > width or y + h > height:
            raise BadFile(f"lists a box at ({x}, {y}) of {w} × {h} pixels, outside of the movie's {width} × {height}.", path=path)
        bad[y : y + h, x : x + w] = True
    return bad


def _is_integer(word: str) -> bool:
    return word.lstrip("-").isdecimal() and word.isascii() and len(word) < 10


class _SerialEmList:
    """A SerialEM defect list: boxes (y, y_end, x, x_end) on a camera of camera_y × camera_x pixels, rows from the top."""

    def __init__(self, path: Path, lines: list[list[str]]) -> None:
        self._path = path
        self._lines = lines
        self._camera_x = self._camera_y = 0
        known = False
        for line in lines:
            if line[0] in ("CameraSizeX", "CameraSizeY"):
                size = self._integers(line, 1)[0]
                if line[0] == "CameraSizeX":
                    self._camera_x = size
                else:
                    self._camera_y = size
            known = known or line[0] in _PAINTERS or line[0] in _SETTINGS or line[0].startswith("CameraSize")
        if not known:
            raise BadFile("is no defect list: neither SerialEM's keywords nor lines of `x y width height`.", path=path)

    def _integers(self, line: list[str], at_least: int) -> list[int]:
        if len(line) - 1 < at_least or not all(map(_is_integer, line[1:])):
            raise BadFile(f"is a defect list with a line that makes no sense: {' '.join(line)[:80]!r}.", path=self._path)
        return [int(word) for word in line[1:]]

    def paint(self, height: int, width: int) -> NDArray[np.bool_]:
        camera_y, camera_x = self._camera_y or height, self._camera_x or width
        bad = np.zeros((height, width), np.bool_)
        scale_up, scale_down = self._scale(height, width, camera_y, camera_x)
        for y, y_end, x, x_end in self._boxes(camera_y, camera_x):
            if not (0 <= y < y_end <= camera_y and 0 <= x < x_end <= camera_x):
                raise BadFile(
                    f"lists a defect at x {x} … {x_end - 1}, y {y} … {y_end - 1}, outside of its camera of "
                    f"{camera_x} × {camera_y} pixels.",
                    path=self._path,
                )
            top, bottom = y * scale_up // scale_down, -(-y_end * scale_up // scale_down)
            left, right = x * scale_up // scale_down, -(-x_end * scale_up // scale_down)
            bad[height - min(bottom, height) : height - top, left : min(right, width)] = True
        return bad

    def _scale(self, height: int, width: int, camera_y: int, camera_x: int) -> tuple[int, int]:
        """Super-resolution frames have twice the pixels that the list counts in; binned ones, fewer."""
        for scale in _SCALES:
            if (camera_y * scale, camera_x * scale) == (height, width):
                return scale, 1
            if (camera_y // scale, camera_x // scale) == (height, width):
                return 1, scale
        raise BadFile(
            f"is a defect list for a camera of {camera_x} × {camera_y} pixels, but the movie has {width} × {height}.",
            advice="Choose the list of this camera.",
            path=self._path,
        )

    def _boxes(self, camera_y: int, camera_x: int) -> Iterator[tuple[int, int, int, int]]:
        for line in self._lines:
            painter = _PAINTERS.get(line[0])
            if painter is None:
                continue
            numbers = self._integers(line, painter[0])
            step = painter[0]
            for start in range(0, len(numbers) - step + 1, step):
                group = numbers[start : start + step]
                if line[0] in ("BadColumns", "BadColumn"):
                    yield 0, camera_y, group[0], group[0] + 1
                elif line[0] in ("BadRows", "BadRow"):
                    yield group[0], group[0] + 1, 0, camera_x
                elif line[0] == "PartialBadColumn":  # column, width, first and last row
                    yield group[2], group[3] + 1, group[0], group[0] + group[1]
                elif line[0] == "PartialBadRow":
                    yield group[0], group[0] + group[1], group[2], group[3] + 1
                else:
                    yield group[1], group[1] + 1, group[0], group[0] + 1


# keyword -> numbers of one defect
_PAINTERS = {
    "BadColumns": (1,), "BadColumn": (1,), "BadRows": (1,), "BadRow": (1,), "BadPixels": (2,), "BadPixel": (2,),
    "PartialBadColumn": (4,), "PartialBadRow": (4,),
}  # fmt: skip
