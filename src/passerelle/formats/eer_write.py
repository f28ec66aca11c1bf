"""Write electron events as an EER movie, as Falcon 4 does: for simulated sessions and tests."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray

from passerelle.core.atomic import atomic_write
from passerelle.core.errors import BadInput
from passerelle.core.units import ANGSTROM_PER_METRE
from passerelle.formats import tiff_assemble as kinds
from passerelle.formats import tiff_pages as tags
from passerelle.formats.tiff_assemble import Tag, TiffAssembly

_CODINGS = {65000: (8, 2, True), 65001: (7, 2, False), 65002: (7, 1, False)}  # run bits, place bits of an axis, waste


def write_eer_movie(
    path: Path,
    raw_frames: Iterable[NDArray[Any]],
    height: int,
    width: int,
    *,
    pixel_size_angstrom: float | None = None,
    dose_e_per_angstrom2: float | None = None,
    exposure_seconds: float | None = None,
    camera: str = "Falcon 4i",
    timestamp: str | None = None,
    frames: int | None = None,
    compression: Literal[65000, 65001, 65002] = 65001,
) -> int:
    """Write events as an EER movie and return how many were written.

    raw_frames: for each raw frame an (n, 2) array of places (y, x) in detector pixels, row 0 first in the file; events outside
    are dropped, and of several in one pixel one is kept, as in the camera. compression: 65001 (7 + 2 + 2 bits), 65002 (7 + 1 +
    1 bits, 4k cameras of 2023 on) or the prototype 65000 (8 + 2 + 2 bits). frames: their number for the metadata, where it is
    known before.

    Raises:
        BadInput: no frames.
        OutOfSpace, StorageError: nothing of this name has changed.
    """
    items: dict[str, tuple[str, str | None]] = {"commercialName": (camera, None)}
    if frames is not None:
        items["numberOfFrames"] = (str(frames), None)
    if exposure_seconds is not None:
        items["exposureTime"] = (repr(exposure_seconds), "s")
    if pixel_size_angstrom is not None:
        metres = repr(pixel_size_angstrom / ANGSTROM_PER_METRE)
        items["sensorPixelSize.height"] = items["sensorPixelSize.width"] = (metres, "m")
        if dose_e_per_angstrom2 is not None:
            items["totalDose"] = (repr(dose_e_per_angstrom2 * pixel_size_angstrom**2), "e/pixel")
    if timestamp is not None:
        items["timestamp"] = (timestamp, None)
    total = 0
    with atomic_write(path) as stream:
        assembly = TiffAssembly(stream, big=True)
        index = -1
        for index, places in enumerate(raw_frames):
            strip, events = encode_events(places, height, width, compression)
            total += events
            entries = _entries(height, width, compression)
            frame_items: dict[str, tuple[str, str | None]] = {"frameID": (str(index), None)}
            entries.append((tags.EER_FRAME, kinds.UNDEFINED, _xml(frame_items)))
            if index == 0:
                entries.append((tags.EER_ACQUISITION, kinds.UNDEFINED, _xml(items)))
            assembly.add_page([strip], entries)
        if index < 0:
            raise BadInput("a movie of no frames was to be written.", path=path)
    return total


def encode_events(places: NDArray[Any], height: int, width: int, compression: int = 65001) -> tuple[bytes, int]:
    """Return the code of one raw frame and the number of events in it; `places` as in `write_eer_movie`."""
    from passerelle.formats.eer_codec import encode  # here: numba is heavy, and most programs only read

    run_bits, axis_bits, waste = _CODINGS[compression]
    grid = 1 << axis_bits
    fine = np.floor(np.asarray(places, np.float64).reshape(-1, 2) * grid).astype(np.int64)
    y, x = fine[:, 0], fine[:, 1]
    inside = (y >= 0) & (y < height * grid) & (x >= 0) & (x < width * grid)
    y, x = y[inside], x[inside]
    pixels, first = np.unique((y >> axis_bits) * width + (x >> axis_bits), return_index=True)
    flip = grid >> 1
    x_bits = (x[first] & (grid - 1)) ^ flip
    y_bits = (y[first] & (grid - 1)) ^ flip
    step = run_bits + 2 * axis_bits
    full = (1 << run_bits) - 1
    target = np.zeros((pixels.size + 1 + height * width // full) * step // 8 + 16, np.uint8)
    bits = (x_bits | y_bits << axis_bits).astype(np.uint8)
    used = encode(pixels, bits, height * width, run_bits, 2 * axis_bits, waste, target)
    used += 2  # decoders read ahead
    return target[: used + used % 2].tobytes(), pixels.size


def _entries(height: int, width: int, compression: int) -> list[Tag]:
    entries: list[Tag] = [
        (tags.WIDTH, kinds.LONG, [width]),
        (tags.HEIGHT, kinds.LONG, [height]),
        (tags.BITS, kinds.SHORT, [1]),
        (tags.COMPRESSION, kinds.SHORT, [compression]),
        (tags.PHOTOMETRIC, kinds.SHORT, [1]),
        (tags.SAMPLES, kinds.SHORT, [1]),
        (tags.ROWS_PER_STRIP, kinds.LONG, [height]),
    ]
    if compression == 65002:
        run_bits, axis_bits, _ = _CODINGS[compression]
        entries += [
            (tags.EER_RUN_BITS, kinds.SHORT, [run_bits]),
            (tags.EER_X_BITS, kinds.SHORT, [axis_bits]),
            (tags.EER_Y_BITS, kinds.SHORT, [axis_bits]),
        ]
    return entries


def _xml(items: dict[str, tuple[str, str | None]]) -> bytes:
    lines = [
        f'<item name="{name}"{f" unit={chr(34)}{unit}{chr(34)}" if unit else ""}>{escape(value)}</item>'
        for name, (value, unit) in items.items()
    ]
    return ("<metadata>" + "".join(lines) + "</metadata>").encode()
