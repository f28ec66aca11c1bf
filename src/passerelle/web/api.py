"""The JSON beside the pages: the same values, for programs. A personal token says who asks: see docs/how-to/live-page.md."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from starlette.responses import Response

from passerelle.core.errors import BadInput
from passerelle.core.states import SessionState, Verdict
from passerelle.processing.metrics import BY_NAME
from passerelle.processing.recipe import Threshold
from passerelle.service.view import AlertView, GridView, MovieView, SessionView
from passerelle.web.answers import Json
from passerelle.web.columns import metric_table, movie_columns
from passerelle.web.deps import StatusOf

router = APIRouter(prefix="/api", tags=["api"])

MOST_ENTRIES = 100


class Choice(StrEnum):
    """A person's verdict; `none` takes it back."""

    ACCEPT = "accept"
    WARN = "warn"
    REJECT = "reject"
    NONE = "none"


def _few(value: Any) -> Any:
    """Refuse what nobody has written by hand before each of its entries is looked at."""
    if isinstance(value, dict) and len(value) > MOST_ENTRIES:
        raise ValueError(f"has more than {MOST_ENTRIES} entries")
    return value


Few = BeforeValidator(_few)
Name = Annotated[str, Field(max_length=60)]
Setting = Annotated[str, Field(max_length=200)] | int | float | bool | None


class Thresholds(BaseModel):
    """All limits of a session, by metric; metrics that are not named have none."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    thresholds: Annotated[dict[Name, Threshold], Few]


class Changes(BaseModel):
    """Parameters that differ, as {group: {field: value}}."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    changes: Annotated[dict[Name, Annotated[dict[Name, Setting], Few]], Few] = {}


@router.get("/openapi.json", include_in_schema=False)
def description(request: Request) -> Response:
    """Describe this interface (OpenAPI)."""
    return Json(request.app.openapi())


@router.get("/health")
def health(status: StatusOf) -> Response:
    """Say whether the service can read its database, and what needs a look."""
    sessions = status.sessions()
    alerts = status.alerts()
    return Json(
        {
            "ok": not any(alert.level == "error" for alert in alerts),
            "last_event_id": status.last_event_id(),
            "sessions_open": sum(session.state is SessionState.OPEN for session in sessions),
            "queued": sum(session.counters.queued for session in sessions),
            "running": sum(session.counters.running for session in sessions),
            "alerts": len(alerts),
        }
    )


@router.get("/metrics")
def metrics() -> Response:
    """Every number by which a micrograph is judged: name, unit, meaning, how it is shown."""
    return Json(metric_table())


@router.get("/sessions", response_model=list[SessionView])
def sessions(status: StatusOf) -> Response:
    """All sessions of all instruments."""
    return Json(list(status.sessions()))


@router.get("/sessions/{session_id}", response_model=SessionView)
def session(session_id: int, status: StatusOf) -> Response:
    """One session: counters, flow, disks, values, conflicts, thresholds, alerts."""
    return Json(status.session(session_id))


@router.get("/sessions/{session_id}/movies")
def movies(session_id: int, status: StatusOf, ids: Annotated[str | None, Query(max_length=8000)] = None) -> Response:
    """The session's movies as columns, in the order they were found; `ids` (comma-separated) asks for some only."""
    return Json(movie_columns(status.movies(session_id, ids=None if ids is None else _numbers(ids))))


@router.get("/sessions/{session_id}/grid", response_model=GridView | None)
def grid(session_id: int, status: StatusOf) -> Response:
    """The map of atlas, squares and holes; null where the acquisition program tells nothing."""
    return Json(status.grid(session_id))


@router.get("/movies/{movie_id}", response_model=MovieView)
def movie(movie_id: int, status: StatusOf) -> Response:
    """All that is known of a movie."""
    return Json(status.movie(movie_id))


@router.get("/alerts", response_model=list[AlertView])
def alerts(status: StatusOf, closed: Annotated[int, Query(ge=0, le=1000)] = 0) -> Response:
    """Open alerts, and up to `closed` of those closed last."""
    return Json(list(status.alerts(closed=closed)))


@router.post("/sessions/{session_id}/thresholds", status_code=204)
def set_thresholds(session_id: int, body: Thresholds, status: StatusOf) -> Response:
    """Replace the session's thresholds; its movies are judged anew."""
    for name, limit in body.thresholds.items():
        _check(name, limit)
    status.set_thresholds(session_id, body.thresholds)
    return Response(status_code=204)


@router.post("/movies/{movie_id}/choice/{choice}", status_code=204)
def choose(movie_id: int, choice: Choice, status: StatusOf) -> Response:
    """Accept or reject a micrograph by hand."""
    status.choose(movie_id, None if choice is Choice.NONE else Verdict(choice.value))
    return Response(status_code=204)


@router.post("/movies/{movie_id}/again", status_code=204)
def process_again(movie_id: int, body: Changes, status: StatusOf) -> Response:
    """Process a movie again with other parameters."""
    status.process_again(movie_id, body.changes)
    return Response(status_code=204)


@router.post("/sessions/{session_id}/again", status_code=204)
def process_session_again(session_id: int, body: Changes, status: StatusOf) -> Response:
    """Process a session again with other parameters, which then hold for movies to come, too."""
    status.process_session_again(session_id, body.changes)
    return Response(status_code=204)


@router.post("/sessions/{session_id}/close", status_code=204)
def close_session(session_id: int, status: StatusOf) -> Response:
    """Close a session."""
    status.close_session(session_id)
    return Response(status_code=204)


@router.post("/alerts/{alert_id}/mute", status_code=204)
def mute_alert(alert_id: int, status: StatusOf) -> Response:
    """Show an alert no more."""
    status.mute_alert(alert_id)
    return Response(status_code=204)


@router.post("/alerts/{alert_id}/close", status_code=204)
def close_alert(alert_id: int, status: StatusOf) -> Response:
    """Close an alert."""
    status.close_alert(alert_id)
    return Response(status_code=204)


def _numbers(text: str) -> list[int]:
    parts = [part for part in text.split(",") if part]
    if not all(part.isdecimal() and len(part) < 19 for part in parts):
        raise BadInput("`ids` is a list of numbers with commas between them.")
    return [int(part) for part in parts]


def _check(name: str, limit: Threshold) -> None:
    if name not in BY_NAME:
        raise BadInput(f"`{name}` is not a metric.", advice="/api/metrics lists them.")
    if any(value is not None and not math.isfinite(value) for value in limit.model_dump().values()):
        raise BadInput(f"A limit of {BY_NAME[name].label} is not a number.", advice="Give a number, or leave the limit out.")
    for low, high in ((limit.warn_min, limit.warn_max), (limit.reject_min, limit.reject_max)):
        if low is not None and high is not None and low > high:
            raise BadInput(f"The lower limit of {BY_NAME[name].label} lies above the upper one.", advice="Swap them.")
