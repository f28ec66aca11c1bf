"""Fourier modes of all patches on a graphics card, and their correlation: every patch and frame in one go."""

# torch is not installed everywhere
# pyright: reportMissingImports=false, reportUnknownParameterType=false, reportUnknownMemberType=false
# pyright: reportPrivateImportUsage=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from passerelle.imaging import fft
from passerelle.imaging.motion_modes import Match, ModeGrid, modes_used, whitening
from passerelle.imaging.torch_frames import parts


@dataclass(frozen=True, slots=True)
class TorchModes:
    """See Modes. values (p, t, m) complex, whitened; rows, columns (m,): where each mode stands in its picture; ky, kx, radius
    (m,): those of the grid."""

    grid: ModeGrid
    values: Tensor
    rows: Tensor
    columns: Tensor
    ky: Tensor
    kx: Tensor
    radius: Tensor

    def match(
        self, shifts_px: NDArray[np.float64], bfactor_angstrom2: float, reliability: NDArray[np.float32] | None
    ) -> list[Match]:
        """See Modes."""
        device = self.values.device
        used = modes_used(self.grid, bfactor_angstrom2)
        ky, kx = self.ky[:used], self.kx[:used]
        w = torch.exp(-0.25 * bfactor_angstrom2 * self.radius[:used].square())
        if reliability is not None:
            w *= torch.from_numpy(reliability[:used]).to(device)
        zero, one = (w, w * ky * ky, w * ky * kx, w * kx * kx), (w * ky, w * kx)
        out = torch.empty((*shifts_px.shape[:2], 6), dtype=torch.float64, device=device)
        for part in parts(len(shifts_px), 8 * shifts_px.shape[1] * used):
            back = self._moved_back(part, shifts_px, used)
            # a frame's own share of the sum would pull it to where it is: the others only
            alike = torch.view_as_real(back.conj() * (back.sum(dim=1, keepdim=True) - back))
            for c in range(4):
                out[part, :, c] = (alike[..., 0] * zero[c]).sum(dim=2, dtype=torch.float64)
            for c in range(2):
                out[part, :, 4 + c] = (alike[..., 1] * one[c]).sum(dim=2, dtype=torch.float64)
        return [_match(found) for found in out.cpu().numpy()]

    def power(self, shifts_px: NDArray[np.float64]) -> NDArray[np.float32]:
        """See Modes."""
        count, modes = shifts_px.shape[1], self.values.shape[2]
        if count < 2:
            return np.zeros(modes, np.float32)
        out = torch.zeros(modes, device=self.values.device)
        for part in parts(len(shifts_px), 8 * count * modes):
            back = self._moved_back(part, shifts_px, modes)
            common = _power(back.sum(dim=1)) - _power(back).sum(dim=1)
            out += common.sum(dim=0) / (count * (count - 1))
        return (out / len(shifts_px)).cpu().numpy()

    def _moved_back(self, part: slice, shifts_px: NDArray[np.float64], used: int) -> Tensor:
        """Return the first modes of some patches (p, t, used), each frame moved back by its shift."""
        ky, kx = fft.frequency_axes(self.grid.shape)
        scale = self.grid.ky[0] / ky[self.grid.rows[0]] if len(self.grid.rows) else np.float32(1)
        shifts = torch.from_numpy(shifts_px[part]).to(self.values.device)
        along_y = turns(ky * scale, shifts[..., 0])[..., self.rows[:used]]
        along_x = turns(kx * scale, shifts[..., 1])[..., self.columns[:used]]
        return along_y.mul_(along_x).mul_(self.values[part, :, :used])


def turns(frequency: NDArray[np.float32], shifts: Tensor) -> Tensor:
    """Return exp(2 pi i frequency shift) complex64 (…, frequencies), computed in double precision."""
    axis = torch.from_numpy(np.asarray(frequency, np.float64)).to(shifts.device)
    angle = 2 * torch.pi * shifts[..., None] * axis
    return torch.polar(torch.ones_like(angle), angle).to(torch.complex64)


