"""The operations on processors: numba loops and scipy's transforms, in a few threads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from passerelle.imaging import fft
from passerelle.imaging.bands import in_bands
from passerelle.imaging.combine import Pictures, combine_sums
from passerelle.imaging.defects import plan_repairs, with_unusable
from passerelle.imaging.dose import DoseFactors
from passerelle.imaging.frames import FrameStatistics, frame_statistics, native, require_frames
from passerelle.imaging.interpolation import kernel_table
from passerelle.imaging.kernels import CoarseFrames, Held, Modes, Shifts
from passerelle.imaging.kernels_shift import shift_and_accumulate
from passerelle.imaging.motion_modes import (
    Match,
    ModeGrid,
    ModeStack,
    batches,
    gather,
    match_frames,
    mode_power,
    transform_frames,
    whiten,
)
from passerelle.imaging.motion_pattern import chess_board
from passerelle.imaging.motion_search import crop, prepare
from passerelle.imaging.reduce import reduce_frames


@dataclass(frozen=True, slots=True)
class NumbaModes:
    """See Modes. stacks: one a patch."""

    grid: ModeGrid
    stacks: list[ModeStack]
    threads: int

    def match(
        self, shifts_px: NDArray[np.float64], bfactor_angstrom2: float, reliability: NDArray[np.float32] | None
    ) -> list[Match]:
        """See Modes."""

        def band(first: int, last: int) -> list[Match]:
            return [match_frames(self.stacks[p], shifts_px[p], bfactor_angstrom2, reliability) for p in range(first, last)]

        return [match for part in in_bands(band, len(self.stacks), self.threads) for match in part]

    def power(self, shifts_px: NDArray[np.float64]) -> NDArray[np.float32]:
        """See Modes."""

        def band(first: int, last: int) -> list[NDArray[np.float32]]:
            return [mode_power(self.stacks[p], shifts_px[p]) for p in range(first, last)]

        powers = [power for part in in_bands(band, len(self.stacks), self.threads) for power in part]
        return np.asarray(np.mean(powers, axis=0), np.float32)


@dataclass(frozen=True, slots=True)
class NumbaKernels:
    """See Kernels. What is held is the array itself."""

    threads: int = 1

    def hold(self, frames: NDArray[Any] | Held) -> Held:
        """See Kernels."""
        frames = _array(frames)
        require_frames(frames)
        return native(frames)

    def statistics(self, frames: Held) -> FrameStatistics:
        """See Kernels."""
        return frame_statistics(_array(frames), threads=self.threads)

    def reduce(self, frames: Held, *, gain: NDArray[np.float32] | None, defects: NDArray[np.bool_] | None, binning: int) -> Held:
        """See Kernels."""
        return reduce_frames(_array(frames), gain=gain, defects=defects, binning=binning, threads=self.threads)

    def halve(self, binned: Held) -> Held:
        """See Kernels."""
        return reduce_frames(_array(binned), gain=None, defects=None, binning=2, threads=self.threads)

    def chess_board(
        self, mean: NDArray[np.float32], gain: NDArray[np.float32] | None, defects: NDArray[np.bool_] | None
    ) -> tuple[float, int]:
        """See Kernels."""
        return chess_board(mean, gain, defects)

    def drift_modes(
        self,
        binned: Held,
        usable: NDArray[np.bool_],
        grid: ModeGrid,
        window: NDArray[np.float32],
        coarse: fft.Shape,
        binning: int,
    ) -> tuple[Modes, CoarseFrames]:
        """See Kernels."""
        pictures = _array(binned)
        count = len(pictures)
        values = np.empty((len(grid.rows), 2, count), np.float32)
        low = np.empty((count, coarse[0], coarse[1] // 2 + 1), np.complex64)
        corners = np.zeros((count, 2), np.intp)
        for part in batches(count, grid.shape):
            spectra = transform_frames(pictures[part], corners[part], window, grid.shape, self.threads)
            spectra[~usable[part]] = 0
            low[part] = crop(spectra, grid.shape, coarse)
            gather(grid, spectra, part.start, values)
        whiten(grid, values)
        return NumbaModes(grid, [ModeStack(grid, values)], self.threads), prepare(low, coarse, grid.shape, binning)

    def patch_modes(
        self,
        binned: Held,
        corners: NDArray[np.intp],
        usable: NDArray[np.bool_],
        grid: ModeGrid,
        window: NDArray[np.float32],
    ) -> Modes:
        """See Kernels."""
        pictures = _array(binned)
        count = len(pictures)

        def band(first: int, last: int) -> list[ModeStack]:
            stacks: list[ModeStack] = []
            spectra = np.empty((count, grid.shape[0], grid.shape[1] // 2 + 1), np.complex64)
            for corner in corners[first:last]:
                for part in batches(count, grid.shape):
                    spectra[part] = transform_frames(pictures[part], corner[part], window, grid.shape, 1)
                spectra[~usable] = 0
                values = np.empty((len(grid.rows), 2, count), np.float32)
                gather(grid, spectra, 0, values)
                whiten(grid, values)
                stacks.append(ModeStack(grid, values))
            return stacks

        return NumbaModes(grid, [stack for part in in_bands(band, len(corners), self.threads) for stack in part], self.threads)

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
        """See Kernels."""
        stack = _array(frames)
        if gain is not None:
            gain = np.ascontiguousarray(gain, np.float32)
        repairs = plan_repairs(with_unusable(defects, gain), (stack.shape[1], stack.shape[2]))
        sums = np.zeros((factors.shape[1], padded[0], padded[1] + 2), np.float32)  # with room for half transforms

        def band(first: int, last: int) -> None:
            shift_and_accumulate(
                stack,
                np.zeros((0, 0), np.float32) if gain is None else gain,
                repairs.rows,
                repairs.table,
                shifts.whole[0],
                shifts.whole[1],
                shifts.fraction[0],
                shifts.fraction[1],
                kernel_table(),
                factors,
                sums,
                shifts.tile,
                first,
                last,
            )

        in_bands(band, shifts.whole.shape[2], self.threads)
        return sums

    def combine(
        self,
        sums: Held,
        histogram: NDArray[np.float64],
        shape: fft.Shape,
        dose: DoseFactors | None,
        half_sums: bool,
        bin_factor: int,
    ) -> Pictures:
        """See Kernels."""
        return combine_sums(cast(NDArray[np.float32], sums), histogram, shape, dose, half_sums, bin_factor, self.threads)


def _array(held: NDArray[Any] | Held) -> NDArray[Any]:
    return cast(NDArray[Any], held)
