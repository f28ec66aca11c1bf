"""What a person may send: sessions and other folders of the instruments that the person sees, and what of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from pydantic import BaseModel
from sqlalchemy import Connection

from passerelle.core.errors import BadInput, Conflict, NotFound, PasserelleError, printable
from passerelle.core.states import SessionState
from passerelle.service import access
from passerelle.service.access import Actor, Power
from passerelle.service.instrument_access import Sight, sight
from passerelle.service.instruments import Instrument
from passerelle.service.selections import Key, SelectionKind, left_out, root_text, selected, words
from passerelle.service.zone_view import zone_of
from passerelle.store import Database, Movie, Session, movies, sessions, zones
from passerelle.store.paths import from_text, to_text
from passerelle.transfer import Kind, Root, Selection, Weight, Within, open_source, walk_tree, weigh
from passerelle.zones import list_folder, relative_path

_MOST_ENTRIES = 5000


class DatasetView(BaseModel):
    """A dataset. source: relative to the instrument's folder, as `store.paths` carries it. state: open, closed, or empty.

    label: how the command line and the pages call it. processed: whether its movies are judged, so that they can be chosen from.
    """

    instrument: str
    source: str
    name: str
    label: str
    session_id: int | None
    state: str
    program: str
    opened_at: float | None
    changed_at: float | None
    folder: str
    processed: bool


class SquareView(BaseModel):
    """A grid square of a session: its movies, and how many of them are accepted."""

    id: str
    movies: int
    accepted: int


class FolderChoice(BaseModel):
    """A folder of an instrument to choose from. name: for the next request; shown: safe to print."""

    name: str
    source: str
    shown: str


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset as a transfer needs it. source: as `DatasetView`. session: the one whose root it is, if it is one's."""

    instrument: Instrument
    source: str
    session: Session | None

    @property
    def place(self) -> Within:
        return Within(self.instrument.folder, "" if not self.source else str(from_text(self.source)))

    @property
    def name(self) -> str:
        if self.session is not None:
            return self.session.name
        return from_text(self.source).name if self.source else self.instrument.name

    @property
    def label(self) -> str:
        """How the command line and the pages call it; safe to show."""
        return label(self.instrument.name, self.source)


