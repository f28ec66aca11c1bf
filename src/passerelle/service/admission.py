"""Move movies between waiting and queued as their files come, grow again, vanish and return; in the caller's transaction."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from passerelle.acquisition import Role
from passerelle.core.states import FileState, MovieState
from passerelle.service import flow
from passerelle.service.flow import main_files
from passerelle.service.former_references import watched_inputs
from passerelle.service.instruments import Instrument
from passerelle.service.references import Candidates, candidates, references
from passerelle.store import File, Movie, Session, files, movies, paths, sessions

_NOT_WHOLE = frozenset({FileState.GROWING, FileState.UNFINISHED, FileState.BAD})


@dataclass(slots=True)
class Admitted:
    """What was decided. waiting: movies that wait, and when to look again (None: when a file comes)."""

    queued: int = 0
    waiting: dict[int, float | None] = field(default_factory=dict[int, float | None])


def admit(
    connection: Connection,
    session: Session,
    instrument: Instrument,
    ids: Collection[int],
    *,
    mattering: Mapping[int, Sequence[str]],
    at: float,
) -> Admitted:
    """Decide about these movies of one session. mattering: by movie, the values that changed and that its processing uses."""
    lying = candidates(connection, session)
    known = movies.by_id(connection, ids)
    companions = files.of_movies(connection, session.id, [movie.key for movie in known])
    back = [_back(movie, companions[movie.key], instrument, lying, mattering.get(movie.id, ())) for movie in known]
    if any(back):
        movies.move_all(connection, [step for step in back if step is not None], at=at)
        known = movies.by_id(connection, ids)
    admitted = Admitted()
    habit = _sidecar_habit(connection, session)
    steps: list[movies.Step] = []
    notes: list[tuple[Movie, Mapping[str, Any]]] = []
    most_frames = 0
    for movie in known:
        if movie.state is not MovieState.FOUND:
            continue
        own = companions[movie.key]
        answer = _readiness(movie, own, session, instrument, lying, habit, at)
        if isinstance(answer, flow.Ready):
            steps.append(movies.Step(movie, MovieState.QUEUED, _queued(own, answer, at), _story(answer)))
            admitted.queued += 1
            most_frames = max(most_frames, len(answer.files) if answer.files[0].role == Role.FRAME else 0)
        elif isinstance(answer, flow.Vanished):
            steps.append(_gone(movie))
        elif problem := _problem(own, FileState.BAD):
            values = {"error": problem, "advice": "It is taken up again when it changes.", "whole_at": None, "finished_at": at}
            steps.append(movies.Step(movie, MovieState.FAILED, values, {"error": problem}))
        else:
            admitted.waiting[movie.id] = answer.until
            problem = _problem(own, FileState.UNFINISHED)
            if problem != movie.error:
                notes.append((movie, {"error": problem}))
    movies.change_all(connection, notes)
    movies.move_all(connection, steps, at=at)
    if most_frames > (session.expected_frames or 0):
        sessions.change(connection, session.id, "expected_frames", at=at, expected_frames=most_frames)
    return admitted


def inputs_of(movie: Movie, companions: Sequence[File], instrument: Instrument, lying: Candidates) -> dict[str, Any]:
    """Return what, beside recipe and metadata, a movie is made from: its references and the number of its single-frame files."""
    chosen = references(movie, lying, instrument).as_inputs()
    frames = sum(file.role == Role.FRAME for file in companions)
    return chosen | ({"frames": frames} if frames else {})


def _back(
    movie: Movie, companions: Sequence[File], instrument: Instrument, lying: Candidates, mattering: Sequence[str]
) -> movies.Step | None:
    """Say whether a movie must leave its state, since what it was made from, or is to be made from, is no longer so."""
    main = main_files(companions)
    present = [file for file in main if file.state is not FileState.GONE]
    generation = flow.generation(companions)
    values = {"generation": generation, "attempts": 0, "interruptions": 0, "not_before": None, "error": None, "advice": None}

    def found(why: str) -> movies.Step:
        return movies.Step(movie, MovieState.FOUND, values, {"why": why})

    if movie.state is MovieState.FOUND:
        return None
    if movie.state is MovieState.GONE:
        return found("its file is there again") if present else None
    if not present:
        # a result stays when the raw files are cleared away
        return None if movie.state is MovieState.DONE else _gone(movie)
    set_aside_as_bad = movie.state is MovieState.FAILED and movie.whole_at is None
    if any(file.state in _NOT_WHOLE for file in present):
        return None if set_aside_as_bad else found("its file was opened again")
    if movie.generation != generation:
        return found("its file has other content")
    if set_aside_as_bad:
        return found("its file is whole now")
    if len(present) < len(main):
        return found("some of its frames are gone") if movie.state in {MovieState.QUEUED, MovieState.RUNNING} else None
    if movie.state is MovieState.QUEUED:
        return None  # it takes new values and references when it starts
    if mattering:
        return found(f"became known or changed: {', '.join(mattering)}")
    finished = movie.state is MovieState.DONE
    now, then = inputs_of(movie, companions, instrument, lying), movie.inputs
    if watched_inputs(then, instrument, finished=finished) != watched_inputs(now, instrument, finished=finished):
        return found("its gain reference, defect map or number of frames changed")
    return None


def _gone(movie: Movie) -> movies.Step:
    words = "Its file was removed before it was processed."
    if movie.state is MovieState.FAILED and movie.error:
        words = f"Its file was removed. Before that: {movie.error}"
    values = {"not_before": None, "error": words, "advice": "Put it back, and it is taken up by itself."}
    return movies.Step(movie, MovieState.GONE, values)


def _sidecar_habit(connection: Connection, session: Session) -> frozenset[Role]:
    """Return what this session's movies come with: SerialEM writes an mdoc a movie or none, as its user has set it."""
    latest = movies.latest_admitted(connection, session.id)
    return frozenset({Role.MOVIE_METADATA}) if latest is not None and "sidecar" in latest.said else frozenset()


def _readiness(
    movie: Movie,
    companions: Sequence[File],
    session: Session,
    instrument: Instrument,
    lying: Candidates,
    habit: frozenset[Role],
    at: float,
) -> flow.Readiness:
    main = main_files(companions)
    place = instrument.program.place(paths.from_text(main[0].path)) if main else None
    from_sidecar = movie.said.get("sidecar", {}).get("frames")
    chosen = references(movie, lying, instrument)
    return flow.readiness(
        companions,
        expects=(place.expects if place else frozenset()) | habit,
        expected_frames=from_sidecar or session.expected_frames,
        certain=from_sidecar is not None,
        gain=chosen.gain_state,
        gain_named=chosen.gain_named,
        patience=instrument.patience,
        now=at,
    )


def _queued(companions: Sequence[File], ready: flow.Ready, at: float) -> dict[str, Any]:
    return {
        "path": ready.files[0].path,
        "generation": flow.generation(companions),
        "closed_at": ready.closed_at,
        "whole_at": ready.whole_at,
        "queued_at": at,
        "attempts": 0,
        "interruptions": 0,
        "not_before": None,
        "error": None,
        "advice": None,
    }


def _story(ready: flow.Ready) -> dict[str, Any]:
    return {"without": ready.without} if ready.without else {}


def _problem(companions: Sequence[File], state: FileState) -> str | None:
    problems = [file.problem for file in main_files(companions) if file.state is state and file.problem]
    return problems[0] if problems else None
