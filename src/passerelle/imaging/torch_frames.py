"""Raw frames on a graphics card, as the bytes they were written in: statistics, and the reduction for the alignment.

Whatever is computed from them goes through the card a few frames at a time, so that a movie needs little more of its memory than
its own bytes.
"""

# torch is not installed everywhere
# pyright: reportMissingImports=false, reportUnknownParameterType=false, reportUnknownMemberType=false
# pyright: reportPrivateImportUsage=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from passerelle.imaging.bands import in_bands
from passerelle.imaging.frames import FrameStatistics, judge_frames, noise_of_mean
from passerelle.imaging.kernels_bin import HUGE
from passerelle.imaging.reduce import LEAST_GOOD, box_and_taps

CHUNK_BYTES = 512 << 20  # of one float32 picture of each frame that is worked on at once
_STAGE_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class CardFrames:
    """Raw frames. bits (t, y, x): whole numbers without sign wider than 8 bits lie in a signed type of the same width, `mask`
    takes the sign off. whole: no value can be other than finite."""

    bits: Tensor
    mask: int | None
    whole: bool

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.bits.shape)

    def floats(self, part: slice) -> Tensor:
        """Return some frames as float32, values that are not finite as 0."""
        values = self.raw_floats(part)
        return values if self.whole else torch.where(_finite(values), values, 0.0)

    def raw_floats(self, part: slice) -> Tensor:
        """Return some frames as float32, as they are."""
        bits = self.bits[part]
        if self.mask is not None:
            bits = bits.to(torch.int32 if self.mask < 1 << 31 else torch.int64) & self.mask
        return bits.to(torch.float32)

    def parts(self) -> Iterator[slice]:
        """Yield slices of frames that are worked on at once."""
        return parts(self.bits.shape[0], 4 * self.bits.shape[1] * self.bits.shape[2])


