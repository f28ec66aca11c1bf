"""From an open file to a small picture: what `formats` sees in it, drawn by `imaging`. Runs in a process of its own."""

from __future__ import annotations

import io
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from passerelle.core.errors import BadFile
from passerelle.formats.look import Drawing, Look, look
from passerelle.formats.pck_decode import unpack
from passerelle.formats.source import Source
from passerelle.imaging.preview import coloured, diffraction, grey, shrink, side_by_side, strongest

LONGEST_PX = 512
_SPENT_SECONDS = 0.7  # of CPU: then what has been read is drawn


@dataclass(frozen=True, slots=True)
class Drawn:
    """A picture of at most LONGEST_PX pixels a side, as PNG or JPEG, whichever suits what is shown."""

    kind: str
    facts: Mapping[str, float | str]
    picture: bytes


def draw(source: Source) -> Drawn:
    """Draw what a file shows.

    Raises:
        BadFile: corrupt. UnsupportedFile: nothing that is shown, or too large. IncompleteFile: it may still be written.
    """
    with np.errstate(all="ignore"):  # damaged pixels may be any number
        seen = look(source)
        pixels, facts = _DRAWERS[seen.drawing](seen)
    return Drawn(seen.kind, {**seen.facts, **facts}, _encoded(pixels, without_loss=seen.drawing is Drawing.DIFFRACTION))


_Drawing = tuple[NDArray[np.uint8], dict[str, float | str]]


def _sum(seen: Look) -> _Drawing:
    planes = _Planes(seen, lambda pixels: shrink(pixels, LONGEST_PX))
    shown = next(iter(planes.of.values()))
    total = np.sum(np.stack(shown), axis=0)
    return grey(total), ({"frames_shown": len(shown)} if len(shown) > 1 else {})


def _slices(seen: Look) -> _Drawing:
    planes = _Planes(seen, lambda pixels: shrink(pixels, (LONGEST_PX - 4) // 2))
    return side_by_side(next(iter(planes.of.values()))), {"shown": "middle sections across z, y and x, and the sum along z"}


def _channels(seen: Look) -> _Drawing:
    planes = _Planes(seen, lambda pixels: shrink(pixels, LONGEST_PX))
    numbers = sorted(planes.of)
    brightest = [np.max(np.stack(planes.of[number]), axis=0) for number in numbers]
    depths = max(len(shown) for shown in planes.of.values())
    facts: dict[str, float | str] = {"shown": f"the brightest of {depths} depths"} if depths > 1 else {}
    if len(numbers) == 1:
        return grey(brightest[0], 1.0, 99.8), facts
    return coloured(brightest, [seen.channels[number].colour for number in numbers]), facts


def _diffraction(seen: Look) -> _Drawing:
    planes = _Planes(seen, lambda pixels: strongest(pixels, LONGEST_PX))
    return diffraction(next(iter(planes.of.values()))[0]), {}


def _colours(seen: Look) -> _Drawing:
    pixels = next(seen.planes()).pixels
    if max(pixels.shape[:2]) > LONGEST_PX:
        factor = -(-max(pixels.shape[:2]) // 2048)
        picture = Image.fromarray(np.ascontiguousarray(pixels[::factor, ::factor]))
        picture.thumbnail((LONGEST_PX, LONGEST_PX), Image.Resampling.BOX)
        pixels = np.asarray(picture)
    return pixels, {}


_DRAWERS: dict[Drawing, Callable[[Look], _Drawing]] = {
    Drawing.SUM: _sum,
    Drawing.SLICES: _slices,
    Drawing.CHANNELS: _channels,
    Drawing.DIFFRACTION: _diffraction,
    Drawing.COLOURS: _colours,
}


class _Planes:
    """The planes of a look, made small as they come, by channel; those that differ in size from the first are left out."""

    def __init__(self, seen: Look, small: Callable[[NDArray[Any]], NDArray[np.float32]]) -> None:
        self.of: dict[int, list[NDArray[np.float32]]] = {}
        start, size = time.process_time(), None
        for count, plane in enumerate(seen.planes(), 1):
            if plane.pixels.ndim == 2 and min(plane.pixels.shape) > 0:
                pixels = small(plane.pixels)
                size = size or pixels.shape
                if seen.drawing is Drawing.SLICES or pixels.shape == size:
                    self.of.setdefault(plane.channel, []).append(pixels)
            if count >= seen.least and time.process_time() - start > _SPENT_SECONDS:
                break
        if not self.of:
            raise BadFile("holds no image that can be shown.")


def _encoded(pixels: NDArray[np.uint8], *, without_loss: bool) -> bytes:
    stream = io.BytesIO()
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    if without_loss:
        picture.save(stream, "PNG")
    else:
        picture.save(stream, "JPEG", quality=82)
    return stream.getvalue()


def rehearse() -> None:
    """Draw a small EER and a small LZW movie, and unpack as for a mar345, so that no preview has to wait for compilers."""
    from passerelle.processing.rehearsal import KINDS

    unpack(np.frombuffer(bytes(64), np.uint8), 8, 8)
    with tempfile.TemporaryDirectory(prefix="passerelle-") as folder:
        for name in ("uint8.tiff", "events.eer"):
            path = Path(folder) / name
            KINDS[name](path)
            source = Source(path)
            try:
                draw(source)
            finally:
                source.close()
