"""The geometry of a grid: atlas picture -> squares -> holes -> exposures, as frozen values, and how they are put on one map.

Where EPU wrote the pixel of a thing (Atlas.dm: nodes; GridSquare_<id>.dm: foil holes) that is taken. Else a stage position is
put into a picture by the picture's own transformation, which is good to a few per cent of the distance from its centre: on a
real square of 570 holes the worst is off by 51 of 2880 px. Pixels count from the picture's top left corner, y downwards.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath


@dataclass(frozen=True, slots=True)
class AtlasSquare:
    """A grid square that EPU found in the atlas. x, y, width, height: pixels in the atlas picture."""

    id: str
    x_px: float
    y_px: float
    width_px: float
    height_px: float
    rotation_deg: float | None
    stage_x_um: float | None
    stage_y_um: float | None
    category: int | None


@dataclass(frozen=True, slots=True)
class Atlas:
    """The atlas of one grid. picture: file name without suffix (`Atlas_19495690`), None before it was acquired."""

    picture: str | None
    width_px: float | None
    height_px: float | None
    squares: tuple[AtlasSquare, ...]


@dataclass(frozen=True, slots=True)
class EpuSession:
    """What EpuSession.dm says. atlas: path of Atlas.dm as the microscope saw it, `/` between its parts. squares: their ids."""

    name: str | None
    atlas: str | None
    slot: int | None
    started_at: float | None
    fractions_format: str | None
    squares: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HoleExposure:
    """A planned or taken exposure of a hole. name: of its files, without suffix: the movie's key."""

    id: str
    name: str | None


@dataclass(frozen=True, slots=True)
class FoilHole:
    """A foil hole. x, y, diameter: pixels in the square's picture."""

    id: str
    x_px: float
    y_px: float
    diameter_px: float | None
    stage_x_um: float | None
    stage_y_um: float | None
    selected: bool
    near_grid_bar: bool
    exposures: tuple[HoleExposure, ...]


@dataclass(frozen=True, slots=True)
class GridSquare:
    """What GridSquare_<id>.dm says. picture: file name without suffix."""

    id: str
    atlas_square: str | None
    picture: str | None
    stage_x_um: float | None
    stage_y_um: float | None
    holes: tuple[FoilHole, ...]


@dataclass(frozen=True, slots=True)
class PictureGeometry:
    """Where a picture lies: its size, the stage at its centre, and the stage's step for one pixel along x and along y."""

    width_px: float
    height_px: float
    pixel_size_um: float
    stage_x_um: float
    stage_y_um: float
    step_x_um: tuple[float, float]
    step_y_um: tuple[float, float]

    def locate(self, stage_x_um: float, stage_y_um: float) -> tuple[float, float] | None:
        """Return the pixel at a stage position, None where the picture's transformation has no inverse."""
        (a, c), (b, d) = self.step_x_um, self.step_y_um
        determinant = a * d - b * c
        if abs(determinant) < 1e-30:
            return None
        x, y = stage_x_um - self.stage_x_um, stage_y_um - self.stage_y_um
        place = self.width_px / 2 + (d * x - b * y) / determinant, self.height_px / 2 + (a * y - c * x) / determinant
        return place if all(math.isfinite(pixel) for pixel in place) else None


@dataclass(frozen=True, slots=True)
class HoleOnMap:
    """A foil hole on the map. x, y: pixels in its square's picture, None where nothing tells."""

    id: str
    x_px: float | None
    y_px: float | None
    diameter_px: float | None
    movies: tuple[str, ...]  # keys


@dataclass(frozen=True, slots=True)
class SquareOnMap:
    """A grid square on the map. x, y: pixels in the atlas picture. picture: of the square, file name without suffix."""

    id: str
    x_px: float | None
    y_px: float | None
    picture: str | None
    width_px: float | None
    height_px: float | None
    holes: tuple[HoleOnMap, ...]


@dataclass(frozen=True, slots=True)
class GridMap:
    """One grid. picture: of the atlas, file name without suffix."""

    picture: str | None
    width_px: float | None
    height_px: float | None
    squares: tuple[SquareOnMap, ...]


@dataclass(frozen=True, slots=True)
class StageMark:
    """Where the stage stood for a foil hole, from the hole's own XML or from a movie's values."""

    square: str
    hole: str
    stage_x_um: float | None
    stage_y_um: float | None
    movie: str | None = None  # key


