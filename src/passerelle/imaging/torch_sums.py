"""The corrected sums on a graphics card: frames are cut into tiles that move as one, filtered, and added by a matrix product."""

# torch is not installed everywhere
# pyright: reportMissingImports=false, reportUnknownParameterType=false, reportUnknownMemberType=false
# pyright: reportPrivateImportUsage=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from passerelle.imaging import fft
from passerelle.imaging.combine import CURVE_POINTS, LEAST_RESPONSE, Pictures
from passerelle.imaging.defects import plan_repairs
from passerelle.imaging.dose import DoseFactors
from passerelle.imaging.interpolation import STEPS, TAPS, kernel_table
from passerelle.imaging.kernels import Shifts
from passerelle.imaging.torch_frames import CardFrames, good_factors, to_host
from passerelle.imaging.torch_modes import turns
from passerelle.imaging.torch_search import back_transform

_BEFORE = TAPS // 2 - 1


def accumulate(
    frames: CardFrames,
    gain: NDArray[np.float32] | None,
    defects: NDArray[np.bool_] | None,
    shifts: Shifts,
    factors: NDArray[np.float32],
    padded: fft.Shape,
) -> Tensor:
    """Return sums (s, *padded), as Kernels.accumulate says."""
    device = frames.bits.device
    _count, height, width = frames.shape
    multiplier, good = good_factors(gain, defects, frames.shape, device)
    repairs = plan_repairs(None if bool(good.all()) else (~good).cpu().numpy(), (height, width))
    table = torch.from_numpy(repairs.table.astype(np.int64)).to(device)
    defect_rows = torch.from_numpy(np.repeat(np.arange(height), np.diff(repairs.rows))).to(device)
    taps = torch.from_numpy(kernel_table()).to(device)
    whole, fraction = (torch.from_numpy(a.astype(np.int64)).to(device) for a in (shifts.whole, shifts.fraction))
    weights = torch.from_numpy(factors).to(device)
    tiles = (*whole.shape[2:], *shifts.tile)
    sums = torch.zeros((factors.shape[1], int(np.prod(tiles))), device=device)
    for part in frames.parts():
        # in one expression: nothing of one part is held on to while the next is made
        sums.addmm_(
            weights[part].T,
            _moved(
                _repaired(frames.floats(part), None if gain is None else multiplier, table, defect_rows, part.start),
                whole[:, part],
                fraction[:, part],
                shifts.tile,
                taps,
            ),
        )
    whole_tiles = sums.view(-1, *tiles).transpose(2, 3).reshape(len(sums), tiles[0] * tiles[2], tiles[1] * tiles[3])
    out = torch.zeros((len(sums), *padded), device=device)
    out[:, :height, :width] = whole_tiles[:, :height, :width]
    return out


