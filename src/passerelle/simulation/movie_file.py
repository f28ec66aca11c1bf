"""Write the frames of a movie in the formats of cameras."""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from passerelle.core.atomic import atomic_write
from passerelle.core.errors import BadInput
from passerelle.formats import write_dm, write_eer_movie, write_mrc, write_mrc_stack, write_tiff_movie
from passerelle.simulation.electrons import Events
from passerelle.simulation.shot import Shot

_HEADER_BYTES = 1024
_MODE_FOUR_BIT = 101
_FOUR_BITS = 15


def movie_writer(kind: str, shot: Shot, frames: NDArray[Any] | Events) -> Callable[[Path], object]:
    """Return a function that writes an exposure's frames (t, y, x), or events, as `kind` to the path that it is given.

    "mrc": 8-bit frames as mode 0, 16-bit ones as mode 6, counts up to 15 packed (mode 101, as SerialEM does). "tiff": LZW. "dm4":
    with the tags of DigitalMicrograph. "eer": events.
    """
    pixel = shot.specimen.pixel_size_angstrom
    if isinstance(frames, Events):
        return lambda path: _write_eer(path, shot, frames)
    if kind == "tiff":
        return lambda path: write_tiff_movie(path, frames, pixel)
    if kind == "dm4":
        return lambda path: write_dm(path, frames, pixel, tags=_dm_tags(shot))
    if kind == "mrc" and shot.camera.ceiling == _FOUR_BITS:
        return lambda path: _write_four_bit(path, frames, pixel)
    if kind == "mrc":
        return lambda path: _write_mrc(path, frames, pixel)
    raise BadInput(f"a simulated camera cannot write `{kind}`.")


def frame_writer(frame: NDArray[Any], pixel_size_angstrom: float) -> Callable[[Path], object]:
    """Return a function that writes a single frame (y, x) as MRC."""
    return lambda path: _write_mrc(path, frame[None], pixel_size_angstrom)


def gain_writer(kind: str, gain: NDArray[np.float32], pixel_size_angstrom: float) -> Callable[[Path], object]:
    """Return a function that writes a gain (y, x), corrected = raw × gain, for a camera of movies of `kind`.

    EER cameras write a `.gain`: a TIFF whose rows lie as in the movie; DigitalMicrograph writes DM4; others MRC.
    """
    if kind == "eer":
        return lambda path: tifffile.imwrite(path, gain, metadata=None)
    if kind == "dm4":
        return lambda path: write_dm(path, gain, pixel_size_angstrom)
    return lambda path: write_mrc(path, gain, pixel_size_angstrom)


def _write_mrc(path: Path, frames: NDArray[Any], pixel_size_angstrom: float) -> None:
    if frames.dtype == np.uint8:  # mode 0 is signed: a Falcon's 8-bit frames never count beyond 127
        write_mrc_stack(path, frames.view(np.int8), pixel_size_angstrom, "int8")
    else:
        write_mrc_stack(path, frames, pixel_size_angstrom, "uint16")


def _write_eer(path: Path, shot: Shot, events: Events) -> None:
    write_eer_movie(
        path,
        (events.places(frame) for frame in range(events.frames)),
        events.height,
        events.width,
        pixel_size_angstrom=shot.specimen.pixel_size_angstrom,
        dose_e_per_angstrom2=shot.specimen.dose_e_per_angstrom2,
        exposure_seconds=shot.camera.exposure_seconds,
        camera=shot.camera.name,
        timestamp=datetime.fromtimestamp(shot.at, UTC).isoformat(),
        frames=events.frames,
    )


def _dm_tags(shot: Shot) -> dict[str, float | str]:
    return {
        "Microscope Info.Voltage": shot.specimen.voltage_kv * 1e3,
        "Microscope Info.Cs(mm)": shot.specimen.spherical_aberration_mm,
        "Microscope Info.Indicated Magnification": 130000.0,
        "Acquisition.Device.Name": shot.camera.name,
        "Acquisition.Parameters.High Level.Exposure (s)": shot.camera.exposure_seconds,
    }


def _write_four_bit(path: Path, frames: NDArray[np.uint8], pixel_size_angstrom: float) -> None:
    """Pack the first pixel of a pair into the low half of its byte, as IMOD reads mode 101."""
    count, height, width = frames.shape
    header = bytearray(_HEADER_BYTES)
    struct.pack_into("<4i", header, 0, width, height, count, _MODE_FOUR_BIT)
    struct.pack_into("<3i", header, 28, width, height, count)
    struct.pack_into("<6f", header, 40, *(pixel_size_angstrom * n for n in (width, height, count)), 90, 90, 90)
    struct.pack_into("<3i", header, 64, 1, 2, 3)
    struct.pack_into("<3f", header, 76, 0, 15, float(frames[0].mean()))
    struct.pack_into("<i", header, 108, 20140)
    header[208:216] = b"MAP \x44\x44\x00\x00"
    with atomic_write(path) as stream:
        stream.write(header)
        for frame in frames:
            even = frame if width % 2 == 0 else np.pad(frame, ((0, 0), (0, 1)))
            stream.write(np.ascontiguousarray(even[:, ::2] | (even[:, 1::2] << 4)).data)
