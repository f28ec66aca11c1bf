"""A grid as an autoloader holds it: squares on an atlas, holes in a square, exposures in a hole; and simple pictures of them."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

# EPU's pictures on a Krios: pixels, and metres a pixel on the specimen
ATLAS_PX = 4005
ATLAS_METRE_PER_PX = 4.8246e-7
SQUARE_HEIGHT_PX, SQUARE_WIDTH_PX = 2046, 2880
SQUARE_METRE_PER_PX = 4.1563e-8
HOLE_METRE_PER_PX = 1.6359e-9
_SQUARE_PITCH_METRE = 9.0e-5
_SQUARE_SIDE_METRE = 6.5e-5
_HOLE_SIZE_METRE = 1.8e-6
_PREVIEW_PX = 512  # EPU's previews: the longest side


@dataclass(frozen=True, slots=True)
class Hole:
    """A foil hole. x_px, y_px: in its square's picture (row 0 at the top, as EPU counts). selected: is exposed. stage: metres."""

    id: int
    x_px: float
    y_px: float
    stage_x: float
    stage_y: float
    selected: bool


@dataclass(frozen=True, slots=True)
class Square:
    """A grid square. x_px, y_px: in the atlas picture. ice: 0 (none) … 1 (too thick), what its pictures show."""

    id: int
    x_px: float
    y_px: float
    stage_x: float
    stage_y: float
    ice: float
    holes: tuple[Hole, ...]


@dataclass(frozen=True, slots=True)
class Grid:
    """All squares of a grid, those of `chosen` first to be worked on.

    areas: the exposures of a hole as (area id, setting id, dx, dy in metres).
    """

    atlas_id: int
    squares: tuple[Square, ...]
    chosen: tuple[int, ...]
    areas: tuple[tuple[int, int, float, float], ...]
    rotation_rad: float


def make_grid(*, seed: int, exposures_a_hole: int = 2, chosen_squares: int = 24, chosen_holes: int = 8) -> Grid:
    """Draw a grid: about 80 squares, of which the best `chosen_squares` get holes; `chosen_holes` of these are exposed."""
    rng = np.random.default_rng(seed)
    rotation = float(rng.uniform(-0.3, 0.3))
    atlas_id = int(rng.integers(10_000_000, 20_000_000))
    next_id = atlas_id + 500
    squares: list[Square] = []
    reach = ATLAS_PX * ATLAS_METRE_PER_PX / 2
    for row in range(-6, 7):
        for column in range(-6, 7):
            u, v = column * _SQUARE_PITCH_METRE, row * _SQUARE_PITCH_METRE
            if math.hypot(u, v) > 0.9 * reach * 0.62 or rng.random() < 0.08:
                continue
            x = u * math.cos(rotation) - v * math.sin(rotation)
            y = u * math.sin(rotation) + v * math.cos(rotation)
            next_id += int(rng.integers(2, 8))
            ice = float(np.clip(0.5 + 0.5 * math.sin(3e3 * x + 1) * math.cos(2.2e3 * y) + rng.normal(0, 0.1), 0, 1))
            x_px, y_px = ATLAS_PX / 2 + x / ATLAS_METRE_PER_PX, ATLAS_PX / 2 + y / ATLAS_METRE_PER_PX
            squares.append(Square(next_id, x_px, y_px, x, -y, ice, ()))
    order = sorted(range(len(squares)), key=lambda i: abs(squares[i].ice - 0.45))[:chosen_squares]
    for i in order:
        next_id += 1000
        holes = _holes(rng, squares[i], next_id, rotation, chosen_holes)
        squares[i] = Square(**{**_fields(squares[i]), "holes": holes})
    radius = 0.28 * _HOLE_SIZE_METRE
    areas: list[tuple[int, int, float, float]] = []
    for n in range(exposures_a_hole):
        turn = 2 * math.pi * n / exposures_a_hole + 0.6
        area = atlas_id + 300 + 7 * n
        shift = 0.0 if exposures_a_hole == 1 else radius
        areas.append((area, area + 2, shift * math.cos(turn), shift * math.sin(turn)))
    return Grid(atlas_id, tuple(squares), tuple(squares[i].id for i in order), tuple(areas), rotation)


def _fields(square: Square) -> dict[str, object]:
    return {name: getattr(square, name) for name in ("id", "x_px", "y_px", "stage_x", "stage_y", "ice")}


