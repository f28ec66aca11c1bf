"""The map of a session's grid: EPU's files read from the instrument's folder, joined with the movies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import Any

from sqlalchemy import Connection

from passerelle.acquisition import Role
from passerelle.acquisition.grid import Atlas, EpuSession, GridMap, GridSquare, PictureGeometry, StageMark, is_atlas_of, lay_out
from passerelle.acquisition.grid_files import read_atlas, read_epu_session, read_grid_square, read_picture_geometry
from passerelle.core.errors import NotFound, PasserelleError, storage_errors
from passerelle.core.log import logger
from passerelle.core.states import FileState
from passerelle.service.instruments import Instrument
from passerelle.service.view import GridHole, GridView
from passerelle.service.view import GridSquare as GridSquareView
from passerelle.store import Database, File, Session, files, movies, paths, sessions

_LARGEST_FILE = 64 << 20
_PICTURES = (".jpg", ".jpeg", ".png")
_KEPT = 5000

_Reader = Callable[[PurePosixPath, bytes], Any]


class Grids:
    """Makes maps. A file that was read is kept until it changes. Safe to use from several threads."""

    def __init__(self, database: Database, instruments: Mapping[str, Instrument]) -> None:
        self.database = database
        self.instruments = instruments
        self._kept: dict[tuple[str, str], tuple[int, int, Any]] = {}
        self._lock = Lock()

    def view(self, session_id: int) -> GridView | None:
        """Return the map of a session; None where nothing is known of its grid.

        Raises:
            NotFound: no such session.
        """
        with self.database.read() as connection:
            session = sessions.get(connection, session_id)
            found = _GridFiles.of(connection, session)
            known = movies.rows(connection, session_id)
            marks = [_mark(movie) for movie in movies.of_session(connection, session_id) if movie.foil_hole and movie.grid_square]
        grid = self._map(session, found, marks)
        if grid is None:
            return None
        by_key = {row.key: row.id for row in known}
        return GridView(
            picture=f"/sessions/{session_id}/grid/atlas" if self._picture(found.atlases, grid.picture) else None,
            width_px=grid.width_px,
            height_px=grid.height_px,
            squares=tuple(self._square(square, found, by_key) for square in grid.squares),
        )

    def picture(self, session_id: int, square_id: str | None) -> Path:
        """Return the picture of the atlas (None) or of a square.

        Raises:
            NotFound: no such session, or no picture of it.
        """
        with self.database.read() as connection:
            session = sessions.get(connection, session_id)
            found = _GridFiles.of(connection, session)
        grid = self._map(session, found, [])
        if grid is not None and square_id is None and (file := self._picture(found.atlases, grid.picture)) is not None:
            return self._path(session, file)
        for square in grid.squares if grid is not None else ():
            if square.id == square_id and (file := self._picture(found.squares, square.picture)) is not None:
                return self._path(session, file)
        raise NotFound(f"There is no picture of {'the atlas' if square_id is None else f'grid square {square_id}'}.")

    def _square(self, square: Any, found: _GridFiles, by_key: Mapping[str, int]) -> GridSquareView:
        return GridSquareView(
            id=square.id,
            x=square.x_px,
            y=square.y_px,
            picture=square.picture if self._picture(found.squares, square.picture) else None,
            width_px=square.width_px,
            height_px=square.height_px,
            holes=tuple(
                GridHole(
                    id=hole.id,
                    square=square.id,
                    x=hole.x_px,
                    y=hole.y_px,
                    movies=tuple(by_key[key] for key in hole.movies if key in by_key),
                )
                for hole in square.holes
            ),
        )

    def _map(self, session: Session, found: _GridFiles, marks: list[StageMark]) -> GridMap | None:
        instrument = self.instruments.get(session.instrument)
        if instrument is None or not (found.sessions or found.squares or marks):
            return None
        said = next(self._read_all(instrument, found.sessions, ".dm", read_epu_session), None)
        epu: EpuSession | None = said[1] if said else None
        atlas: Atlas | None = None
        geometry: PictureGeometry | None = None
        for file, value in self._read_all(instrument, found.atlases, ".dm", read_atlas):
            # of the screening sessions of an instrument, only the one that this session names is its own
            if file.session_id == session.id or (epu is not None and is_atlas_of(epu, paths.from_text(file.path))):
                atlas = value
        if atlas is not None and atlas.picture:
            for file, value in self._read_all(instrument, found.atlases, ".xml", read_picture_geometry):
                if _stem(file) == atlas.picture:
                    geometry = value
        squares: list[GridSquare] = [each for _, each in self._read_all(instrument, found.squares, ".dm", read_grid_square)]
        named = {square.picture: square.id for square in squares if square.picture}
        pictures: dict[str, tuple[str, PictureGeometry]] = {}
        for file, value in self._read_all(instrument, found.squares, ".xml", read_picture_geometry):
            key = named.get(_stem(file)) or _square_id(file)
            if key is not None:
                pictures[key] = _stem(file), value
        return lay_out(atlas=atlas, atlas_geometry=geometry, squares=squares, pictures=pictures, marks=marks)

    def _read_all(self, instrument: Instrument, found: list[File], suffix: str, reader: _Reader) -> Iterator[tuple[File, Any]]:
        """Yield what the files with this suffix hold; one that cannot be read is left out of the map."""
        for file in found:
            if not file.path.lower().endswith(suffix) or file.state is not FileState.WHOLE:
                continue
            value = self._read(instrument, file, reader)
            if value is not None:
                yield file, value

    def _read(self, instrument: Instrument, file: File, reader: _Reader) -> Any:
        key = (instrument.name, file.path)
        with self._lock:
            kept = self._kept.get(key)
        if kept is not None and kept[:2] == (file.size, file.mtime_ns):
            return kept[2]
        relative = paths.from_text(file.path)
        value = None
        try:
            with storage_errors(instrument.folder / relative), (instrument.folder / relative).open("rb") as stream:
                content = stream.read(_LARGEST_FILE)
            value = reader(relative, content)
        except PasserelleError as error:
            logger.warning("grid_file_unreadable", error=str(error))
        with self._lock:
            while len(self._kept) >= _KEPT:
                self._kept.pop(next(iter(self._kept)))
            self._kept[key] = (file.size, file.mtime_ns, value)
        return value

    def _picture(self, found: list[File], name: str | None) -> File | None:
        for file in found if name else ():
            if _stem(file) == name and file.path.lower().endswith(_PICTURES) and file.state is FileState.WHOLE:
                return file
        return None

    def _path(self, session: Session, file: File) -> Path:
        instrument = self.instruments.get(session.instrument)
        if instrument is None:
            raise NotFound(f"The instrument {session.instrument} is not in the configuration any more.")
        return instrument.folder / paths.from_text(file.path)


class _GridFiles:
    """The files of a grid. The atlas lies in a screening session of its own, so it is looked for in all of the instrument."""

    def __init__(self, own: list[File], atlases: list[File], squares: list[File]) -> None:
        self.sessions, self.atlases, self.squares = own, atlases, squares

    @classmethod
    def of(cls, connection: Connection, session: Session) -> _GridFiles:
        others = [each for each in sessions.every(connection) if each.instrument == session.instrument]
        return cls(
            files.of_role(connection, session.id, Role.SESSION_METADATA),
            [file for each in others for file in files.of_role(connection, each.id, Role.ATLAS)],
            files.of_role(connection, session.id, Role.GRID_SQUARE),
        )


def _mark(movie: Any) -> StageMark:
    values = movie.metadata.get("values", {})
    return StageMark(
        square=movie.grid_square,
        hole=movie.foil_hole,
        stage_x_um=values.get("stage_x_um"),
        stage_y_um=values.get("stage_y_um"),
        movie=movie.key,
    )


def _stem(file: File) -> str:
    return PurePosixPath(file.path).stem


def _square_id(file: File) -> str | None:
    """Return the id of the square in whose folder a picture lies (Images-Disc1/GridSquare_<id>/GridSquare_<date>.jpg)."""
    folder = PurePosixPath(file.path).parent.name
    return folder.partition("_")[2] or None if folder.startswith("GridSquare_") else None
