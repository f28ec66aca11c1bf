"""The pages of who keeps the facility well: the buffer, health, mutes; and the same as JSON."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from passerelle.core.errors import BadInput
from passerelle.service.access import Power, require
from passerelle.service.buffer_view import BufferView, DatasetView, PlanView, PurgedView, RunView
from passerelle.service.checks import Check, Level
from passerelle.service.mutes import MuteView
from passerelle.service.notices import NoticeView, TestView
from passerelle.web.answers import Json, page
from passerelle.web.buffer_curve import curve
from passerelle.web.deps import ActorOf, KeepingOf

router = APIRouter()

Short = Annotated[str, Form(max_length=300)]
_SHOWN = 50


class Selection(BaseModel):
    """What a purge is of; all, where nothing is named. dataset: as the dry run names it."""

    model_config = ConfigDict(extra="forbid")

    instrument: str | None = None
    dataset: str | None = None


class ShownList(Selection):
    """A list that a dry run has shown. digest: as it said."""

    digest: str


class MuteWish(BaseModel):
    """What to be quiet about, and for how long. Nothing named: everything. Only an alert may go without hours."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    alert_id: int | None = None
    session_id: int | None = None
    instrument: str | None = None
    hours: float | None = None
    why: str = ""


class Made(BaseModel):
    """The number of what was made."""

    id: int


# -- pages


@router.get("/buffer", include_in_schema=False)
def buffer_page(request: Request, actor: ActorOf, keeping: KeepingOf) -> Response:
    """How full the gateway is, what may go, what went."""
    require(actor, Power.PURGE)
    return page(request, "buffer.html", {**_room(keeping), **_lists(actor, keeping)})


@router.get("/parts/buffer/room", include_in_schema=False)
def buffer_room(request: Request, actor: ActorOf, keeping: KeepingOf) -> Response:
    require(actor, Power.PURGE)
    return page(request, "_buffer_room.html", _room(keeping))


@router.get("/parts/buffer/run", include_in_schema=False)
def buffer_run(request: Request, actor: ActorOf, keeping: KeepingOf) -> Response:
    require(actor, Power.PURGE)
    return page(request, "_buffer_run.html", {"run": keeping.purge_under_way()})


@router.post("/buffer/dry-run", include_in_schema=False)
def buffer_dry_run(
    request: Request, actor: ActorOf, keeping: KeepingOf, instrument: Short = "", dataset: Annotated[str | None, Form()] = None
) -> Response:
    """Look at what would go now, and show it."""
    chosen = dataset if instrument else None
    found = keeping.buffer.dry_run(actor, instrument=instrument or None, dataset=chosen)
    return page(request, "_buffer_dry_run.html", {"plan": found, "instrument": instrument, "dataset": chosen})


@router.post("/buffer/purge", include_in_schema=False)
def buffer_purge(
    request: Request,
    actor: ActorOf,
    keeping: KeepingOf,
    digest: Short = "",
    instrument: Short = "",
    dataset: Annotated[str | None, Form()] = None,
) -> Response:
    """Begin to delete what was shown."""
    keeping.purger.ask(actor, digest, instrument=instrument or None, dataset=dataset if instrument else None)
    return page(request, "_buffer_run.html", {"run": keeping.purge_under_way()})


@router.get("/health", include_in_schema=False)
def health_page(request: Request, actor: ActorOf, keeping: KeepingOf) -> Response:
    """All that is looked at, live."""
    return page(request, "health.html", _health(actor, keeping))


@router.get("/parts/health", include_in_schema=False)
def health_part(request: Request, actor: ActorOf, keeping: KeepingOf) -> Response:
    return page(request, "_health.html", _health(actor, keeping))


@router.get("/parts/mutes", include_in_schema=False)
def mutes_part(request: Request, actor: ActorOf, keeping: KeepingOf) -> Response:
    """What is muted, and the form for more."""
    shown = {"mutes": keeping.mutes.standing(actor), "sessions": keeping.mutes.open_sessions(actor)}
    return page(request, "_mutes.html", shown | {"instruments": list(keeping.parts.instruments)})


@router.post("/mutes", include_in_schema=False)
def mute_form(
    actor: ActorOf, keeping: KeepingOf, hours: Annotated[float, Form()] = 0.0, what: Short = "", why: Short = ""
) -> Response:
    """The form: an instrument (instrument:NAME), a session (session:NUMBER) or everything, for some hours."""
    require(actor, Power.STEER)
    kind, _, which = what.partition(":")
    if kind == "session" and which.isascii() and which.isdigit() and len(which) < 16:
        keeping.mutes.mute(actor, session_id=int(which), hours=hours, why=why)
    elif kind == "instrument" or not what:
        keeping.mutes.mute(actor, instrument=which or None, hours=hours, why=why)
    else:
        raise BadInput("There is no such thing to mute.", advice="Choose an instrument, a session or everything.")
    return Response(status_code=204)


# -- the same for programs


