"""From the files of an EPU session to the map of its grid: which file tells what, and what is left out when one is missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from passerelle.acquisition import epu_names
from passerelle.acquisition.grid import Atlas, GridMap, GridSquare, PictureGeometry, StageMark, lay_out
from passerelle.acquisition.grid_files import read_atlas, read_grid_square, read_picture_geometry
from passerelle.acquisition.program import Role
from passerelle.core.errors import BadFile


@dataclass(slots=True)
class _Found:
    atlas: Atlas | None = None
    geometries: dict[str, PictureGeometry] = field(default_factory=dict[str, PictureGeometry])  # by name of the picture
    squares: dict[str, GridSquare] = field(default_factory=dict[str, GridSquare])
    pictures: dict[str, str] = field(default_factory=dict[str, str])  # id of a square -> its last picture by folder
    marks: list[StageMark] = field(default_factory=list[StageMark])
    problems: dict[PurePosixPath, BadFile] = field(default_factory=dict[PurePosixPath, BadFile])


def is_grid_file(path: PurePosixPath) -> bool:
    """Whether `read_grid` learns anything from this file: the .dm of atlas and squares, the XML of atlas, squares and holes."""
    place = epu_names.place(path)
    if place is None or place.role not in {Role.ATLAS, Role.GRID_SQUARE, Role.FOIL_HOLE}:
        return False
    name = path.name.lower()
    if name.endswith(".xml"):
        return not name.startswith("tile")
    return name == "atlas.dm" or (place.role is Role.GRID_SQUARE and name.endswith(".dm"))


def read_grid(
    files: Mapping[PurePosixPath, bytes], movies: Iterable[StageMark] = ()
) -> tuple[GridMap, Mapping[PurePosixPath, BadFile]]:
    """Return the map of one grid, and the files that could not be read, each with its error; the rest goes on without them.

    files: those for which `is_grid_file` holds, of one session and its atlas. movies: the hole and stage position of each movie,
    from its sidecar.
    """
    found = _Found()
    for path, content in sorted(files.items()):
        try:
            _read_one(path, content, found)
        except BadFile as error:
            found.problems[path] = error
    return _map(found, movies), found.problems


def _read_one(path: PurePosixPath, content: bytes, found: _Found) -> None:
    name = path.name.lower()
    if name == "atlas.dm":
        found.atlas = read_atlas(path, content)
    elif name.endswith(".dm"):
        square = read_grid_square(path, content)
        found.squares[square.id] = square
    else:
        geometry = read_picture_geometry(path, content)
        found.geometries[path.stem] = geometry
        square_id = epu_names.grid_square_of(path)
        hole_id = epu_names.foil_hole_picture_of(path)
        if square_id and hole_id:
            found.marks.append(StageMark(square_id, hole_id, geometry.stage_x_um, geometry.stage_y_um))
        elif square_id and name.startswith("gridsquare"):
            found.pictures[square_id] = path.stem  # in the order of names, which end in date and time


def _map(found: _Found, movies: Iterable[StageMark]) -> GridMap:
    pictures: dict[str, tuple[str, PictureGeometry]] = {}
    for square in found.squares.values():
        if square.picture in found.geometries:
            pictures[square.id] = (square.picture, found.geometries[square.picture])
    for square_id, name in found.pictures.items():
        pictures.setdefault(square_id, (name, found.geometries[name]))
    atlas_picture = found.atlas.picture if found.atlas else None
    return lay_out(
        atlas=found.atlas,
        atlas_geometry=found.geometries.get(atlas_picture or ""),
        squares=found.squares.values(),
        pictures=pictures,
        # a hole's own picture first: a movie's stage may be that of its whole cluster (image shift)
        marks=[*found.marks, *movies],
    )
