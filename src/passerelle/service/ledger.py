"""The pipeline's ledger, kept in the movies table: rows <-> work, the specification of a task, and what an outcome leaves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection

from passerelle.acquisition import Role
from passerelle.core.errors import BadInput, IncompleteFile, OutOfSpace, PasserelleError, printable
from passerelle.core.errors import Retry as MayRetry
from passerelle.core.states import FileState, MovieState
from passerelle.pipeline import Failed, Instruction, Phase, Result, Retry, SetAside, Work
from passerelle.processing import MovieOutcome, MovieTask, Recipe
from passerelle.processing.quality import judge
from passerelle.service import flow, tasks
from passerelle.service.admission import inputs_of
from passerelle.service.flow import main_files
from passerelle.service.former_references import seen_now
from passerelle.service.instruments import Instrument
from passerelle.service.places import Places
from passerelle.service.programs import Programs
from passerelle.service.reach import Reach
from passerelle.service.references import candidates, references
from passerelle.service.stored import readable_thresholds, recipe_in_force, thresholds_in_force
from passerelle.store import Database, Movie, Session, alerts, files, movies, paths, sessions

_PHASES = {
    MovieState.QUEUED: Phase.QUEUED,
    MovieState.RUNNING: Phase.RUNNING,
    MovieState.DONE: Phase.DONE,
    MovieState.FAILED: Phase.FAILED,
}
_STATES = {phase: state for state, phase in _PHASES.items()}


class MovieLedger:
    """What the runner sees of the database. failed_limit: so many failures in a row raise an alert. devices: those that
    movies take in turn."""

    def __init__(
        self,
        database: Database,
        instruments: Mapping[str, Instrument],
        places: Places,
        *,
        failed_limit: int = 3,
        threads: int = 1,
        devices: tuple[str, ...] = ("cpu",),
        reach: Reach | None = None,
        programs: Programs | None = None,
    ) -> None:
        self.database = database
        self.instruments = instruments
        self.places = places
        self.failed_limit = failed_limit
        self.threads = threads
        self.devices = devices
        self.reach = reach or Reach()
        self.programs = programs or Programs()
        self._about_to_start: dict[int, MovieTask] = {}

    def startable(self, *, now: float, newest: bool, but_not: Iterable[int]) -> Work | None:
        """Return the next queued movie of an instrument whose folder can be reached."""
        away = self.reach.away
        with self.database.read() as connection:
            found = movies.startable(connection, now=now, newest=newest, limit=1, but_not=but_not, but_not_of=away)
        return _work(found[0]) if found else None

    def running(self) -> Sequence[Work]:
        """Return the movies that are marked as running."""
        with self.database.read() as connection:
            return [_work(movie) for movie in movies.in_state(connection, MovieState.RUNNING)]

    def token(self, work: Work, *, at: float) -> str:
        """Name a run by its movie and its start, which is a column of the row."""
        return _token(work.key, at)

    def task(self, work: Work) -> tuple[str, Mapping[str, Any]]:
        """Return the task of a movie with everything that it needs.

        Raises:
            IncompleteFile: its file changed since it was queued.
            BadInput: its file has a name that no task can carry; a program that its recipe names is not here.
            BadConfiguration: its stored parameters cannot be read by this version.
        """
        self._about_to_start.pop(work.key, None)
        with self.database.read() as connection:
            spec, _ = self._spec(connection, work.key)
        self._about_to_start[work.key] = spec
        return tasks.MOVIE, spec.model_dump(mode="json")

    def read(self, work: Work, content: Mapping[str, Any], *, at: float) -> Result:
        """Tell a result from an error; an outcome that is not one of a movie is a fault and counts as an error."""
        try:
            outcome = MovieOutcome.model_validate(content)
        except ValidationError as error:
            words = f"Its worker answered with something that is no result: {error.error_count()} faults."
            return Result({}, Failed(at, str(work.token), words))
        if outcome.error is None:
            return Result(content)
        words, retry = outcome.error.message, MayRetry(outcome.error.retry)
        full = outcome.error.kind == OutOfSpace.__name__
        blameless = full or outcome.error.absent is not None
        return Result(content, Failed(at, str(work.token), words, "", retry, counts=not blameless, holds=full))

    def record(
        self,
        before: Work,
        after: Work,
        instructions: tuple[Instruction, ...],
        *,
        at: float,
        result: Result | None = None,
    ) -> bool:
        """Write a movie's new state with its result, event and alerts, unless it was changed meanwhile."""
        with self.database.write() as connection:
            movie = movies.get(connection, before.key)
            if movie.state is not _STATES[before.phase] or (before.phase is Phase.RUNNING and _work(movie).token != before.token):
                return False
            values: dict[str, Any] = {
                "attempts": after.attempts,
                "not_before": after.not_before,
                "lease_until": after.lease_until,
                "error": after.error,
                "advice": after.advice,
                "interruptions": after.interruptions,
            }
            story: dict[str, Any] = {"attempts": after.attempts}
            for instruction in instructions:
                if isinstance(instruction, Retry):
                    story |= {"error": instruction.words, "retry_at": instruction.at}
                elif isinstance(instruction, SetAside):
                    story |= {"error": instruction.words, "advice": instruction.advice}
            if after.phase is Phase.RUNNING:
                inputs = self._still_so(connection, movie.id)
                if inputs is None:
                    return False
                values |= {"started_at": at, "inputs": inputs}
            if after.phase in {Phase.DONE, Phase.FAILED}:
                values["finished_at"] = at
            if result is not None and result.content:
                session = sessions.get(connection, movie.session_id)
                values |= _left(result.content, session, done=after.phase is Phase.DONE)
                story |= {name: values[name] for name in ("verdict", "fingerprint") if values.get(name)}
            step = movies.Step(movie, _STATES[after.phase], values, story)
            movies.move_all(connection, [step], at=at)
            if after.phase is Phase.QUEUED and result is not None and result.failed is not None and not result.failed.counts:
                self._apply(connection, movie, self._hindrance(connection, movie, result), at)
            if after.phase in {Phase.DONE, Phase.FAILED}:
                self._tell(connection, movie, after, result, at)
        return True

    def _still_so(self, connection: Connection, movie_id: int) -> dict[str, Any] | None:
        """Return the inputs of a movie that is about to start; None if its task has become another since `task` made it."""
        asked = self._about_to_start.pop(movie_id, None)
        if asked is None:
            return {}  # `task` could not make one: it is started only to be set aside or retried
        try:
            spec, inputs = self._spec(connection, movie_id)
        except PasserelleError:
            return None
        return inputs if spec == asked else None

    def _tell(self, connection: Connection, movie: Movie, after: Work, result: Result | None, at: float) -> None:
        outcome = None if result is None else MovieOutcome.model_validate(result.content)
        moves = flow.after_movie(
            outcome if after.phase is Phase.DONE else None,
            name=movie.key,
            error=after.error,
            failed_in_a_row=movies.failed_in_a_row(connection, movie.session_id),
            failed_limit=self.failed_limit,
        )
        self._apply(connection, movie, moves, at)

    def _hindrance(self, connection: Connection, movie: Movie, result: Result) -> tuple[flow.AlertMove, ...]:
        """Return what to tell of a run that failed through no fault of the movie."""
        assert result.failed is not None
        if result.failed.holds:
            # without content it is the outcome itself that found no room
            folder = self.places.results if result.content else self.places.outcomes
            return (flow.no_space(result.failed.words, folder),)
        outcome = MovieOutcome.model_validate(result.content)
        instrument = self.instruments.get(sessions.get(connection, movie.session_id).instrument)
        configured = () if instrument is None else (instrument.settings.gain, instrument.settings.defects)
        absent = None if outcome.error is None else outcome.error.absent
        named = any(path is not None and str(path) == absent for path in configured)
        return (flow.reference_absent(result.failed.words),) if named else ()  # of folders the watch tells, files it calls gone

    def _apply(self, connection: Connection, movie: Movie, moves: Iterable[flow.AlertMove], at: float) -> None:
        for move in moves:
            if isinstance(move, flow.Clear):
                alerts.clear(connection, move.kind, session_id=movie.session_id, at=at)
            else:
                alerts.raise_(
                    connection,
                    move.kind,
                    level=move.level,
                    message=move.message,
                    advice=move.advice,
                    session_id=movie.session_id,
                    at=at,
                )

    def _spec(self, connection: Connection, movie_id: int) -> tuple[MovieTask, dict[str, Any]]:
        movie = movies.get(connection, movie_id)
        session = sessions.get(connection, movie.session_id)
        instrument = self.instruments.get(session.instrument)
        if instrument is None:
            raise BadInput(
                f"the instrument {session.instrument} is not in the configuration any more.", advice="Put its section back."
            )
        companions = files.of_movies(connection, session.id, [movie.key])[movie.key]
        main = [file for file in main_files(companions) if file.state is not FileState.GONE]
        lying = candidates(connection, session)
        chosen = references(movie, lying, instrument)
        recipe = recipe_of(session, movie, instrument, chosen.gain)
        inputs = inputs_of(movie, companions, instrument, lying) | seen_now(instrument)
        if not main or any(file.state is not FileState.WHOLE for file in main):
            raise IncompleteFile("changed after it was queued.", path=movie.path)
        real = [instrument.folder / paths.from_text(file.path) for file in main]
        rank = movies.rank(connection, movie)
        task = MovieTask(
            movie_id=movie.id,
            name=printable(movie.key),
            movie=self.places.carried(movie.id, real[0], 0),
            frames=tuple(self.places.carried(movie.id, path, index) for index, path in enumerate(real))
            if main[0].role == Role.FRAME
            else (),
            size=sum(file.size for file in main),
            mtime_ns=max(file.mtime_ns for file in main),
            generation=movie.generation,
            metadata=flow.values_that_matter(movie.metadata.get("values", {})),
            gain=None if chosen.gain is None else self.places.carried(movie.id, Path(chosen.gain), -1),
            defects=None if chosen.defects is None else self.places.carried(movie.id, Path(chosen.defects), -2),
            check_gain=chosen.gain is not None and rank < recipe.gain.check_movies,
            recipe=recipe,
            programs=self.programs.uses(recipe),
            thresholds=thresholds_in_force(session),
            folder=str(self.places.movie_folder(session, movie)),
            threads=self.threads,
            device=self.devices[(movie.id + movie.attempts) % len(self.devices)],  # another try, another card
        )
        return task, inputs


