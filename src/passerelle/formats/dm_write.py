"""Write images and stacks as DM3 or DM4, with the tags that DigitalMicrograph writes for a K2: for simulated sessions and
tests.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from passerelle.core.atomic import atomic_write
from passerelle.core.errors import BadInput

_DATA_TYPES = {"int16": 1, "float32": 2, "uint8": 6, "int32": 7, "int8": 9, "uint16": 10}
_ELEMENTS = {"int16": 2, "float32": 6, "uint8": 10, "int32": 3, "int8": 9, "uint16": 4}

Tree = dict[str, Any]


def write_dm(
    path: Path,
    image: NDArray[Any],
    pixel_size_angstrom: float,
    *,
    version: Literal[3, 4] = 4,
    tags: Mapping[str, float | str] | None = None,
) -> None:
    """Write an image (y, x) or stack (t, y, x) as a DM file; `tags`: path below ImageTags -> value (`"Microscope Info.Voltage":
    3e5`).

    Raises:
        BadInput: pixels of a type that DM does not know.
        OutOfSpace, StorageError: nothing of this name has changed.
    """
    if image.dtype.name not in _DATA_TYPES or image.ndim not in (2, 3):
        raise BadInput(f"DigitalMicrograph files hold no {image.ndim}-dimensional {image.dtype}.", path=path)
    tree = _tree(image, pixel_size_angstrom, tags or {})
    word = ">Q" if version == 4 else ">I"
    body = _Encoder(word, version == 4).group(tree)
    with atomic_write(path) as stream:
        stream.write(struct.pack(">I", version) + struct.pack(word, len(body) + 8) + struct.pack(">I", 1))
        for part in body.parts:
            stream.write(part)
        stream.write(bytes(8))


def _tree(image: NDArray[Any], pixel_size_angstrom: float, tags: Mapping[str, float | str]) -> Tree:
    height, width = image.shape[-2:]
    axes = [width, height, *image.shape[:-2]]
    calibration = [{"Label": "", "Origin": np.float32(0), "Scale": np.float32(pixel_size_angstrom / 10), "Units": "nm"}] * 2
    calibration += [{"Label": "", "Origin": np.float32(0), "Scale": np.float32(1), "Units": ""}] * (len(axes) - 2)
    thumbnail = np.zeros((8, 8), np.uint32)
    return {
        "DocumentObjectList": {},
        "ImageList": [
            {
                "ImageData": _image_data(thumbnail.view(np.int32), [8, 8], calibration[:2], data_type=23),
                "ImageTags": {},
                "Name": "Thumbnail",
            },
            {"ImageData": _image_data(image, axes, calibration), "ImageTags": _nested(tags), "Name": "movie"},
        ],
        "InImageMode": np.int32(1),
    }


def _image_data(image: NDArray[Any], axes: list[int], calibration: list[Tree], data_type: int | None = None) -> Tree:
    return {
        "Calibrations": {"Dimension": calibration},
        "Data": image,
        "DataType": np.int32(data_type or _DATA_TYPES[image.dtype.name]),
        "Dimensions": [np.uint32(side) for side in axes],
        "PixelDepth": np.int32(image.dtype.itemsize),
    }


def _nested(tags: Mapping[str, float | str]) -> Tree:
    tree: Tree = {}
    for path, value in tags.items():
        *groups, last = path.split(".")
        place = tree
        for group in groups:
            place = place.setdefault(group, {})
        place[last] = value if isinstance(value, str) else np.float64(value)
    return tree


class _Parts:
    """Bytes in pieces, so that pixels are not copied together."""

    def __init__(self, *parts: bytes | memoryview) -> None:
        self.parts = list(parts)

    def __len__(self) -> int:
        return sum(len(part) if isinstance(part, bytes) else part.nbytes for part in self.parts)

    def add(self, other: _Parts) -> None:
        self.parts.extend(other.parts)


class _Encoder:
    def __init__(self, word: str, four: bool) -> None:
        self._word = word
        self._four = four

    def group(self, tree: Tree | list[Any]) -> _Parts:
        items = list(tree.items()) if isinstance(tree, dict) else [("", value) for value in tree]
        parts = _Parts(b"\1\0" + struct.pack(self._word, len(items)))
        for label, value in items:
            name = label.encode("latin-1")
            is_group = isinstance(value, dict | list)
            content = self.group(cast("Tree | list[Any]", value)) if is_group else self._data(value)
            head = struct.pack(">BH", 20 if is_group else 21, len(name)) + name
            parts.add(_Parts(head + struct.pack(">Q", len(content)) if self._four else head))
            parts.add(content)
        return parts

    def _data(self, value: Any) -> _Parts:
        if isinstance(value, str):
            text = value.encode("utf-16-le")
            return self._described([20, 4, len(text) // 2], text)
        if isinstance(value, np.ndarray):
            return self._pixels(cast("NDArray[Any]", value))
        codes = {"int32": 3, "uint32": 5, "float32": 6, "float64": 7}
        return self._described([codes[value.dtype.name]], value.tobytes())

    def _pixels(self, image: NDArray[Any]) -> _Parts:
        pixels = np.ascontiguousarray(image, image.dtype.newbyteorder("<")).reshape(-1)
        return self._described([20, _ELEMENTS[image.dtype.name], image.size], pixels.view(np.uint8).data)

    def _described(self, info: list[int], content: bytes | memoryview) -> _Parts:
        count = struct.pack(self._word, len(info))
        return _Parts(b"%%%%" + count + struct.pack(f">{len(info)}{self._word[1]}", *info), content)
