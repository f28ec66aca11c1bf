"""The pages, and the parts of them that htmx asks for again when something has changed."""

from __future__ import annotations

import re

from fastapi import APIRouter, Request
from starlette.responses import Response

from passerelle.core.states import SessionState
from passerelle.service.view import SessionView
from passerelle.web.answers import page
from passerelle.web.columns import metric_table
from passerelle.web.deps import StatusOf
from passerelle.web.ports import Status
from passerelle.web.recipe_form import RecipeChanges, recipe_groups

router = APIRouter(include_in_schema=False)

STRIP = 24


@router.get("/")
def sessions_page(request: Request, status: StatusOf) -> Response:
    """All sessions, open ones first."""
    cursor = status.last_event_id()  # before the data: what happens in between is then streamed
    return page(request, "sessions.html", {"cursor": cursor, **_sessions(status)})


@router.get("/parts/sessions")
def sessions_part(request: Request, status: StatusOf) -> Response:
    return page(request, "_sessions.html", _sessions(status))


@router.get("/sessions/{session_id}")
def session_page(request: Request, session_id: int, status: StatusOf) -> Response:
    """One session, live."""
    cursor = status.last_event_id()
    context = {
        "cursor": cursor,
        "session": status.session(session_id),
        "latest": status.latest_movies(session_id, STRIP),
        "groups": recipe_groups(status.session_recipe(session_id)),
        "metric_table": metric_table(),
    }
    return page(request, "session.html", context)


@router.get("/parts/sessions/{session_id}/head")
def session_head(request: Request, session_id: int, status: StatusOf) -> Response:
    return page(request, "_head.html", {"session": status.session(session_id)})


@router.get("/parts/sessions/{session_id}/strip")
def session_strip(request: Request, session_id: int, status: StatusOf) -> Response:
    return page(request, "_strip.html", {"latest": status.latest_movies(session_id, STRIP)})


@router.get("/sessions/{session_id}/grid")
def grid_page(request: Request, session_id: int, status: StatusOf) -> Response:
    """Atlas, squares and holes, coloured by a metric."""
    cursor = status.last_event_id()
    session = status.session(session_id)
    return page(request, "grid.html", {"cursor": cursor, "session": session, "grid": status.grid(session_id)})


@router.get("/sessions/{session_id}/accepted.star")
def export(session_id: int, status: StatusOf) -> Response:
    """The accepted micrographs, as RELION reads them."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", status.session(session_id).name)[:80].strip("._") or "session"
    headers = {"content-disposition": f'attachment; filename="{name}_accepted.star"'}
    return Response(status.export_star(session_id), media_type="text/plain; charset=utf-8", headers=headers)


@router.get("/movies/{movie_id}")
def movie_page(request: Request, movie_id: int, status: StatusOf) -> Response:
    """One movie: pictures, plots, numbers, history."""
    cursor = status.last_event_id()
    movie = status.movie(movie_id)
    context = {
        "cursor": cursor,
        "movie": movie,
        "thresholds": status.session(movie.session_id).thresholds,
        "groups": recipe_groups(movie.recipe),
    }
    return page(request, "movie.html", context)


@router.get("/parts/movies/{movie_id}/verdict")
def movie_verdict(request: Request, movie_id: int, status: StatusOf) -> Response:
    return page(request, "_verdict.html", {"movie": status.movie(movie_id)})


@router.get("/alerts")
def alerts_page(request: Request, status: StatusOf) -> Response:
    """What needs a look, on all sessions, and the state of disks and flow."""
    cursor = status.last_event_id()
    return page(request, "alerts.html", {"cursor": cursor, **_alerts(status)})


@router.get("/parts/alerts")
def alerts_part(request: Request, status: StatusOf) -> Response:
    return page(request, "_alerts_page.html", _alerts(status))


@router.post("/movies/{movie_id}/again")
def movie_again(movie_id: int, status: StatusOf, changes: RecipeChanges) -> Response:
    """The form "do again with…" of a movie."""
    status.process_again(movie_id, changes)
    return Response(status_code=204, headers={"hx-trigger": "passerelle:queued"})


@router.post("/sessions/{session_id}/again")
def session_again(session_id: int, status: StatusOf, changes: RecipeChanges) -> Response:
    """The form "do again with…" of a session."""
    status.process_session_again(session_id, changes)
    return Response(status_code=204, headers={"hx-trigger": "passerelle:queued"})


def _sessions(status: Status) -> dict[str, object]:
    found = sorted(status.sessions(), key=_latest_first)
    is_open = [session for session in found if session.state is SessionState.OPEN]
    closed = [session for session in found if session.state is SessionState.CLOSED]
    thumbnails = {session.id: next(iter(status.latest_movies(session.id, 1)), None) for session in is_open}
    everywhere = [alert for alert in status.alerts() if alert.session_id is None]
    return {"open": is_open, "closed": closed, "thumbnails": thumbnails, "alerts": everywhere}


def _latest_first(session: SessionView) -> float:
    return -(session.last_file_at or session.opened_at)


def _alerts(status: Status) -> dict[str, object]:
    found = status.alerts(closed=50)
    sessions = {session.id: session for session in status.sessions()}
    return {
        "alerts": [alert for alert in found if alert.closed_at is None],
        "past": [alert for alert in found if alert.closed_at is not None],
        "sessions": sessions,
        "disks": [disk for session in sessions.values() for disk in session.disks],
    }
