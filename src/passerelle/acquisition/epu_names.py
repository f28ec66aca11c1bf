"""The names that EPU 1.x to 3.9 gives to files and folders: path -> role."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from passerelle.acquisition.naming import MOVIE_SUFFIXES, PICTURE_SUFFIXES, is_temporary, reference_role
from passerelle.acquisition.program import Place, Role

# FoilHole_<hole>_Data_<area>_<setting>_<date>_<time>; with a K2 EPU appends -<number> to the movie's name only
_EXPOSURE = re.compile(
    r"(?P<key>FoilHole_(?P<hole>\d+)_Data_\d+(?:_\d+)?_\d{8}_\d{3,6})(?P<k2>-\d+)?(?P<rest>[^.]*)(?P<suffix>\.[A-Za-z0-9]{1,8})",
    re.IGNORECASE | re.ASCII,
)
_FOIL_HOLE = re.compile(r"FoilHole_\d+(_\d{8}_\d{3,6})?[^.]*\.[A-Za-z0-9]{1,8}", re.IGNORECASE | re.ASCII)
_SQUARE = re.compile(r"GridSquare_\d+(_\d{3,6})?[^.]*\.(xml|jpe?g|png|mrc|tiff?|dm)", re.IGNORECASE | re.ASCII)
_ATLAS_FILE = re.compile(r"(Atlas|Tile)(_\d+)*[^.]*\.(dm|xml|jpe?g|png|mrc|tiff?)", re.IGNORECASE | re.ASCII)
_DISC = re.compile(r"Images-Disc\d+", re.IGNORECASE | re.ASCII)
_SQUARE_FOLDER = re.compile(r"GridSquare_(?P<square>\d+)", re.IGNORECASE | re.ASCII)
_SAMPLE_FOLDER = re.compile(r"Sample\d+", re.IGNORECASE | re.ASCII)
_INNER_FOLDERS = frozenset({"data", "foilholes", "metadata", "atlas"})
_FRAME = re.compile(r"(?:_frames)?_n(?P<frame>\d{1,5})", re.IGNORECASE | re.ASCII)  # Falcon 2: one file a frame, …_n0.mrc
_MOVIE_ENDINGS = frozenset({"_fractions", "_eer", "_frames", "_movie"})
_PICTURE_OR_SUM = PICTURE_SUFFIXES | MOVIE_SUFFIXES

_EXPECTS = frozenset({Role.MOVIE_METADATA})


def place(path: PurePosixPath) -> Place | None:
    """Say what a path means to EPU; None where neither its name nor its folders are EPU's, nor is it a gain reference."""
    name = path.name
    session = session_root(path)
    if is_temporary(name):
        return Place(session, Role.OTHER) if _inside_session(path) else None
    if name.lower() == "epusession.dm":
        return Place(path.parent, Role.SESSION_METADATA)
    exposure = _EXPOSURE.fullmatch(name)
    if exposure is not None:
        return _exposure_place(session, exposure)
    if _FOIL_HOLE.fullmatch(name):
        return Place(session, Role.FOIL_HOLE)
    if _SQUARE.fullmatch(name):
        return Place(session, Role.GRID_SQUARE)
    if name.lower() in {"screeningsession.dm", "sample.dm"} or (_ATLAS_FILE.fullmatch(name) and _near_atlas(path)):
        return Place(atlas_root(path), Role.ATLAS)
    reference = reference_role(name)
    if reference is not None:
        return Place(session, reference)
    return Place(session, Role.OTHER) if _inside_session(path) else None


def bears_mark(path: PurePosixPath) -> bool:
    """Whether the name or a folder is EPU's alone; a gain reference of any name also lies beside other programs' movies."""
    if place(path) is None:
        return False
    return reference_role(path.name) is None or _inside_session(path) or "eer_gainreference" in path.name.lower()


def _exposure_place(session: PurePosixPath, name: re.Match[str]) -> Place:
    key, rest, suffix = name["key"], name["rest"].lower(), name["suffix"].lower()
    reference = reference_role(name.string)
    if reference is not None:
        return Place(session, reference)
    frame = _FRAME.fullmatch(rest)
    if frame is not None and suffix in MOVIE_SUFFIXES | {".raw"}:
        return Place(session, Role.FRAME, key, int(frame["frame"]), _EXPECTS)
    if suffix in MOVIE_SUFFIXES and (rest in _MOVIE_ENDINGS or suffix == ".eer" or (name["k2"] and not rest)):
        return Place(session, Role.MOVIE, key, expects=_EXPECTS)
    if suffix == ".xml" and not rest:
        return Place(session, Role.MOVIE_METADATA, key)
    if suffix in _PICTURE_OR_SUM and not rest:
        return Place(session, Role.PREVIEW, key)  # the sum of the frames, or its picture
    return Place(session, Role.OTHER, key)


def session_root(path: PurePosixPath) -> PurePosixPath:
    """Return the folder of the session: above Images-Disc<n>, else above GridSquare_<id> or an inner folder, else the file's own.

    A transfer may have left out any of these folders, or put the session anywhere below the instrument's folder.
    """
    folders = path.parts[:-1]
    for pattern in (_DISC, _SQUARE_FOLDER):
        for index, folder in enumerate(folders):
            if pattern.fullmatch(folder):
                return PurePosixPath(*folders[:index])
    end = len(folders)
    while end and folders[end - 1].lower() in _INNER_FOLDERS:
        end -= 1
    return PurePosixPath(*folders[:end])


def atlas_root(path: PurePosixPath) -> PurePosixPath:
    """Return the folder of a screening session: above Sample<n>/Atlas, else above Atlas, else the file's own."""
    folders = path.parts[:-1]
    end = len(folders)
    if end and folders[end - 1].lower() == "atlas":
        end -= 1
    if end and _SAMPLE_FOLDER.fullmatch(folders[end - 1]):
        end -= 1
    return PurePosixPath(*folders[:end])


def grid_square_of(path: PurePosixPath) -> str | None:
    """Return the id of the grid square in whose folder a file lies."""
    for folder in reversed(path.parts[:-1]):
        match = _SQUARE_FOLDER.fullmatch(folder)
        if match:
            return match["square"]
    return None


def foil_hole_of(path: PurePosixPath) -> str | None:
    """Return the id of the foil hole in the name of an exposure's file."""
    match = _EXPOSURE.fullmatch(path.name)
    return match["hole"] if match else None


def _inside_session(path: PurePosixPath) -> bool:
    return any(_DISC.fullmatch(folder) or _SQUARE_FOLDER.fullmatch(folder) for folder in path.parts[:-1])


def _near_atlas(path: PurePosixPath) -> bool:
    return path.suffix.lower() == ".dm" or path.parent.name.lower() == "atlas" or path.name.lower().startswith("atlas_")
