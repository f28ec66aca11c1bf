"""The operations on a graphics card, with torch. On the device "cpu" the same code runs without one: so it is tested."""

# torch is not installed everywhere
# pyright: reportMissingImports=false, reportUnknownParameterType=false, reportUnknownMemberType=false
# pyright: reportPrivateImportUsage=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from passerelle.core.errors import BadConfiguration, Busy
from passerelle.imaging import fft, torch_frames, torch_modes, torch_sums
from passerelle.imaging.combine import Pictures
from passerelle.imaging.dose import DoseFactors
from passerelle.imaging.frames import FrameStatistics, native, require_frames
from passerelle.imaging.kernels import CoarseFrames, Held, Modes, Shifts
from passerelle.imaging.motion_modes import ModeGrid
from passerelle.imaging.torch_frames import CardFrames
from passerelle.imaging.torch_search import coarse_frames


@dataclass(frozen=True, slots=True)
class TorchKernels:
    """See Kernels. Raw frames are held as CardFrames, pictures as tensors. threads: of this machine, that copy to the card."""

    device: torch.device
    threads: int = 1

    def hold(self, frames: NDArray[Any] | Held) -> Held:
        """See Kernels."""
        if isinstance(frames, CardFrames):
            return frames
        stack = cast(NDArray[Any], frames)
        require_frames(stack)
        with _on(self.device):
            return torch_frames.hold(native(stack), self.device, self.threads)

    def statistics(self, frames: Held) -> FrameStatistics:
        """See Kernels."""
        with _on(self.device):
            return torch_frames.statistics(_frames(frames))

    def reduce(self, frames: Held, *, gain: NDArray[np.float32] | None, defects: NDArray[np.bool_] | None, binning: int) -> Held:
        """See Kernels."""
        with _on(self.device):
            return torch_frames.reduce(_frames(frames), gain, defects, binning)

    def halve(self, binned: Held) -> Held:
        """See Kernels."""
        with _on(self.device):
            return cast(Held, torch_frames.halve(_tensor(binned)))

    def chess_board(
        self, mean: NDArray[np.float32], gain: NDArray[np.float32] | None, defects: NDArray[np.bool_] | None
    ) -> tuple[float, int]:
        """See Kernels."""
        with _on(self.device):
            return torch_frames.chess_board(mean, gain, defects, self.device)

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
        with _on(self.device):
            modes, low = torch_modes.drift_modes(_tensor(binned), usable, grid, window, coarse)
            return modes, coarse_frames(low, coarse, grid.shape, binning)

    def patch_modes(
        self,
        binned: Held,
        corners: NDArray[np.intp],
        usable: NDArray[np.bool_],
        grid: ModeGrid,
        window: NDArray[np.float32],
    ) -> Modes:
        """See Kernels."""
        with _on(self.device):
            return torch_modes.patch_modes(_tensor(binned), corners, usable, grid, window)

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
        with _on(self.device):
            return torch_sums.accumulate(_frames(frames), gain, defects, shifts, factors, padded)

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
        with _on(self.device):
            return torch_sums.combine(_tensor(sums), histogram, shape, dose, half_sums, bin_factor)


def card_kernels(name: str, threads: int) -> TorchKernels:
    """Return the operations of a graphics card called as torch calls it: "cuda", "cuda:1".

    Raises:
        BadConfiguration: there is no such card.
    """
    number = name.partition(":")[2]
    if torch.version.cuda is None:
        raise BadConfiguration(
            f"The device {name!r} cannot be used: this build of torch has no CUDA.",
            advice=f'Install torch {torch.__version__.partition("+")[0]} as it comes with CUDA, or set the device to "cpu".',
        )
    if not torch.cuda.is_available():
        raise BadConfiguration(
            f"The device {name!r} cannot be used: torch finds no graphics card.",
            advice='Does `nvidia-smi` list it? Else set the device to "cpu".',
        )
    cards = torch.cuda.device_count()
    if number and int(number) >= cards:
        raise BadConfiguration(
            f"There is no device {name!r}: this process sees {cards} card{'s' if cards > 1 else ''}, counted from 0.",
            advice="See `nvidia-smi -L` and CUDA_VISIBLE_DEVICES.",
        )
    return TorchKernels(torch.device(name), threads)


@contextmanager
def _on(device: torch.device) -> Generator[None]:
    """Make a card the present one, and map its lack of memory to our error."""
    try:
        with torch.cuda.device(device) if device.type == "cuda" else nullcontext():
            yield
    except torch.OutOfMemoryError as error:
        torch.cuda.empty_cache()
        raise Busy(
            f"The memory of the card {device} is too small for this movie, or other work holds it: {str(error).split('. ')[0]}.",
            advice="Let fewer workers share a card; each needs about 3 GB and half as much again as its movie has bytes.",
        ) from error


def _frames(held: Held) -> CardFrames:
    return cast(CardFrames, held)


def _tensor(held: Held) -> Tensor:
    return cast(Tensor, held)