def is_atlas_of(session: EpuSession, path: PurePosixPath) -> bool:
    """Whether the Atlas.dm at `path` is the one that a session names, as far back as both paths reach the screening session."""
    if not session.atlas:
        return False
    named = [part.lower() for part in session.atlas.split("/") if part][-4:]
    found = [part.lower() for part in path.parts][-len(named) :]
    return len(found) >= 2 and named[-len(found) :] == found


def lay_out(
    *,
    atlas: Atlas | None = None,
    atlas_geometry: PictureGeometry | None = None,
    squares: Iterable[GridSquare] = (),
    pictures: Mapping[str, tuple[str, PictureGeometry]] | None = None,
    marks: Iterable[StageMark] = (),
) -> GridMap:
    """Put all that is known of a grid on one map.

    pictures: id of a square -> file name (without suffix) and geometry of its picture. marks: holes that were visited; where a
    square's .dm file is missing they are placed by their stage positions.
    """
    pictures = pictures or {}
    if atlas_geometry is not None:
        # the atlas is stitched: its XML gives the area of one tile
        sized = atlas is not None and atlas.width_px and atlas.height_px
        atlas_geometry = replace(atlas_geometry, width_px=atlas.width_px, height_px=atlas.height_px) if atlas and sized else None
    by_id = {square.id: square for square in squares}
    on_atlas = {square.id: square for square in (atlas.squares if atlas else ())}
    marked: dict[str, dict[str, list[StageMark]]] = {}
    for mark in marks:
        marked.setdefault(mark.square, {}).setdefault(mark.hole, []).append(mark)
    order = dict.fromkeys((*on_atlas, *by_id, *pictures, *marked))
    return GridMap(
        picture=atlas.picture if atlas else None,
        width_px=atlas.width_px if atlas else None,
        height_px=atlas.height_px if atlas else None,
        squares=tuple(
            _square_on_map(key, on_atlas, atlas_geometry, by_id.get(key), pictures.get(key), marked.get(key, {})) for key in order
        ),
    )


def _square_on_map(
    key: str,
    on_atlas: Mapping[str, AtlasSquare],
    atlas_geometry: PictureGeometry | None,
    square: GridSquare | None,
    picture: tuple[str, PictureGeometry] | None,
    marked: Mapping[str, list[StageMark]],
) -> SquareOnMap:
    name, geometry = picture if picture else (square.picture if square else None, None)
    node = on_atlas.get(key) or on_atlas.get((square.atlas_square if square else None) or "")
    place = (node.x_px, node.y_px) if node else _square_by_stage(square, geometry, atlas_geometry)
    holes: dict[str, HoleOnMap] = {}
    for hole in square.holes if square else ():
        keys = [mark.movie for mark in marked.get(hole.id, ()) if mark.movie]
        holes[hole.id] = HoleOnMap(hole.id, hole.x_px, hole.y_px, hole.diameter_px, tuple(dict.fromkeys(keys)))
    for hole_id, marks in marked.items():
        if hole_id not in holes:
            holes[hole_id] = _hole_by_stage(hole_id, marks, geometry)
    return SquareOnMap(
        id=key,
        x_px=place[0] if place else None,
        y_px=place[1] if place else None,
        picture=name,
        width_px=geometry.width_px if geometry else None,
        height_px=geometry.height_px if geometry else None,
        holes=tuple(holes.values()),
    )


def _square_by_stage(
    square: GridSquare | None, geometry: PictureGeometry | None, atlas_geometry: PictureGeometry | None
) -> tuple[float, float] | None:
    if atlas_geometry is None:
        return None
    if geometry is not None:
        return atlas_geometry.locate(geometry.stage_x_um, geometry.stage_y_um)
    if square is not None and square.stage_x_um is not None and square.stage_y_um is not None:
        return atlas_geometry.locate(square.stage_x_um, square.stage_y_um)
    return None


def _hole_by_stage(hole: str, marks: list[StageMark], geometry: PictureGeometry | None) -> HoleOnMap:
    keys = tuple(dict.fromkeys(mark.movie for mark in marks if mark.movie))
    for mark in marks:
        if geometry and mark.stage_x_um is not None and mark.stage_y_um is not None:
            place = geometry.locate(mark.stage_x_um, mark.stage_y_um)
            if place is not None:
                return HoleOnMap(hole, *place, None, keys)
    return HoleOnMap(hole, None, None, None, keys)