def recipe_of(session: Session, movie: Movie, instrument: Instrument, gain: str | None) -> Recipe:
    """Return the recipe in force for a movie, with what its format and gain make of it. Raises BadConfiguration."""
    recipe = recipe_in_force(session, movie)
    # A .gain is to be multiplied by; a gain that EER users keep as MRC or TIFF is to be divided by (RELION: renderEER.h)
    if instrument.settings.gain_mode is None and gain is not None and movie.path.lower().endswith(".eer"):
        mode = "multiply" if gain.lower().endswith(".gain") else "divide"
        return recipe.model_copy(update={"gain": recipe.gain.model_copy(update={"mode": mode})})
    return recipe


def _token(key: int, at: float) -> str:
    return f"movie-{key}-{round(at * 1e6)}"


def _work(movie: Movie) -> Work:
    running = movie.state is MovieState.RUNNING and movie.started_at is not None
    return Work(
        key=movie.id,
        phase=_PHASES[movie.state],
        attempts=movie.attempts,
        not_before=movie.not_before,
        token=_token(movie.id, movie.started_at) if running and movie.started_at is not None else None,
        lease_until=movie.lease_until,
        error=movie.error,
        advice=movie.advice,
        interruptions=movie.interruptions,
    )


def _left(content: Mapping[str, Any], session: Session, *, done: bool) -> dict[str, Any]:
    """Return the columns that an outcome fills. Of a failed movie the steps that were done are kept, and no verdict."""
    outcome = MovieOutcome.model_validate(content)
    plain = outcome.model_dump(mode="json")
    left: dict[str, Any] = {"fingerprint": outcome.fingerprint, "metrics": plain["metrics"], "steps": plain["steps"]}
    if not done:
        return left | {"verdict": None, "reasons": []}
    # by the thresholds of now: a person may have changed them while it ran
    verdict, reasons = judge(outcome.metrics, readable_thresholds(session))
    return left | {"verdict": verdict, "reasons": list(reasons)}
