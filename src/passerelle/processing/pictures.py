"""Arrays to the small pictures that pages show. Row 0 of an array is the bottom of the picture (docs/decisions/0004)."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from passerelle.imaging.field import MotionField


def shrink(image: NDArray[np.float32], longest_px: int) -> NDArray[np.float32]:
    """Return `image` (y, x) averaged down by whole pixels, then resampled, so that its longest side is `longest_px`."""
    height, width = image.shape
    factor = max(1, max(height, width) // longest_px)
    if factor > 1:
        rows, columns = height // factor, width // factor
        tiles = image[: rows * factor, : columns * factor].reshape(rows, factor, columns, factor)
        image = tiles.mean(axis=(1, 3), dtype=np.float32)
    if max(image.shape) <= longest_px:
        return image
    scale = longest_px / max(image.shape)
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX), dtype=np.float32)


def low_pass(image: NDArray[np.float32], finest_px: float) -> NDArray[np.float32]:
    """Return `image` (y, x) without detail finer than `finest_px` pixels: a Gaussian that is down to exp(-1/2) there."""
    if finest_px <= 2:
        return image
    return np.asarray(gaussian_filter(image, finest_px / (2 * np.pi), truncate=3, mode="nearest"), np.float32)


def to_grey(image: NDArray[Any], low_percent: float = 0.3, high_percent: float = 99.7) -> NDArray[np.uint8]:
    """Return `image` (y, x) as 0 … 255 between two percentiles of its finite values; a flat image becomes mid-grey."""
    finite = image[np.isfinite(image)]
    if finite.size == 0:
        return np.full(image.shape, 128, np.uint8)
    low, high = np.percentile(finite, (low_percent, high_percent))
    if not high > low:
        return np.full(image.shape, 128, np.uint8)
    scaled = (np.nan_to_num(image, nan=float(low)) - low) * (255.0 / (high - low))
    return np.clip(scaled, 0, 255).astype(np.uint8)


def as_jpeg(grey: NDArray[np.uint8], quality: int = 85) -> bytes:
    """Encode 0 … 255 (y, x), row 0 at the bottom."""
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(grey[::-1])).save(stream, "JPEG", quality=quality, optimize=True)
    return stream.getvalue()


def as_png(grey: NDArray[np.uint8]) -> bytes:
    """Encode 0 … 255 (y, x), row 0 at the bottom, without loss."""
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(grey[::-1])).save(stream, "PNG", optimize=True)
    return stream.getvalue()


_PLOT_PX = 256
_ARROW_GAIN = 12.0  # local motion is a few pixels on thousands: drawn twelve times its length, and said so in the title


def drift_plot(field: MotionField, pixel_size_angstrom: float) -> str:
    """Draw the global track, and the local tracks of a 5 × 5 grid enlarged, as SVG in the colours of the page around it."""
    track = field.global_px * pixel_size_angstrom
    centre = (track.max(axis=0) + track.min(axis=0)) / 2
    reach = max(float(np.ptp(track, axis=0).max()), 1.0)
    inner = _PLOT_PX - 40
    xy = np.column_stack([(track[:, 1] - centre[1]) / reach * inner + 128, 128 - (track[:, 0] - centre[0]) / reach * inner])
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_PLOT_PX} {_PLOT_PX}" fill="none" stroke-linejoin="round">',
        f"<title>Drift over {field.frames} frames; the plot is {reach:.1f} Å wide; local tracks × {_ARROW_GAIN:g}</title>",
    ]
    for fraction_y in np.linspace(0.1, 0.9, 5):
        for fraction_x in np.linspace(0.1, 0.9, 5):
            lines.append(_local_track(field, float(fraction_y), float(fraction_x)))
    lines.append(f'<path d="{_path(xy)}" stroke="#3b82f6" stroke-width="2"/>')
    lines.append(f'<circle cx="{xy[0, 0]:.1f}" cy="{xy[0, 1]:.1f}" r="4" fill="#f59e0b"/>')
    lines.append("</svg>")
    return "\n".join(lines)


def local_tracks(field: MotionField, places_px: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the local motion about the drift, (n, t, 2) as (dy, dx) in pixels, at n places (y, x)."""
    y, x = places_px[:, 0], places_px[:, 1]
    at = np.array([np.column_stack(field.at(t, y, x)) for t in range(field.frames)])
    return (at - field.global_px[:, None]).transpose(1, 0, 2)


def _local_track(field: MotionField, fraction_y: float, fraction_x: float) -> str:
    places = local_tracks(field, np.array([[fraction_y * (field.height - 1), fraction_x * (field.width - 1)]]))[0]
    scale = _ARROW_GAIN * _PLOT_PX / max(field.height, field.width)
    xy = np.column_stack([fraction_x * _PLOT_PX + places[:, 1] * scale, (1 - fraction_y) * _PLOT_PX - places[:, 0] * scale])
    return f'<path d="{_path(xy)}" stroke="#8b949e" stroke-width="1.2"/>'


def _path(xy: NDArray[np.float64]) -> str:
    return "M" + " L".join(f"{x:.1f} {y:.1f}" for x, y in xy)
