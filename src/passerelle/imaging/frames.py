"""What the raw frames of a movie are like before any correction: their mean, their noise, and which frames or pixels are
broken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from passerelle.core.errors import BadInput
from passerelle.imaging.bands import in_bands
from passerelle.imaging.kernels_bin import HUGE, sum_rows

_BROKEN_SHARE = 0.02  # a frame with more values that are not finite than this is left out as a whole


class Shaped(Protocol):
    """Frames, wherever they are kept."""

    @property
    def shape(self) -> tuple[int, ...]: ...


@dataclass(frozen=True, slots=True)
class FrameStatistics:
    """mean: (y, x) mean over frames, before gain. noise_variance: of a pixel of `mean`, from the scatter over time, averaged
    over pixels.

    frame_means: (t,) mean of each frame. blank: (t,) frames that carry nothing: no counts, or values that are not finite.
    not_finite: (y, x) pixels that hold NaN or infinity in a frame that is not blank.
    """

    mean: NDArray[np.float32]
    noise_variance: float
    frame_means: NDArray[np.float64]
    blank: NDArray[np.bool_]
    not_finite: NDArray[np.bool_]


def require_frames(frames: NDArray[Any]) -> None:
    """Refuse what is not a stack of real frames (t, y, x).

    Raises:
        BadInput: wrong dimensions, no frames, or a dtype that is not a real number.
    """
    if frames.ndim != 3 or min(frames.shape) < 1:
        raise BadInput(f"A movie must be frames × rows × columns, none of them zero; this one is {frames.shape}.")
    if frames.dtype.kind not in "uif":
        raise BadInput(f"A movie must hold real numbers; this one holds {frames.dtype}.")


def native(frames: NDArray[Any]) -> NDArray[Any]:
    """Return frames in the byte order of this machine and a dtype that the kernels take; a copy only where it must be."""
    if frames.dtype == np.float16:
        return frames.astype(np.float32)
    return np.ascontiguousarray(frames, frames.dtype.newbyteorder("="))


def require_shape(array: NDArray[Any] | None, frames: Shaped, what: str) -> None:
    """Refuse a gain or defect map of another size than the frames.

    Raises:
        BadInput: the sizes differ.
    """
    if array is not None and array.shape != frames.shape[1:]:
        raise BadInput(
            f"The {what} is {_size(array.shape)} but the movie's frames are {_size(frames.shape[1:])}.",
            advice=f"Give the {what} of this camera and mode, in the right orientation.",
        )


def _size(shape: tuple[int, ...]) -> str:
    return " × ".join(str(n) for n in reversed(shape)) + " pixels"


def frame_statistics(frames: NDArray[Any], *, threads: int = 1) -> FrameStatistics:
    """Measure raw frames (t, y, x) in one pass.

    Raises:
        BadInput: `frames` is not a stack of real frames.
    """
    require_frames(frames)
    frames = native(frames)
    count, height, width = frames.shape
    total = np.zeros((height, width), np.float32)
    broken = np.zeros((height, width), np.int32)

    def band(first: int, last: int) -> tuple[float, NDArray[np.float64], NDArray[np.int64]]:
        sums, bad = np.zeros(count), np.zeros(count, np.int64)
        squares = sum_rows(frames, total, broken, sums, bad, first, last)
        return float(squares), sums, bad

    parts = in_bands(band, height, threads)
    squares = sum(part[0] for part in parts)
    sums = np.sum([part[1] for part in parts], axis=0)
    useless, blank = judge_frames(sums, np.sum([part[2] for part in parts], axis=0), height * width)
    for t in np.flatnonzero(useless):
        broken -= ~(np.abs(frames[t]) < HUGE)
    used = max(count - int(blank.sum()), 1)
    between = float(np.einsum("yx,yx->", total, total, dtype=np.float64))
    total /= used
    variance = noise_of_mean(squares, between, used, height * width)
    return FrameStatistics(total, variance, sums / (height * width), blank, broken > 0)


def judge_frames(
    sums: NDArray[np.float64], broken: NDArray[np.int64], pixels: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which frames are useless, because too many of their values are not finite, and which are blank; both (t,).

    sums: of each frame's finite values; broken: how many are not.
    """
    useless = broken > _BROKEN_SHARE * pixels
    return useless, useless | (sums == 0)


def noise_of_mean(squares: float, between: float, used: int, pixels: int) -> float:
    """Return the noise variance of a pixel of the mean frame, from the sum of all squares, the sum over pixels of their squared
    sums, and how many frames are not blank."""
    return max(squares - between / used, 0.0) / (pixels * max(used - 1, 1)) / used
