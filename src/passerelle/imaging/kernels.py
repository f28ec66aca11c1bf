"""What motion correction is written over: a few operations on raw frames and Fourier modes, which every device brings its own of.

The algorithms (motion*.py, correct.py) are written once and hold only small arrays: shifts, slopes, curvatures, weights. What is
as large as a movie is held by a device and seen only through these protocols. There are two: numba + scipy.fft on processors
(kernels_numba.py), torch on a graphics card (torch_kernels.py); `devices.py` chooses. They agree within 0.02 px in motion and
1e-3 of the contrast in the image (tests/agreement/test_torch_agreement.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from passerelle.imaging import fft
from passerelle.imaging.combine import Pictures
from passerelle.imaging.dose import DoseFactors
from passerelle.imaging.frames import FrameStatistics, Shaped
from passerelle.imaging.motion_modes import Match, ModeGrid

Pair = tuple[NDArray[np.float64], NDArray[np.float64]]


class Held(Shaped, Protocol):
    """Frames or pictures (t, y, x) where a device keeps them: an array of numpy is one, on a card it is another."""


class CoarseFrames(Protocol):
    """All frames at low resolution, whitened; shape: of their pictures; step_px: size of a pixel in those of the movie along y
    and x; weight: what the modes were weighted with (y, x // 2 + 1)."""

    @property
    def shape(self) -> fft.Shape: ...
    @property
    def step_px(self) -> tuple[float, float]: ...
    @property
    def weight(self) -> NDArray[np.float32]: ...

    def pair_peaks(self, first: NDArray[np.intp], second: NDArray[np.intp], echo: NDArray[np.complex64], reach_px: float) -> Pair:
        """Correlate frames `first` with frames `second` (n,), less the `echo`; return the highest place within ± reach_px
        (n, 2), pixels of the movie, and its height in standard deviations (n,)."""
        ...

    def sum_peaks(
        self, frames: NDArray[np.intp], places_px: NDArray[np.float64], echo: NDArray[np.complex64], reach_px: float
    ) -> Pair:
        """Correlate each of `frames` (n,) with the sum of the others, all moved back by places_px (n, 2); return as
        pair_peaks."""
        ...


class Modes(Protocol):
    """The whitened Fourier modes of p patches of t frames, all on one grid."""

    @property
    def grid(self) -> ModeGrid: ...

    def match(
        self, shifts_px: NDArray[np.float64], bfactor_angstrom2: float, reliability: NDArray[np.float32] | None
    ) -> list[Match]:
        """Correlate every frame of each patch with the sum of its others, moved back by shifts_px (p, t, 2)."""
        ...

    def power(self, shifts_px: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return for each mode (m,) the power that the frames have in common at shifts_px (p, t, 2), the patches' mean."""
        ...


@dataclass(frozen=True, slots=True)
class Shifts:
    """The motion as `accumulate` applies it: tiles of tile (rows, columns) pixels, each moved by a whole number of pixels and a
    fraction in steps of the kernel table, both (2, t, tiles y, tiles x)."""

    tile: tuple[int, int]
    whole: NDArray[np.int32]
    fraction: NDArray[np.int32]


class Kernels(Protocol):
    """The operations of one device."""

    def hold(self, frames: NDArray[Any] | Held) -> Held:
        """Take raw frames (t, y, x) to the device, as the bytes they were written in; what it holds already stays.

        Raises:
            BadInput: not a stack of real frames.
        """
        ...

    def statistics(self, frames: Held) -> FrameStatistics:
        """Measure raw frames, as `frame_statistics` does."""
        ...

    def reduce(self, frames: Held, *, gain: NDArray[np.float32] | None, defects: NDArray[np.bool_] | None, binning: int) -> Held:
        """Return gain-corrected frames reduced by `binning`, as `reduce_frames` does."""
        ...

    def halve(self, binned: Held) -> Held:
        """Reduce binned frames (t, y, x) by two more."""
        ...

    def chess_board(
        self, mean: NDArray[np.float32], gain: NDArray[np.float32] | None, defects: NDArray[np.bool_] | None
    ) -> tuple[float, int]:
        """Measure the detail of the mean frame (y, x) near Nyquist, as `motion_pattern.chess_board` does."""
        ...

    def drift_modes(
        self,
        binned: Held,
        usable: NDArray[np.bool_],
        grid: ModeGrid,
        window: NDArray[np.float32],
        coarse: fft.Shape,
        binning: int,
    ) -> tuple[Modes, CoarseFrames]:
        """Transform whole binned frames; return their modes as one patch, and the low frequencies as pictures of shape
        `coarse`."""
        ...

    def patch_modes(
        self,
        binned: Held,
        corners: NDArray[np.intp],
        usable: NDArray[np.bool_],
        grid: ModeGrid,
        window: NDArray[np.float32],
    ) -> Modes:
        """Cut patches, as large as the window, at corners (p, t, 2) of the binned frames, and transform them."""
        ...

    def accumulate(
        self,
        frames: Held,
        *,
        gain: NDArray[np.float32] | None,
        defects: NDArray[np.bool_] | None,
        shifts: Shifts,
        factors: NDArray[np.float32],
        padded: fft.Shape,
    ) -> Held:
        """Return sums (s, *padded) of the frames moved back by `shifts`, with weights factors (t, s); 0 in the margin."""
        ...

    def combine(
        self,
        sums: Held,
        histogram: NDArray[np.float64],
        shape: fft.Shape,
        dose: DoseFactors | None,
        half_sums: bool,
        bin_factor: int,
    ) -> Pictures:
        """Undo the interpolation's damping in Fourier space and weight by dose; return pictures (unweighted, weighted, even,
        odd), as `combine_sums` does. The sums are used up."""
        ...
