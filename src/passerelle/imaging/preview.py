"""Planes of any instrument to one small picture: bytes (y, x), or (y, x, 3) where it has colours. Row 0 is the top."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.uint8]
_GAP_PX = 4
_BEAM_SHARE = 0.9995  # of the pixels of a diffraction image, all but the strongest are told apart
_LIGHT_PERCENT = (1.0, 99.8)  # of a channel: black, and its full colour


def shrink(image: NDArray[Any], longest_px: int) -> NDArray[np.float32]:
    """Return `image` (y, x) averaged over whole pixels so that its longest side is at most `longest_px`; what is left over at the
    right and the bottom is dropped. Values that are not finite count as 0."""
    factor = max(1, -(-max(image.shape) // longest_px))
    rows, columns = max(1, image.shape[0] // factor), max(1, image.shape[1] // factor)
    if factor == 1:
        return _finite(image.astype(np.float32))
    height, width = min(factor, image.shape[0]), min(factor, image.shape[1])
    cut = image[: rows * height, : columns * width]
    # rows first, for they lie together in memory: the sum of 94 million bytes takes 60 ms so, and a second the other way
    tall = np.empty((rows, columns * width), np.float32)
    for row in range(rows):
        np.sum(cut[row * height : (row + 1) * height], axis=0, dtype=np.float32, out=tall[row])
    small = tall.reshape(rows, columns, width).sum(axis=2)
    return _finite(small / np.float32(height * width))


def strongest(image: NDArray[Any], longest_px: int) -> NDArray[np.float32]:
    """Return `image` (y, x) reduced as `shrink` does, but by the greatest value, so that spots of one pixel are still seen.

    Negative values (masked by the detector's software) and those that are not finite count as 0.
    """
    factor = max(1, -(-max(image.shape) // longest_px))
    rows, columns = max(1, image.shape[0] // factor), max(1, image.shape[1] // factor)
    height, width = min(factor, image.shape[0]), min(factor, image.shape[1])
    cut = image[: rows * height, : columns * width]
    tall = np.empty((rows, columns * width), image.dtype.newbyteorder("="))
    for row in range(rows):
        np.max(cut[row * height : (row + 1) * height], axis=0, out=tall[row])
    small = tall.reshape(rows, columns, width).max(axis=2).astype(np.float32)
    return np.maximum(_finite(small), 0)


def grey(image: NDArray[np.float32], low_percent: float = 0.3, high_percent: float = 99.7) -> Grey:
    """Return `image` (y, x) as 0 … 255 between two percentiles; a flat image becomes mid-grey."""
    low, high = (float(value) for value in np.percentile(image, (low_percent, high_percent)))
    if not high > low:
        return np.full(image.shape, 128, np.uint8)
    return np.clip((image - low) * (255.0 / (high - low)), 0, 255).astype(np.uint8)


def side_by_side(slices: Sequence[NDArray[np.float32]]) -> Grey:
    """Return slices of a volume, two in a row, all on one grey scale except the last, which is a sum."""
    together = grey(np.concatenate([each.ravel() for each in slices[:-1]])[None], 0.5, 99.9)[0]
    tiles: list[Grey] = []
    at = 0
    for each in slices[:-1]:
        tiles.append(together[at : at + each.size].reshape(each.shape))
        at += each.size
    tiles.append(grey(slices[-1], 0.5, 99.9))
    lines = [tiles[place : place + 2] for place in range(0, len(tiles), 2)]
    columns = [max(line[place].shape[1] for line in lines if len(line) > place) for place in range(min(2, len(tiles)))]
    rows = [max(tile.shape[0] for tile in line) for line in lines]
    out = np.zeros((sum(rows) + _GAP_PX * (len(rows) - 1), sum(columns) + _GAP_PX * (len(columns) - 1)), np.uint8)
    top = 0
    for line, height in zip(lines, rows, strict=True):
        left = 0
        for tile, width in zip(line, columns, strict=False):
            out[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
            left += width + _GAP_PX
        top += height + _GAP_PX
    return out


def coloured(channels: Sequence[NDArray[np.float32]], colours: Sequence[tuple[int, int, int]]) -> NDArray[np.uint8]:
    """Return channels (y, x) of one size, each scaled by itself, as light of their colours that adds up: bytes (y, x, 3)."""
    light = np.zeros((*channels[0].shape, 3), np.float32)
    for channel, colour in zip(channels, colours, strict=True):
        low, high = (float(value) for value in np.percentile(channel, _LIGHT_PERCENT))
        if not high > low:
            low, high = float(channel.min()), float(channel.max())
        if high > low:
            light += np.clip((channel - low) / (high - low), 0, 1)[:, :, None] * np.asarray(colour, np.float32)
    return np.clip(light, 0, 255).astype(np.uint8)


def diffraction(counts: NDArray[np.float32]) -> Grey:
    """Return counts (y, x) as crystallographers expect them: the logarithm, what is strong dark, what is nothing white.

    The scale begins at the median, so that the background is nearly white, and ends where only the beam and its like lie above.
    """
    scaled = np.log1p(counts)
    seen = scaled[counts > 0]
    if seen.size == 0:
        return np.full(counts.shape, 255, np.uint8)
    low = float(np.median(seen)) * 0.8
    high = float(np.quantile(seen, _BEAM_SHARE))
    high = high if high > low else low + 1.0
    return (255 - np.clip((scaled - low) * (255.0 / (high - low)), 0, 255)).astype(np.uint8)


def _finite(image: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.nan_to_num(image, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