def _repaired(pictures: Tensor, gain: Tensor | None, table: Tensor, rows: Tensor, first: int) -> Tensor:
    """Apply the gain to frames first, first + 1, … in place, and give each defect the value of one of its good neighbours, of
    each in turn."""
    if gain is not None:
        pictures.mul_(gain)
    if len(table):
        frame = torch.arange(len(pictures), device=pictures.device)[:, None]
        which = torch.arange(len(table), device=pictures.device)
        choice = 1 + 2 * ((first + frame + which) % ((table.shape[1] - 1) // 2))
        pictures[frame, rows, table[:, 0]] = pictures[frame, table[which, choice], table[which, choice + 1]]
    return pictures


def _moved(pictures: Tensor, whole: Tensor, fraction: Tensor, tile: tuple[int, int], taps: Tensor) -> Tensor:
    """Return the pixels (n, tiles y · tiles x · tile) of pictures (n, y, x), each tile read at its shift (2, n, tiles y, x)."""
    device = pictures.device
    tall, wide = tile
    first_y = torch.arange(whole.shape[2], device=device)[:, None] * tall - _BEFORE
    first_x = torch.arange(whole.shape[3], device=device) * wide - _BEFORE
    rows = (whole[0] + first_y)[..., None] + torch.arange(tall + TAPS - 1, device=device)
    columns = (whole[1] + first_x)[..., None] + torch.arange(wide + TAPS - 1, device=device)
    rows, columns = _mirrored(rows, pictures.shape[1]), _mirrored(columns, pictures.shape[2])
    frame = torch.arange(len(pictures), device=device)[:, None, None, None, None]
    loaded = pictures[frame, rows[..., :, None], columns[..., None, :]]
    # one filter for each tile: a convolution with as many groups as tiles reads and writes them once. Without cudnn, which may
    # round to 10 bits (TF32).
    count = rows.shape[0] * rows.shape[1] * rows.shape[2]
    h_y, h_x = (taps[steps.reshape(-1)] for steps in fraction)
    with torch.backends.cudnn.flags(enabled=False):
        across = functional.conv2d(
            loaded.reshape(1, count, tall + TAPS - 1, wide + TAPS - 1), h_x[:, None, None, :], groups=count
        )
        return functional.conv2d(across, h_y[:, None, :, None], groups=count).reshape(len(rows), -1)


def _mirrored(places: Tensor, length: int) -> Tensor:
    period = 2 * length - 2 if length > 1 else 1
    places = places.abs() % period
    return torch.where(places < length, places, period - places)


def combine(
    sums: Tensor, histogram: NDArray[np.float64], shape: fft.Shape, dose: DoseFactors | None, half_sums: bool, bin_factor: int
) -> Pictures:
    """Return pictures (unweighted, weighted, even, odd), as `combine_sums` does."""
    device = sums.device
    padded = (sums.shape[1], sums.shape[2])
    kept = (padded[0] // bin_factor, padded[1] // bin_factor)
    height, width = shape[0] // bin_factor, shape[1] // bin_factor
    _pad(sums, shape)
    plain = 2 if half_sums else 1
    restore = _restoration(histogram, kept, bin_factor, device)
    parts = [_spectrum(one, kept) for one in sums[:plain]]
    weighted = None
    if dose is not None:
        radius = _radius_index(kept, bin_factor, device)
        curves = torch.from_numpy(np.concatenate([dose.mean_curve[None], dose.curves])).to(device)
        spectrum = sum(parts[1:], start=parts[0]) * curves[0][radius]
        for curve, one in zip(curves[1:], sums[plain:], strict=True):
            spectrum.addcmul_(_spectrum(one, kept), curve[radius].to(torch.complex64))
        weighted = back_transform(spectrum.mul_(restore), kept)[:height, :width]
    pictures = [back_transform(part.mul_(restore), kept)[:height, :width] for part in parts]
    if not half_sums:
        return to_host(pictures[0]), None if weighted is None else to_host(weighted), None, None
    even, odd = pictures
    return to_host(even + odd), None if weighted is None else to_host(weighted), to_host(even), to_host(odd)


def _spectrum(picture: Tensor, kept: fft.Shape) -> Tensor:
    """Return the half transform of a picture (y, x), cropped to that of a picture of shape `kept`."""
    whole = torch.fft.rfft2(picture)
    if kept == tuple(picture.shape):
        return whole
    rows, columns = kept[0] // 2, kept[1] // 2 + 1
    return torch.cat([whole[:rows, :columns], whole[-rows:, :columns]])


def _pad(pictures: Tensor, shape: fft.Shape) -> None:
    """Fill the margin beyond `shape` with a ramp between the edges that it joins, as on processors."""
    height, width = shape
    more_y, more_x = pictures.shape[1] - height, pictures.shape[2] - width
    if more_x:
        ramp = torch.arange(1, more_x + 1, device=pictures.device) / (more_x + 1)
        edges = pictures[:, :height, width - 1, None], pictures[:, :height, :1]
        pictures[:, :height, width:] = edges[0] * (1 - ramp) + edges[1] * ramp
    if more_y:
        ramp = (torch.arange(1, more_y + 1, device=pictures.device) / (more_y + 1))[:, None]
        pictures[:, height:] = pictures[:, height - 1, None] * (1 - ramp) + pictures[:, :1] * ramp


def _radius_index(shape: fft.Shape, bin_factor: int, device: torch.device) -> Tensor:
    """Return for each mode the point of the dose curves that is nearest to its radial frequency, in pixels of the movie."""
    ky, kx = (torch.from_numpy(axis).to(device) for axis in fft.frequency_axes(shape))
    radius = torch.hypot(ky[:, None], kx) * ((CURVE_POINTS - 1) / 0.5**0.5 / bin_factor)
    return radius.round_().to(torch.int64)


def _restoration(histogram: NDArray[np.float64], shape: fft.Shape, bin_factor: int, device: torch.device) -> Tensor:
    """Return the inverse of `mean_response` where it is not too small (y, x // 2 + 1)."""
    weights = torch.from_numpy((histogram / max(float(histogram.sum()), 1.0)).astype(np.complex64)).to(device)
    along_y = _response(np.fft.fftfreq(shape[0], bin_factor), device)
    along_x = _response(np.fft.rfftfreq(shape[1], bin_factor), device)
    damping = along_y.T @ (weights @ along_x)
    power = (damping.real.square() + damping.imag.square()).clamp_(min=LEAST_RESPONSE**2)
    return damping.conj().div(power)


def _response(frequency: NDArray[Any], device: torch.device) -> Tensor:
    """Return what `interpolation.response` does, (STEPS + 1, frequencies)."""
    places = torch.arange(TAPS, device=device) - _BEFORE - torch.arange(STEPS + 1, device=device)[:, None] / STEPS
    taps = torch.from_numpy(kernel_table()).to(device)
    return (turns(frequency.astype(np.float32), places.double()) * taps[..., None]).sum(dim=1)