@router.get("/api/buffer", tags=["care"], response_model=list[BufferView])
def api_buffer(actor: ActorOf, keeping: KeepingOf) -> Response:
    """How full each instrument's disk is, how fast it fills, when the stop line is reached."""
    require(actor, Power.PURGE)
    return Json(keeping.buffer.state())


@router.post("/api/buffer/dry-run", tags=["care"], response_model=PlanView)
def api_dry_run(actor: ActorOf, keeping: KeepingOf, body: Selection) -> Response:
    """What a purge would delete now, and why the rest may not go; a purge asks for its digest."""
    return Json(keeping.buffer.dry_run(actor, instrument=body.instrument, dataset=body.dataset))


@router.post("/api/buffer/purge", tags=["care"], status_code=202, response_model=RunView)
def api_purge(actor: ActorOf, keeping: KeepingOf, body: ShownList) -> Response:
    """Begin to delete what a dry run of the last hour has shown; `GET /api/buffer/purge` tells how far it is."""
    keeping.purger.ask(actor, body.digest, instrument=body.instrument, dataset=body.dataset)
    return Json(keeping.purge_under_way(), status=202)


@router.get("/api/buffer/purge", tags=["care"], response_model=RunView | None)
def api_run(actor: ActorOf, keeping: KeepingOf) -> Response:
    """The purge that runs now, or ran last; null where none has."""
    require(actor, Power.PURGE)
    return Json(keeping.purge_under_way())


@router.get("/api/buffer/purged", tags=["care"], response_model=list[PurgedView])
def api_purged(actor: ActorOf, keeping: KeepingOf, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> Response:
    """What was deleted, latest first, and where its copies lie."""
    return Json(keeping.buffer.history(actor, limit=limit))


@router.get("/api/checks", tags=["care"])
def api_checks(actor: ActorOf, keeping: KeepingOf) -> Response:
    """All that is looked at, with level, words and advice."""
    return Json([_plain(check) for check in keeping.checks(actor)])


@router.get("/api/mutes", tags=["care"], response_model=list[MuteView])
def api_mutes(actor: ActorOf, keeping: KeepingOf) -> Response:
    """What nobody is told of now, until when, and who said so."""
    return Json(keeping.mutes.standing(actor))


@router.post("/api/mutes", tags=["care"], status_code=201, response_model=Made)
def api_mute(actor: ActorOf, keeping: KeepingOf, body: MuteWish) -> Response:
    """Be quiet about an alert, a session, an instrument, or everything."""
    number = keeping.mutes.mute(
        actor, alert_id=body.alert_id, session_id=body.session_id, instrument=body.instrument, hours=body.hours, why=body.why
    )
    return Json({"id": number}, status=201)


@router.post("/api/mutes/{mute_id}/end", tags=["care"], status_code=204)
def api_unmute(actor: ActorOf, keeping: KeepingOf, mute_id: int) -> Response:
    """Take a mute back before its time."""
    keeping.mutes.unmute(actor, mute_id)
    return Response(status_code=204)


@router.get("/api/notices", tags=["care"], response_model=list[NoticeView])
def api_notices(actor: ActorOf, keeping: KeepingOf, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> Response:
    """The latest notices, and what became of each."""
    return Json(keeping.notices.latest(actor, limit=limit))


@router.post("/api/notices/test", tags=["care"], response_model=list[TestView])
def api_notices_test(
    actor: ActorOf, keeping: KeepingOf, receiver: Annotated[str | None, Query(max_length=60)] = None
) -> Response:
    """Send a notice now, to one receiver or all, to see whether the way is open."""
    return Json(keeping.notices.send_test(actor, receiver))


# -- within


def _room(keeping: KeepingOf) -> dict[str, object]:
    views = keeping.buffer.state()
    return {"buffers": views, "curves": {view.instrument: curve(view) for view in views}}


def _lists(actor: ActorOf, keeping: KeepingOf) -> dict[str, object]:
    overview = keeping.buffer.overview or keeping.buffer.look()
    rows: list[DatasetView] = sorted(overview.datasets, key=lambda each: (-each.go_bytes, -each.bytes))
    return {
        "overview": overview,
        "datasets": rows,
        "run": keeping.purge_under_way(),
        "purged": keeping.buffer.history(actor, limit=_SHOWN),
        "by_itself": keeping.parts.settings.buffer.purge,
    }


def _health(actor: ActorOf, keeping: KeepingOf) -> dict[str, object]:
    checks = keeping.checks(actor)
    order = list(Level)
    worst = max((order.index(check.level) for check in checks), default=0)
    notices = keeping.notices.latest(actor, limit=20)
    return {
        "checks": sorted(checks, key=lambda check: -order.index(check.level)),
        "worst": order[worst].value,
        "notices": notices,
    }


def _plain(check: Check) -> dict[str, object]:
    return {
        "name": check.name,
        "level": check.level.value,
        "words": check.words,
        "advice": check.advice,
        "instrument": check.instrument,
    }
