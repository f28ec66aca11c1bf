"""The 1024 bytes at the head of an MRC file, read with suspicion (Cheng et al. 2015, doi:10.1016/j.jsb.2015.04.002).

Differences between programs that are met here: byte order from the machine stamp, or, where it is missing, from what makes
sense; mode 0 signed (MRC2014, RELION ≥ 3.1) or unsigned (old IMOD and SerialEM); two 4-bit pixels a byte as mode 101 or as mode
0 with a flag.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from passerelle.core.errors import BadFile, IncompleteFile, UnsupportedFile
from passerelle.formats.source import Source

HEADER_BYTES = 1024
MAX_SIDE = 1 << 17
_MAX_TRAILING = 4096  # padding after the last frame that is let pass
_IMOD_STAMP = 1146047817
_IMOD_SIGNED_BYTES, _IMOD_NIBBLES = 1, 16
_DTYPES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2", 101: "u1"}
_COMPLEX = {3: "complex 16-bit", 4: "complex 32-bit"}
_KNOWN_MODES = _DTYPES.keys() | _COMPLEX.keys()


@dataclass(frozen=True, slots=True)
class MrcHeader:
    """Layout of an MRC file. dtype: of a pixel in the file, with its byte order; nibbles: two pixels a byte.

    data_offset, frame_bytes, row_bytes: bytes. extended_type: four letters such as "FEI1", empty where there is none.
    """

    width: int
    height: int
    frames: int
    dtype: np.dtype[Any]
    nibbles: bool
    data_offset: int
    row_bytes: int
    pixel_size_angstrom: float | None
    byte_order: Literal["<", ">"]
    extended_type: str
    labels: tuple[str, ...]

    @property
    def frame_bytes(self) -> int:
        return self.row_bytes * self.height


def read_mrc_header(source: Source) -> MrcHeader:
    """Read and check the header of `source`, and that the frames it promises are all there.

    Raises:
        IncompleteFile: shorter than its header says, empty, reserved but not yet written, or longer than its header says.
        UnsupportedFile: complex numbers, or a mode that is none.
        BadFile: not MRC, or sizes that cannot be.
    """
    if source.size < HEADER_BYTES:
        raise source.ended(HEADER_BYTES)
    raw = source.read(0, HEADER_BYTES)
    if not any(raw[:220]):
        raise IncompleteFile("begins with zeros: space was reserved for it, but its header is not written yet.", path=source.path)
    order = _byte_order(raw)
    nx, ny, nz, mode = struct.unpack_from(order + "4i", raw, 0)
    if mode in _COMPLEX:
        raise UnsupportedFile(f"holds {_COMPLEX[mode]} numbers (MRC mode {mode}), which are no images.", path=source.path)
    named = raw[208:211] == b"MAP"
    if mode not in _DTYPES:
        if named:
            raise UnsupportedFile(f"has MRC mode {mode}; 0, 1, 2, 6, 12 and 101 are read.", path=source.path)
        raise BadFile("is not an MRC file: its header makes no sense in either byte order.", path=source.path)
    header = _layout(source, raw, order, nx, ny, nz, mode)
    needed = header.data_offset + header.frames * header.frame_bytes
    if not named and source.size != needed:
        raise BadFile("is not an MRC file: the word MAP is missing and its size does not fit its header.", path=source.path)
    _check_whole(source, header, needed)
    return header


def _byte_order(raw: bytes) -> Literal["<", ">"]:
    stamped: Literal["<", ">"] = ">" if raw[212] == 0x11 else "<"
    other: Literal["<", ">"] = "<" if stamped == ">" else ">"
    for order in (stamped, other):
        nx, ny, _, mode = struct.unpack_from(order + "4i", raw, 0)
        if mode in _KNOWN_MODES and 0 <= nx <= MAX_SIDE and 0 <= ny <= MAX_SIDE:
            return order
    return stamped


def _layout(source: Source, raw: bytes, order: Literal["<", ">"], nx: int, ny: int, nz: int, mode: int) -> MrcHeader:
    if not (0 < nx <= MAX_SIDE and 0 < ny <= MAX_SIDE and 0 <= nz < 1 << 31):
        raise BadFile(f"claims {nx} × {ny} pixels and {nz} frames, which cannot be.", path=source.path)
    (extended_bytes,) = struct.unpack_from(order + "i", raw, 92)
    if extended_bytes < 0:
        raise BadFile(f"claims an extended header of {extended_bytes} bytes.", path=source.path)
    kind = _DTYPES[mode]
    nibbles = mode == 101
    width = nx
    if mode == 0:
        stamp, flags = struct.unpack_from(order + "2i", raw, 152)
        flags = flags if stamp == _IMOD_STAMP else None
        if flags is not None and flags & _IMOD_NIBBLES:
            nibbles, kind, width = True, "u1", nx * 2
        else:
            kind = "i1" if _signed_bytes(raw, order, flags) else "u1"
    dtype = np.dtype(kind).newbyteorder(order)
    return MrcHeader(
        width=width,
        height=ny,
        frames=nz,
        dtype=dtype,
        nibbles=nibbles,
        data_offset=HEADER_BYTES + extended_bytes,
        row_bytes=(width + 1) // 2 if nibbles else width * dtype.itemsize,
        pixel_size_angstrom=_pixel_size(raw, order),
        byte_order=order,
        extended_type=_text(raw[104:108]) if extended_bytes else "",
        labels=_labels(raw, order),
    )


def _signed_bytes(raw: bytes, order: str, imod_flags: int | None) -> bool:
    """Say whether the bytes of mode 0 are signed: IMOD's flag, else what minimum and maximum allow, else MRC2014 (signed)."""
    if imod_flags is not None:
        return bool(imod_flags & _IMOD_SIGNED_BYTES)
    minimum, maximum = struct.unpack_from(order + "2f", raw, 76)
    if not (math.isfinite(minimum) and math.isfinite(maximum)) or minimum >= maximum:
        return True
    return minimum < 0 or maximum < 128


def _pixel_size(raw: bytes, order: str) -> float | None:
    (mx,) = struct.unpack_from(order + "i", raw, 28)
    (cell,) = struct.unpack_from(order + "f", raw, 40)
    if mx <= 0 or not math.isfinite(cell):
        return None
    # the cell is a 32-bit float: more digits than it holds would be shown as differences to other sources
    size = round(cell / mx, 6)
    return size if 0.001 < size < 1e6 else None


def _labels(raw: bytes, order: str) -> tuple[str, ...]:
    (count,) = struct.unpack_from(order + "i", raw, 220)
    return tuple(_text(raw[224 + 80 * i : 304 + 80 * i]) for i in range(min(max(count, 0), 10)))


def _text(raw: bytes) -> str:
    return raw.split(b"\0")[0].decode("ascii", "replace").strip()


def _check_whole(source: Source, header: MrcHeader, needed: int) -> None:
    if header.frames == 0:
        raise IncompleteFile(
            "holds no frame: its header says 0.", advice="It may still be written; if not, acquire it again.", path=source.path
        )
    if source.size < needed:
        present = max(0, source.size - header.data_offset) / header.frame_bytes
        raise IncompleteFile(
            f"holds {present:.1f} of the {header.frames} frames that its header promises ({source.size:,} of {needed:,} bytes).",
            advice="It may still be written; if not, it was cut short: copy it again.",
            path=source.path,
        )
    if source.size > needed + _MAX_TRAILING:
        raise IncompleteFile(
            f"is longer than its header says: {source.size:,} bytes, {needed:,} expected for {header.frames} frames.",
            advice="Frames may still be appended and the header be corrected at the end.",
            path=source.path,
        )
