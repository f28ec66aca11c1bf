"""What the file, its sidecar and the configuration say of an exposure, collected as they come and reconciled."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any

from sqlalchemy import Connection

from passerelle.acquisition import Metadata, Role, reconcile
from passerelle.core.errors import BadFile, PasserelleError, storage_errors
from passerelle.core.states import FileState
from passerelle.gateway import Arrival, FileChange
from passerelle.service import flow
from passerelle.service.instruments import Instrument
from passerelle.service.stored import readable
from passerelle.store import File, Movie, movies, paths

_LARGEST_SIDECAR = 16 << 20
_KEPT = 20_000


class Sidecars:
    """Reads sidecars when they come and keeps what they say for movies that come after them. Safe to use from several threads."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str], Metadata | PasserelleError] = OrderedDict()
        self._lock = Lock()

    def read(self, instrument: Instrument, path: str) -> Metadata | PasserelleError:
        """Read a sidecar from the disk; an error is an answer, too: the movie goes on without.

        path: relative to the instrument's folder, as text.
        """
        said = _read(instrument, path)
        with self._lock:
            self._kept[instrument.name, path] = said
            self._kept.move_to_end((instrument.name, path))
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return said

    def said(self, instrument: Instrument, path: str) -> Metadata | PasserelleError:
        """Return what was read; read it if it came before a restart."""
        with self._lock:
            found = self._kept.get((instrument.name, path))
        return self.read(instrument, path) if found is None else found


def _read(instrument: Instrument, text: str) -> Metadata | PasserelleError:
    relative = paths.from_text(text)
    try:
        with storage_errors(instrument.folder / relative), (instrument.folder / relative).open("rb") as stream:
            content = stream.read(_LARGEST_SIDECAR + 1)
        if len(content) > _LARGEST_SIDECAR:
            raise BadFile(f"is larger than {_LARGEST_SIDECAR >> 20} MiB: no sidecar is.", path=relative)
        return instrument.program.read_sidecar(relative, content)
    except PasserelleError as error:
        return error


def header_says(change: FileChange) -> Metadata | None:
    """Return what a movie's own header says of the exposure; None where the watch read none."""
    if not isinstance(change, Arrival) or change.header is None or change.place.movie is None:
        return None
    if change.place.role not in {Role.MOVIE, Role.FRAME}:
        return None
    header = change.header
    heard: dict[str, Any] = {
        name: inner for name, inner in (header.values or {}).items() if name in Metadata.model_fields and inner is not None
    }
    heard |= {"height_px": header.height, "width_px": header.width}
    if header.pixel_size_angstrom is not None:
        heard["pixel_size_angstrom"] = header.pixel_size_angstrom
    if change.place.role is Role.MOVIE and header.format != "eer":  # frames of an EER are cut as the recipe says
        heard["frames"] = header.frames
    return readable(Metadata, heard)


def tell(
    connection: Connection,
    instrument: Instrument,
    known: Sequence[Movie],
    companions: Mapping[str, Sequence[File]],
    from_file: Mapping[str, Metadata],
    sidecars: Sidecars,
) -> tuple[dict[int, tuple[str, ...]], list[PasserelleError]]:
    """Write what is new about these movies, reconciled. Return by movie the values that matter and changed; and bad sidecars."""
    changes: list[tuple[Movie, Mapping[str, Any]]] = []
    mattering: dict[int, tuple[str, ...]] = {}
    problems: list[PasserelleError] = []
    for movie in known:
        heard: dict[str, Any] = {"configuration": _plain(instrument.configured)}
        if movie.key in from_file:
            heard["file"] = _plain(from_file[movie.key])
        elif "file" in movie.said:
            heard["file"] = dict(movie.said["file"])
        sidecar, problem = _sidecar(instrument, companions.get(movie.key, ()), sidecars)
        if sidecar is not None:
            heard["sidecar"] = _plain(sidecar)
        elif "sidecar" in movie.said:
            heard["sidecar"] = dict(movie.said["sidecar"])  # it may be gone by now, as the movie itself may be
        if problem is not None:
            problems.append(problem)
        if heard == movie.said:
            continue
        result = reconcile({source: readable(Metadata, values) for source, values in heard.items()})
        values = result.model_dump(mode="json")
        changes.append((movie, {"said": heard, "metadata": values, **flow.columns(result.values)}))
        mattering[movie.id] = flow.must_redo(movie.metadata.get("values", {}), values["values"])
    movies.change_all(connection, changes)
    return mattering, problems


def _sidecar(
    instrument: Instrument, companions: Sequence[File], sidecars: Sidecars
) -> tuple[Metadata | None, PasserelleError | None]:
    """Return what the latest readable sidecar of a movie says, and the error of one that cannot be read."""
    problem = None
    for file in reversed(companions):
        if file.role == Role.MOVIE_METADATA and file.state is FileState.WHOLE:
            said = sidecars.said(instrument, file.path)
            if isinstance(said, Metadata):
                return said, None
            problem = said
    return None, problem


def _plain(metadata: Metadata) -> dict[str, Any]:
    return metadata.model_dump(mode="json", exclude_none=True)
