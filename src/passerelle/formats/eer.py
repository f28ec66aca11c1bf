"""Movies as electron events (EER, Thermo Fisher Falcon 4): a TIFF file whose pages are raw frames of events.

Raw frames (hundreds of an exposure) are rendered at 1, 2 or 4 times the detector's pixels, and grouped into fractions. A last
group that is not full is left out, so that all fractions carry the same dose; RELION does the same. Rows are not turned over:
RELION renders EER, and applies its `.gain`, in the order of the file (docs/decisions/0004).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerelle.core.errors import BadFile, BadInput, UnsupportedFile
from passerelle.formats import tiff_pages as tags
from passerelle.formats.eer_metadata import eer_values
from passerelle.formats.movie import OpenMovie
from passerelle.formats.reader import MovieHeader
from passerelle.formats.source import Source
from passerelle.formats.tiff_pages import Page, TiffFile

EER_COMPRESSIONS = {65000, 65001, 65002}
_PROTOTYPE, _SEVEN_BITS, _DESCRIBED = 65000, 65001, 65002
_DEFAULT_FRACTIONS = 40
_ZOOM = {1: 0, 2: 1, 4: 2}


@dataclass(frozen=True, slots=True)
class EerOptions:
    """How electron events become frames.

    upsampling: 1 renders the detector's pixels, 2 and 4 its half and quarter pixels. frames_per_fraction: raw frames summed
    into one yielded frame; where it is None, dose_per_fraction decides (e/Å², with the exposure's dose as the file says it, or
    `exposure_dose`), and where that is not known either, so many that there are at most 40 fractions.
    """

    upsampling: int = 1
    frames_per_fraction: int | None = None
    dose_per_fraction_e_per_angstrom2: float | None = None
    exposure_dose_e_per_angstrom2: float | None = None


@dataclass(frozen=True, slots=True)
class _Coding:
    """Bits of one code (eer_codec)."""

    run_bits: int
    x_bits: int
    y_bits: int
    waste: bool


class EerReader(OpenMovie):
    """An EER movie. raw_frames: in the file; raw_frames_per_frame: summed into each yielded frame."""

    def __init__(self, source: Source, tiff: TiffFile, pages: list[Page], options: EerOptions) -> None:
        """Check the pages and choose the grouping.

        Raises:
            BadInput: an upsampling or grouping that cannot be.
            BadFile: pages of different size.
            UnsupportedFile: an event coding that is not known, or too coarse for the upsampling.
        """
        self._pages = [page for page in pages if page.compression in EER_COMPRESSIONS]
        self._coding = _coding(source, tiff, self._pages[0])
        self._zoom = _zoom(source, options, self._coding)
        for index, page in enumerate(self._pages):
            if (page.width, page.height, page.compression) != (
                self._pages[0].width,
                self._pages[0].height,
                self._pages[0].compression,
            ):
                raise BadFile(f"mixes raw frames: frame {index} differs from frame 0 in size or coding.", path=source.path)
        self.raw_frames = len(self._pages)
        values = eer_values(tiff, pages)
        self.raw_frames_per_frame = group = _grouping(source, options, self.raw_frames, values.get("dose_e_per_angstrom2"))
        dose = options.exposure_dose_e_per_angstrom2 or values.get("dose_e_per_angstrom2")
        if dose:
            values["dose_per_frame_e_per_angstrom2"] = float(dose) * group / self.raw_frames
        pixel_size = values.pop("pixel_size_angstrom", None)
        if pixel_size is not None:
            pixel_size = float(pixel_size) / options.upsampling
            values["pixel_size_angstrom"] = pixel_size
        header = MovieHeader(
            format="EER",
            frames=self.raw_frames // group,
            height=self._pages[0].height << self._zoom,
            width=self._pages[0].width << self._zoom,
            # one raw frame adds at most 1 to a detector pixel
            dtype=np.dtype(np.uint8 if group <= 255 else np.uint16),
            pixel_size_angstrom=pixel_size,
            values=values,
        )
        super().__init__(source, header)

    def _decode(self, index: int, target: NDArray[Any]) -> None:
        from passerelle.formats.eer_codec import deposit  # here: numba is heavy, and the gateway reads headers only

        target[:] = 0
        coding = self._coding
        for raw in self._raw_frames_of(index):
            data = self._events(raw)
            width = self._pages[raw].width
            count = deposit(data, width, coding.run_bits, coding.x_bits, coding.y_bits, coding.waste, self._zoom, target)
            if count < 0:
                raise self._corrupt(index, raw)

    def _approve(self, index: int) -> None:
        """Before memory beyond the size of the file is taken, prove that the events fill the frame."""
        if self.header.height * self.header.width * self.header.dtype.itemsize <= self._source.size:
            return
        from passerelle.formats.eer_codec import scan

        coding = self._coding
        for raw in self._raw_frames_of(index):
            page = self._pages[raw]
            place_bits = coding.x_bits + coding.y_bits
            if scan(self._events(raw), page.width * page.height, coding.run_bits, place_bits, coding.waste) < 0:
                raise self._corrupt(index, raw)

    def _raw_frames_of(self, index: int) -> range:
        return range(index * self.raw_frames_per_frame, (index + 1) * self.raw_frames_per_frame)

    def _events(self, raw: int) -> NDArray[np.uint8]:
        page = self._pages[raw]
        parts = [self._source.read(offset, count) for offset, count in zip(page.offsets, page.counts, strict=True)]
        return np.frombuffer(parts[0] if len(parts) == 1 else b"".join(parts), np.uint8)

    def _corrupt(self, index: int, raw: int) -> BadFile:
        return BadFile(
            f"raw frame {raw} (in frame {index}) is corrupt: its events do not end at the last pixel.",
            advice="The other frames can be read.",
            path=self.path,
        )


def _coding(source: Source, tiff: TiffFile, page: Page) -> _Coding:
    if page.compression == _PROTOTYPE:
        return _Coding(8, 2, 2, waste=True)
    if page.compression == _SEVEN_BITS:
        return _Coding(7, 2, 2, waste=False)
    run = tiff.integer(page, tags.EER_RUN_BITS, 7)
    x = tiff.integer(page, tags.EER_X_BITS, 2)
    y = tiff.integer(page, tags.EER_Y_BITS, x)  # prototypes name only one
    if not (4 <= run <= 14 and 1 <= x <= 4 and 1 <= y <= 4 and run + x + y <= 16):
        raise UnsupportedFile(f"codes its events in {run} + {x} + {y} bits, which is not known.", path=source.path)
    return _Coding(run, x, y, waste=False)


def _zoom(source: Source, options: EerOptions, coding: _Coding) -> int:
    zoom = _ZOOM.get(options.upsampling)
    if zoom is None:
        raise BadInput(f"EER upsampling is 1, 2 or 4; {options.upsampling} was asked for.", path=source.path)
    if zoom > min(coding.x_bits, coding.y_bits):
        raise UnsupportedFile(
            f"places events on a grid of {1 << coding.x_bits} × {1 << coding.y_bits} a pixel, too coarse for upsampling "
            f"{options.upsampling}.",
            path=source.path,
        )
    return zoom


def _grouping(source: Source, options: EerOptions, raw_frames: int, said_dose: float | str | None) -> int:
    """Return how many raw frames make a frame, 1 … raw_frames."""
    group = options.frames_per_fraction
    if group is None:
        dose = options.exposure_dose_e_per_angstrom2 or said_dose
        wanted = options.dose_per_fraction_e_per_angstrom2
        if dose and wanted:
            group = max(1, round(wanted * raw_frames / float(dose)))
        else:
            group = -(-raw_frames // _DEFAULT_FRACTIONS)
        return min(group, raw_frames)
    if not 1 <= group <= min(raw_frames, 65535):
        raise BadInput(f"holds {raw_frames} raw frames; fractions of {group} were asked for.", path=source.path)
    return group
