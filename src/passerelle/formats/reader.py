"""What every reader of movies promises, and the table of readers.

Frames are (y, x) arrays in the orientation of MRC: row 0 is the bottom of the picture (docs/decisions/0004).
Formats whose row 0 is the top (TIFF) are turned over by their reader, so that a gain reference in MRC and a movie in TIFF agree.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class MovieHeader:
    """What a movie file says of itself before any frame is decoded.

    frames, height, width: as a reader yields them, after EER fractions or upsampling. dtype: of a yielded frame.
    pixel_size_angstrom: of the yielded pixels, None where the file does not say. values: what else the file says of the exposure,
    by the field names of `acquisition.metadata.Metadata`.
    """

    format: str
    frames: int
    height: int
    width: int
    dtype: np.dtype[Any]
    pixel_size_angstrom: float | None = None
    values: dict[str, float | str] | None = None


class MovieReader(Protocol):
    """An open movie. Opening reads the header only and checks that the file is whole.

    A reader holds one file descriptor and at most the memory of one decoded frame a thread.
    """

    path: Path
    header: MovieHeader

    def frame(self, index: int) -> NDArray[Any]:
        """Decode frame `index` (0 … frames - 1) as a (y, x) array of `header.dtype`.

        Raises:
            BadFile: this frame is corrupt; other frames may still be read.
        """
        ...

    def __iter__(self) -> Iterator[NDArray[Any]]:
        """Yield the frames in order, one at a time."""
        ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...