def patch_modes(
    pictures: Tensor, corners: NDArray[np.intp], usable: NDArray[np.bool_], grid: ModeGrid, window: NDArray[np.float32]
) -> TorchModes:
    """Cut patches, as large as the window, at corners (p, t, 2) of pictures (t, y, x) and pick their whitened modes."""
    rows, columns = _places(grid, pictures.device)
    values = torch.empty((*corners.shape[:2], len(rows)), dtype=torch.complex64, device=pictures.device)
    for part in parts(len(corners), 4 * corners.shape[1] * grid.shape[0] * grid.shape[1]):
        spectra = _transform(_cut(pictures, corners[part], window.shape), usable, grid.shape, window)
        values[part] = spectra[..., rows, columns]
    return _modes(grid, values, rows, columns)


def drift_modes(
    pictures: Tensor, usable: NDArray[np.bool_], grid: ModeGrid, window: NDArray[np.float32], coarse: fft.Shape
) -> tuple[TorchModes, Tensor]:
    """Transform whole pictures (t, y, x): return their whitened modes as one patch, and half transforms of `coarse` shape."""
    rows, columns = _places(grid, pictures.device)
    count = pictures.shape[0]
    values = torch.empty((1, count, len(rows)), dtype=torch.complex64, device=pictures.device)
    low = torch.empty((count, coarse[0], coarse[1] // 2 + 1), dtype=torch.complex64, device=pictures.device)
    kept = (coarse[0] + 1) // 2
    for part in parts(count, 4 * grid.shape[0] * grid.shape[1]):
        spectra = _transform(pictures[part], usable[part], grid.shape, window)
        values[0, part] = spectra[..., rows, columns]
        low[part, :kept] = spectra[:, :kept, : low.shape[2]]
        low[part, kept:] = spectra[:, grid.shape[0] - (coarse[0] - kept) :, : low.shape[2]]
    return _modes(grid, values, rows, columns), low


def _modes(grid: ModeGrid, values: Tensor, rows: Tensor, columns: Tensor) -> TorchModes:
    axes = (torch.from_numpy(axis).to(values.device) for axis in (grid.ky, grid.kx, grid.radius))
    return TorchModes(grid, _whitened(grid, values), rows, columns, *axes)


def _places(grid: ModeGrid, device: torch.device) -> tuple[Tensor, Tensor]:
    rows, columns = (torch.from_numpy(places.astype(np.int64)).to(device) for places in (grid.rows, grid.columns))
    return rows, columns


def _cut(pictures: Tensor, corners: NDArray[np.intp], size: tuple[int, ...]) -> Tensor:
    """Return the cuts of `size` at corners (p, t, 2): (p, t, *size)."""
    device = pictures.device
    corner = torch.from_numpy(corners.astype(np.int64)).to(device)
    rows = corner[..., 0, None, None] + torch.arange(size[0], device=device)[:, None]
    columns = corner[..., 1, None, None] + torch.arange(size[1], device=device)
    return pictures[torch.arange(len(pictures), device=device)[:, None, None], rows, columns]


def _transform(pictures: Tensor, usable: NDArray[np.bool_], shape: fft.Shape, window: NDArray[np.float32]) -> Tensor:
    """Return half transforms of pictures (…, t, y, x) less their means, windowed, padded with zeros to `shape`; those of frames
    that are not usable are zero."""
    device = pictures.device
    pictures = (pictures - pictures.mean(dim=(-2, -1), keepdim=True)).mul_(torch.from_numpy(window).to(device))
    pictures.mul_(torch.from_numpy(usable.astype(np.float32)).to(device)[:, None, None])
    more_y, more_x = shape[0] - pictures.shape[-2], shape[1] - pictures.shape[-1]
    return torch.fft.rfft2(functional.pad(pictures, (0, more_x, 0, more_y)) if more_y or more_x else pictures)


def _whitened(grid: ModeGrid, values: Tensor) -> Tensor:
    """Scale modes (p, t, m) in place so that in each patch, ring by ring, the mean power over the frames is 1."""
    power = torch.stack([_power(patch).mean(dim=0) for patch in values]).cpu().numpy()
    scale = np.stack([whitening(grid, one) for one in power]) if values.shape[2] else power
    return values.mul_(torch.from_numpy(scale).to(values.device)[:, None])


def _power(values: Tensor) -> Tensor:
    return values.real.square() + values.imag.square()


def _match(found: NDArray[np.float64]) -> Match:
    """Take the six sums of each frame (t, 6) apart."""
    turn = 2 * np.pi
    yy, xy, xx = -(turn**2) * found[:, 1:4].T
    curvature = np.stack([np.stack([yy, xy], -1), np.stack([xy, xx], -1)], -2)
    return Match(found[:, 0], turn * found[:, 4:], curvature)