class Datasets:
    """The datasets of a facility."""

    def __init__(self, database: Database, instruments: Mapping[str, Instrument]) -> None:
        self._database, self._instruments = database, instruments

    # -- what there is

    def list(self, actor: Actor) -> list[DatasetView]:
        """Return the datasets of all instruments that a person sees, the one that changed last first.

        Sessions, and folders directly in an instrument's that hold no session: whatever an instrument writes can be sent.
        """
        access.require(actor, Power.LOOK)
        with self._database.read() as connection:
            seen, known = self._sight(connection, actor), sessions.every(connection)
        found: list[DatasetView] = []
        for name, instrument in self._instruments.items():
            if seen.has(name):
                own = [session for session in known if session.instrument == name]
                found += [_view(Dataset(instrument, root_text(session.root), session)) for session in own]
                found += _other_folders(instrument, own)
        return sorted(found, key=lambda each: -(each.changed_at or each.opened_at or 0.0))

    def instruments(self, actor: Actor) -> list[str]:
        """Return the names of the instruments that a person sees."""
        access.require(actor, Power.LOOK)
        with self._database.read() as connection:
            seen = self._sight(connection, actor)
        return [name for name in self._instruments if seen.has(name)]

    def find(self, actor: Actor, instrument: str, source: str) -> Dataset:
        """Return a dataset. source: a folder within the instrument's, as views carry it; "" is all of it.

        Raises:
            NotFound: no such instrument or folder, or the person does not see the instrument. BadInput: the path leads elsewhere.
        """
        access.require(actor, Power.LOOK)
        text = root_text(relative_path(str(from_text(source))) if source.strip("/") else "")
        with self._database.read() as connection:
            if not self._sight(connection, actor).has(instrument) or instrument not in self._instruments:
                raise NotFound(f"There is no instrument `{printable(instrument, 80)}`.")
            session = sessions.find(connection, instrument, text or ".") or sessions.find(connection, instrument, text)
        dataset = Dataset(self._instruments[instrument], text, session)
        open_source(dataset.place).close()
        return dataset

    def of_session(self, actor: Actor, session_id: int) -> Dataset:
        """Return the dataset of a session.

        Raises:
            NotFound: no such session, or the person does not see its instrument, or its folder is away.
        """
        with self._database.read() as connection:
            session = sessions.get(connection, session_id)
            if not self._sight(connection, actor).has(session.instrument):
                raise NotFound(f"There is no session {session_id}.")
        return self.find(actor, session.instrument, root_text(session.root))

    def named(self, actor: Actor, name: str) -> Dataset:
        """Return what a person means by a name: a session's number, INSTRUMENT/FOLDER, or the path of a folder.

        Raises:
            NotFound: it is none of these.
        """
        if name.isdecimal() and len(name) < 19:
            return self.of_session(actor, int(name))
        if name.startswith("/"):
            path = PurePosixPath(name)
            for key, instrument in self._instruments.items():
                if path.is_relative_to(instrument.folder):
                    within = path.relative_to(instrument.folder)
                    return self.find(actor, key, root_text(within))
            raise NotFound("lies in no instrument's folder.", advice="`passerelle sessions` lists sessions.", path=name)
        instrument, _, source = name.partition("/")
        return self.find(actor, instrument, to_text(source))

    def browse(
        self, actor: Actor, instrument: str, source: str = "", *, after: str = "", limit: int = 1000
    ) -> list[FolderChoice]:
        """List the folders within one, by name.

        Raises:
            NotFound: as `find`.
        """
        dataset = self.find(actor, instrument, source)
        start = str(from_text(after)) if after else ""
        within = PurePosixPath(dataset.place.path)
        listing = list_folder(dataset.instrument.folder, within, after=start, limit=min(limit, _MOST_ENTRIES))
        return [
            FolderChoice(
                name=to_text(entry.name),
                source="/".join(filter(None, (dataset.source, to_text(entry.name)))),
                shown=printable(entry.name),
            )
            for entry in listing.entries
            if entry.kind == "folder"
        ]

    def view(self, dataset: Dataset) -> DatasetView:
        """Return a dataset as it is shown."""
        return _view(dataset)

    # -- what of it

    def squares(self, dataset: Dataset) -> list[SquareView]:
        """Return the grid squares whose movies are known, by name; none where the program tells nothing."""
        with self._database.read() as connection:
            known = self._movies(connection, dataset)
        all_of = Counter(movie.grid_square for _, movie in known if movie.grid_square)
        good = {movie.id for movie in selected(SelectionKind.ACCEPTED, (), [movie for _, movie in known])}
        accepted = Counter(movie.grid_square for _, movie in known if movie.id in good)
        return [SquareView(id=square, movies=count, accepted=accepted[square]) for square, count in sorted(all_of.items())]

    def selection(self, dataset: Dataset, kind: SelectionKind, squares: Sequence[str]) -> tuple[str, frozenset[str]]:
        """Return a selection in words, and the paths that it leaves out; ("", nothing) for the whole.

        Raises:
            BadInput: it cannot be chosen from. Conflict: nothing would be left of its movies. NotFound, StorageError: as `find`.
        """
        if kind is SelectionKind.WHOLE:
            return "", frozenset()
        if not dataset.instrument.settings.processing:
            raise BadInput(
                f"Nothing of {dataset.instrument.name} is judged: its movies are not processed.", advice="Send the whole dataset."
            )
        with self._database.read() as connection:
            known = self._movies(connection, dataset)
        wanted = {movie.id for movie in selected(kind, squares, [movie for _, movie in known])}
        if not wanted:
            what = "is accepted yet" if kind is SelectionKind.ACCEPTED else "lies in these squares"
            raise Conflict(f"No movie of {dataset.name} {what}.", advice="Send the whole dataset, or wait.")
        chosen: set[Key] = {(root_text(session.root), movie.key) for session, movie in known if movie.id in wanted}
        with open_source(dataset.place) as root:
            out = left_out(_names(root), dataset.instrument.program, PurePosixPath(dataset.place.path), chosen)
        return words(kind, squares), out

    def weigh(self, dataset: Dataset, kind: SelectionKind, squares: Sequence[str]) -> Weight:
        """Count files and bytes that a transfer would bring.

        Raises:
            BadInput, Conflict, NotFound, StorageError: as `selection`.
        """
        said, out = self.selection(dataset, kind, squares)
        with open_source(dataset.place) as root:
            return weigh(root, Selection(said, lambda path: path not in out) if said else None)

    # -- within

    def _sight(self, connection: Connection, actor: Actor) -> Sight:
        folders = {name: each.folder for name, each in self._instruments.items()}
        return sight(actor, folders, [zone_of(row) for row in zones.every(connection)])

    def _movies(self, connection: Connection, dataset: Dataset) -> list[tuple[Session, Movie]]:
        """Return the movies of all sessions that lie in a dataset."""
        found: list[tuple[Session, Movie]] = []
        for session in sessions.every(connection):
            root = root_text(session.root)
            inside = not dataset.source or root == dataset.source or root.startswith(f"{dataset.source}/")
            if session.instrument == dataset.instrument.name and inside:
                found += [(session, movie) for movie in movies.of_session(connection, session.id)]
        return found


def _names(root: Root) -> Iterator[str]:
    for listing in walk_tree(root, lambda path, error: None):
        yield from (entry.path for entry in listing.entries.values() if entry.kind is not Kind.FOLDER)


def _view(dataset: Dataset) -> DatasetView:
    session, instrument = dataset.session, dataset.instrument
    return DatasetView(
        instrument=instrument.name,
        source=dataset.source,
        name=printable(dataset.name),
        label=dataset.label,
        session_id=session.id if session else None,
        state=session.state if session else "",
        program=session.program if session else "",
        opened_at=session.opened_at if session else None,
        changed_at=session.last_file_at if session else None,
        folder=printable(str(dataset.place.whole), 4096),
        processed=session is not None and instrument.settings.processing,
    )


def _other_folders(instrument: Instrument, own: Sequence[Session]) -> Iterator[DatasetView]:
    """Yield the folders directly in an instrument's in which no session lies."""
    taken = {root_text(session.root).partition("/")[0] for session in own}
    try:
        entries = list_folder(instrument.folder, limit=_MOST_ENTRIES).entries
    except PasserelleError:  # its folder is away: the watch says so
        return
    for entry in entries:
        if entry.kind == "folder" and to_text(entry.name) not in taken:
            yield _view(Dataset(instrument, to_text(entry.name), None)).model_copy(update={"changed_at": entry.mtime_ns / 1e9})


def label(instrument: str, source: str) -> str:
    """Return how a dataset is called; safe to show. source: as `store.paths` carries it."""
    return printable(f"{instrument}/{from_text(source) if source else ''}")


def is_open(dataset: Dataset) -> bool:
    """Say whether an acquisition may still write to a dataset, as far as its session tells."""
    return dataset.session is not None and dataset.session.state is SessionState.OPEN
