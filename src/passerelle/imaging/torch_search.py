"""Frames at low resolution on a graphics card, and the peaks of their correlations: all pairs, or all frames, in one go."""

# torch is not installed everywhere
# pyright: reportMissingImports=false, reportUnknownParameterType=false, reportUnknownMemberType=false
# pyright: reportPrivateImportUsage=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from passerelle.imaging import fft
from passerelle.imaging.kernels import Pair
from passerelle.imaging.motion_search import coarse_step_px, coarse_weights, peak_px, reach_pixels
from passerelle.imaging.torch_frames import parts
from passerelle.imaging.torch_modes import turns


@dataclass(frozen=True, slots=True)
class TorchCoarse:
    """See CoarseFrames. spectra: half transforms (t, y, x // 2 + 1)."""

    spectra: Tensor
    shape: fft.Shape
    step_px: tuple[float, float]
    weight: NDArray[np.float32]

    def pair_peaks(self, first: NDArray[np.intp], second: NDArray[np.intp], echo: NDArray[np.complex64], reach_px: float) -> Pair:
        """See CoarseFrames."""
        a, b, still = (torch.from_numpy(array).to(self.spectra.device) for array in (first, second, echo))
        found = [
            self._peaks(self.spectra[a[part]].conj().mul(self.spectra[b[part]]).sub_(still), reach_px)
            for part in parts(len(first), 4 * self.shape[0] * self.shape[1])
        ]
        return np.concatenate([places for places, _ in found]), np.concatenate([heights for _, heights in found])

    def sum_peaks(
        self, frames: NDArray[np.intp], places_px: NDArray[np.float64], echo: NDArray[np.complex64], reach_px: float
    ) -> Pair:
        """See CoarseFrames."""
        device = self.spectra.device
        ky, kx = fft.frequency_axes(self.shape)
        places = torch.from_numpy(places_px).to(device)
        along_y = turns(ky / np.float32(self.step_px[0]), places[:, 0])
        along_x = turns(kx / np.float32(self.step_px[1]), places[:, 1])
        back = along_y[:, :, None] * along_x[:, None, :]
        own = self.spectra[torch.from_numpy(frames).to(device)] * back
        alike = own * (own.sum(dim=0) - own).conj()
        if echo.any():
            still = torch.from_numpy(echo).to(device) * back
            alike.sub_(back * (still.sum(dim=0) - still).conj())
        return self._peaks(alike, reach_px)

    def _peaks(self, products: Tensor, reach_px: float) -> Pair:
        """Return the highest places (n, 2) of correlations within ± reach_px, in pixels of the movie, and their heights in
        standard deviations (n,)."""
        height, width = self.shape
        device = products.device
        correlation = back_transform(products, self.shape)
        ry, rx = reach = reach_pixels(self, reach_px)
        rows, columns = (
            torch.arange(-ry - 1, ry + 2, device=device) % height,
            torch.arange(-rx - 1, rx + 2, device=device) % width,
        )
        window = correlation[:, rows[:, None], columns]
        best = window[:, 1:-1, 1:-1].flatten(1).argmax(dim=1)
        y, x = best // (2 * rx + 1), best % (2 * rx + 1)
        near = torch.arange(3, device=device)
        number = torch.arange(len(best), device=device)
        around = window[number[:, None, None], (y[:, None] + near)[:, :, None], (x[:, None] + near)[:, None, :]]
        spread = correlation.flatten(1).std(dim=1, correction=0).cpu().numpy().astype(np.float64)
        found = around.cpu().numpy()
        at_y, at_x = y.cpu().numpy(), x.cpu().numpy()
        places = np.array([peak_px(self, int(at_y[i]), int(at_x[i]), found[i], reach) for i in range(len(found))])
        return places.reshape(-1, 2), np.where(spread > 0, found[:, 1, 1] / np.where(spread > 0, spread, 1), 0.0)


def coarse_frames(low: Tensor, shape: fft.Shape, full: fft.Shape, binning: int) -> TorchCoarse:
    """Whiten cropped half transforms (t, y, x // 2 + 1), as `prepare` does."""
    power = (low.real.square() + low.imag.square()).mean(dim=0)
    weight, white = coarse_weights(power.cpu().numpy(), shape)
    return TorchCoarse(low * torch.from_numpy(weight).to(low.device), shape, coarse_step_px(shape, full, binning), white)


def back_transform(spectra: Tensor, shape: fft.Shape) -> Tensor:
    """Transform half transforms (…, y, x // 2 + 1) back to pictures of `shape`.

    Axis by axis: the highest frequency of a cropped transform is not its own mirror image, and what a card's transform of both
    axes makes of that is not said.
    """
    return torch.fft.irfft(torch.fft.ifft(spectra, dim=-2), n=shape[1], dim=-1)