def parts(count: int, bytes_each: int) -> Iterator[slice]:
    """Split `count` things of so many bytes into slices that are worked on at once, of nearly equal length."""
    pieces = -(-count * bytes_each // CHUNK_BYTES)
    edges = [count * i // max(min(pieces, count), 1) for i in range(max(min(pieces, count), 1) + 1)]
    return (slice(first, last) for first, last in pairwise(edges))


def to_card(array: NDArray[Any], device: torch.device, threads: int = 1) -> Tensor:
    """Copy an array (…) of a dtype that torch has to a device, through page-locked memory where that is quicker."""
    kind = torch.from_numpy(np.empty(0, array.dtype)).dtype
    if device.type == "cpu" or array.nbytes < _STAGE_BYTES or array.ndim < 2:
        plain = torch.empty(array.shape, dtype=kind)
        np.copyto(plain.numpy(), array)
        return plain.to(device)
    target = torch.empty(array.shape, dtype=kind, device=device)
    lines, into = array.reshape(-1, array.shape[-1]), target.view(-1, array.shape[-1])
    step = max(1, _STAGE_BYTES // lines[0].nbytes)
    # two stages in turn: one is filled while the other is on its way
    stages = [torch.empty((step, array.shape[-1]), dtype=kind, pin_memory=True) for _ in range(2)]
    gone = [torch.cuda.Event() for _ in stages]
    for place, first in enumerate(range(0, len(lines), step)):
        stage, event = stages[place % 2], gone[place % 2]
        event.synchronize()
        source = lines[first : first + step]
        room = stage.numpy()

        def fill(low: int, high: int, room: NDArray[Any] = room, source: NDArray[Any] = source) -> None:
            np.copyto(room[low:high], source[low:high])

        in_bands(fill, len(source), threads)
        into[first : first + step].copy_(stage[: len(source)], non_blocking=True)
        event.record()
    return target


def to_host(tensor: Tensor) -> NDArray[Any]:
    """Copy a tensor to this machine's memory, from a card through page-locked memory: several times quicker."""
    if tensor.device.type == "cpu":
        return tensor.numpy().copy(order="C")
    host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    host.copy_(tensor)
    return host.numpy()


def hold(frames: NDArray[Any], device: torch.device, threads: int) -> CardFrames:
    """Take native frames (t, y, x) to a device as the bytes they are."""
    kind = frames.dtype
    if kind.kind == "u" and kind.itemsize in (2, 4):
        signed = np.dtype(f"i{kind.itemsize}")
        return CardFrames(to_card(frames.view(signed), device, threads), (1 << 8 * kind.itemsize) - 1, True)
    if kind == np.uint64:
        return CardFrames(to_card(frames.astype(np.float32), device, threads), None, True)
    return CardFrames(to_card(frames, device, threads), None, kind.kind != "f")


def statistics(frames: CardFrames) -> FrameStatistics:
    """Measure raw frames, as `frame_statistics` does."""
    count, height, width = frames.bits.shape
    device = frames.bits.device
    total = torch.zeros((height, width), device=device)
    squares = torch.zeros((), dtype=torch.float64, device=device)
    sums = torch.zeros(count, dtype=torch.float64, device=device)
    broken = torch.zeros(count, dtype=torch.int64, device=device)
    for part in frames.parts():
        values = frames.raw_floats(part)
        if not frames.whole:
            finite = _finite(values)
            values = torch.where(finite, values, 0.0)
            broken[part] = (~finite).sum(dim=(1, 2))
        total += values.sum(dim=0)
        sums[part] = values.sum(dim=(1, 2), dtype=torch.float64)
        squares += values.square_().sum(dim=(1, 2), dtype=torch.float64).sum()
    frame_sums = _numpy(sums)
    useless, blank = judge_frames(frame_sums, _numpy(broken), height * width)
    used = max(count - int(blank.sum()), 1)
    between = total.square().sum(dtype=torch.float64)
    variance = noise_of_mean(float(squares), float(between), used, height * width)
    not_finite = np.zeros((height, width), np.bool_)
    for t in () if frames.whole else np.flatnonzero(~useless):
        not_finite |= _numpy(~_finite(frames.raw_floats(slice(t, t + 1))[0])) if int(broken[t]) else False
    return FrameStatistics(to_host(total.div_(used)), variance, frame_sums / (height * width), blank, not_finite)


def chess_board(
    mean: NDArray[np.float32], gain: NDArray[np.float32] | None, defects: NDArray[np.bool_] | None, device: torch.device
) -> tuple[float, int]:
    """Measure the detail of the mean frame (y, x) near Nyquist, as `motion_pattern.chess_board` does."""
    factors, good = good_factors(gain, defects, (1, *mean.shape), device)
    picture = to_card(mean, device) * factors
    board = picture[:-1, :-1] - picture[1:, :-1] - picture[:-1, 1:] + picture[1:, 1:]
    whole = good[:-1, :-1] & good[1:, :-1] & good[:-1, 1:] & good[1:, 1:]
    power = torch.where(whole, board, 0.0).square_().sum(dtype=torch.float64)
    return float(power), int(whole.sum())


def _finite(values: Tensor) -> Tensor:
    return values.abs() < float(HUGE)


def good_factors(
    gain: NDArray[np.float32] | None, defects: NDArray[np.bool_] | None, shape: tuple[int, ...], device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return the gain with 0 wherever a pixel is not to be used, and which pixels are good, both (y, x) on the device."""
    factors = torch.ones(shape[1:], device=device) if gain is None else to_card(np.asarray(gain, np.float32), device)
    good = torch.isfinite(factors) & (factors > 0)
    if defects is not None:
        good &= ~to_card(defects, device)
    return torch.where(good, factors, 0.0), good


def reduce(frames: CardFrames, gain: NDArray[np.float32] | None, defects: NDArray[np.bool_] | None, binning: int) -> Tensor:
    """Return gain-corrected frames reduced by `binning`, float32 (t, y, x), as `reduce_frames` does."""
    count, height, width = frames.bits.shape
    factors, good = good_factors(gain, defects, frames.shape, frames.bits.device)
    out = torch.empty((count, height // binning, width // binning), device=frames.bits.device)
    for part in frames.parts():
        out[part] = _reduced(frames.floats(part).mul_(factors), binning)
    cover = _reduced(good.to(torch.float32)[None], binning)[0]
    covered = cover > LEAST_GOOD
    scale = torch.where(covered, 1 / torch.where(covered, cover, 1.0), 0.0)
    # a good pixel's cover is 1 but for rounding: without defects nothing is scaled, as on processors
    scale = torch.where(good.all(), 1.0, scale)
    out *= scale
    means = out.sum(dim=(1, 2), dtype=torch.float64) / covered.sum().clamp(min=1)
    fill = torch.where(covered.any(), means.to(torch.float32), 0.0)
    return torch.where(covered, out, fill[:, None, None])


def halve(pictures: Tensor) -> Tensor:
    """Return pictures (t, y, x) reduced by two."""
    return _reduced(pictures, 2)


def _reduced(pictures: Tensor, binning: int) -> Tensor:
    if binning == 1:
        return pictures
    box, taps = box_and_taps(binning)
    every = binning // box
    rows, columns = pictures.shape[1] // binning, pictures.shape[2] // binning
    boxes = pictures[:, : rows * binning, : columns * binning]
    if box > 1:
        boxes = functional.avg_pool2d(boxes, box, divisor_override=1)
    before = (len(taps) - every) // 2
    after = len(taps) - every - before
    boxes = functional.pad(boxes, (before, after, before, after), mode="replicate")
    along_y = _filtered(boxes.transpose(1, 2), taps, every, rows)
    return _filtered(along_y.transpose(1, 2), taps, every, columns)


def _filtered(lines: Tensor, taps: NDArray[np.float32], every: int, count: int) -> Tensor:
    """Return the filtered samples every · 0, every · 1, … along the last axis."""
    out = lines[..., : every * count : every] * float(taps[0])
    for j in range(1, len(taps)):
        out.add_(lines[..., j : j + every * count : every], alpha=float(taps[j]))
    return out


def _numpy(tensor: Tensor) -> NDArray[Any]:
    return tensor.cpu().numpy()