def _holes(rng: np.random.Generator, square: Square, first_id: int, rotation: float, wanted: int) -> tuple[Hole, ...]:
    side = 14
    pitch = 0.88 * _SQUARE_SIDE_METRE / side
    selected = set(rng.choice(side * side, min(wanted, side * side), replace=False).tolist())
    holes: list[Hole] = []
    for n in range(side * side):
        row, column = divmod(n, side)
        u, v = (column - (side - 1) / 2) * pitch, (row - (side - 1) / 2) * pitch
        x = u * math.cos(rotation) - v * math.sin(rotation)
        y = u * math.sin(rotation) + v * math.cos(rotation)
        x_px = SQUARE_WIDTH_PX / 2 + x / SQUARE_METRE_PER_PX + rng.normal(0, 1)
        y_px = SQUARE_HEIGHT_PX / 2 + y / SQUARE_METRE_PER_PX + rng.normal(0, 1)
        holes.append(Hole(first_id + n, x_px, y_px, square.stage_x + x, square.stage_y - y, n in selected))
    return tuple(holes)


def draw_atlas(grid: Grid) -> bytes:
    """Return the JPEG preview of the atlas, 512 pixels wide."""
    scale = _PREVIEW_PX / ATLAS_PX
    picture = Image.new("L", (_PREVIEW_PX, _PREVIEW_PX), 28)
    draw = ImageDraw.Draw(picture)
    half = 0.5 * _SQUARE_SIDE_METRE / ATLAS_METRE_PER_PX * scale
    reach = 0.62 * _PREVIEW_PX / 2 + 6
    middle = _PREVIEW_PX / 2
    draw.ellipse((middle - reach, middle - reach, middle + reach, middle + reach), fill=52)
    for square in grid.squares:
        shade = int(225 - 150 * square.ice)
        draw.polygon(_corners(square.x_px * scale, square.y_px * scale, half, grid.rotation_rad), fill=shade)
    return _jpeg(_grain(picture, grid.atlas_id))


def draw_square(grid: Grid, square: Square) -> bytes:
    """Return the JPEG preview of a grid square, 512 × 364."""
    scale = _PREVIEW_PX / SQUARE_WIDTH_PX
    picture = Image.new("L", (_PREVIEW_PX, round(SQUARE_HEIGHT_PX * scale)), 30)
    draw = ImageDraw.Draw(picture)
    half = 0.5 * _SQUARE_SIDE_METRE / SQUARE_METRE_PER_PX * scale
    background = int(150 - 70 * square.ice)
    draw.polygon(_corners(picture.width / 2, picture.height / 2, half, grid.rotation_rad), fill=background)
    radius = max(0.5 * _HOLE_SIZE_METRE / SQUARE_METRE_PER_PX * scale, 1.5)
    for hole in square.holes:
        x, y = hole.x_px * scale, hole.y_px * scale
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=int(215 - 80 * square.ice))
    return _jpeg(_grain(picture, square.id))


def draw_hole(hole: Hole, ice: float) -> bytes:
    """Return the JPEG preview of a foil hole, 512 × 364."""
    scale = _PREVIEW_PX / SQUARE_WIDTH_PX
    picture = Image.new("L", (_PREVIEW_PX, round(SQUARE_HEIGHT_PX * scale)), 70)
    draw = ImageDraw.Draw(picture)
    radius = 0.5 * _HOLE_SIZE_METRE / HOLE_METRE_PER_PX * scale
    x, y = picture.width / 2, picture.height / 2
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=int(205 - 80 * ice))
    return _jpeg(_grain(picture, hole.id))


def preview(image: NDArray[np.floating], longest_px: int = _PREVIEW_PX) -> bytes:
    """Return a JPEG of a micrograph (row 0 at the bottom), binned, contrast stretched to mean ± 3 standard deviations."""
    step = max(1, math.ceil(max(image.shape) / longest_px))
    h, w = image.shape[0] // step, image.shape[1] // step
    binned = image[: h * step, : w * step].reshape(h, step, w, step).mean(axis=(1, 3))
    spread = float(binned.std()) or 1.0
    grey = np.clip((binned - binned.mean()) / (6 * spread) + 0.5, 0, 1) * 255
    return _jpeg(Image.fromarray(grey[::-1].astype(np.uint8)))


def _corners(x: float, y: float, half: float, rotation: float) -> list[tuple[float, float]]:
    c, s = half * math.cos(rotation), half * math.sin(rotation)
    return [(x + a * c - b * s, y + a * s + b * c) for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))]


def _grain(picture: Image.Image, seed: int) -> Image.Image:
    grey = np.asarray(picture, np.float32)
    grey = grey + np.random.default_rng(seed).normal(0, 6, grey.shape).astype(np.float32)
    return Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8))


def _jpeg(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=80)
    return stream.getvalue()
