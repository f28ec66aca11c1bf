"""The JSON of zones, for programs: the verbs of the pages and of the command line."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from passerelle.service.zone_view import UsageView, WhoView, ZoneHistory, ZoneView
from passerelle.web.answers import Json
from passerelle.web.deps import ActorOf, ZonesOf
from passerelle.zones import Relation, Who, ZoneKind

router = APIRouter(prefix="/api/zones", tags=["zones"])


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class NewZone(_Body):
    """A zone to be made. Its folder is one of its name in zones.folder."""

    name: str = Field(max_length=100)
    kind: ZoneKind = ZoneKind.PERSONAL
    owner: str = Field(max_length=100)
    readers: WhoView = WhoView(people=[], groups=[])
    writers: WhoView = WhoView(people=[], groups=[])
    quota_bytes: int | None = Field(default=None, ge=1, lt=1 << 62)
    description: str = Field(default="", max_length=2000)


class ZoneChange(_Body):
    """What shall be otherwise; what is left out stays. readers, writers: they take the place of all before."""

    owner: str | None = Field(default=None, max_length=100)
    readers: WhoView | None = None
    writers: WhoView | None = None
    quota_bytes: int | None = Field(default=None, ge=1, lt=1 << 62)
    no_quota: bool = False
    description: str | None = Field(default=None, max_length=2000)


class Relating(_Body):
    """Who shall be what to a zone. whom: a person, or @GROUP. relation: reader, writer, or stranger."""

    whom: str = Field(max_length=100)
    relation: Relation


class Repaired(BaseModel):
    """What was brought to the rights that it must have. left: what could not be, the first few with the reason."""

    seen: int
    changed: int
    left: list[str]
    dry: bool


@router.get("", response_model=list[ZoneView])
def zones_list(actor: ActorOf, zones: ZonesOf, archived: bool = True) -> Response:
    """All zones that the person may see."""
    return Json(zones.list(actor, archived=archived))


@router.post("", response_model=ZoneView, status_code=201)
def make_zone(body: NewZone, actor: ActorOf, zones: ZonesOf) -> Response:
    """Make a zone with its folder."""
    made = zones.create(
        actor,
        body.name,
        kind=body.kind,
        owner=body.owner,
        readers=_who(body.readers),
        writers=_who(body.writers),
        quota_bytes=body.quota_bytes,
        description=body.description,
    )
    return Json(made, status=201)


@router.get("/{name}", response_model=ZoneView)
def zone(name: str, actor: ActorOf, zones: ZonesOf) -> Response:
    """One zone."""
    return Json(zones.get(actor, name))


@router.post("/{name}", response_model=ZoneView)
def change_zone(name: str, body: ZoneChange, actor: ActorOf, zones: ZonesOf) -> Response:
    """Change readers, writers, description (its owner may), owner and quota (who keeps zones may)."""
    changed = zones.change(
        actor,
        name,
        owner=body.owner,
        readers=None if body.readers is None else _who(body.readers),
        writers=None if body.writers is None else _who(body.writers),
        quota_bytes=body.quota_bytes,
        no_quota=body.no_quota,
        description=body.description,
    )
    return Json(changed)


@router.post("/{name}/people", response_model=ZoneView)
def relate_person(name: str, body: Relating, actor: ActorOf, zones: ZonesOf) -> Response:
    """Make a person or group a reader, a writer, or a stranger again."""
    return Json(zones.set_relation(actor, name, body.whom, body.relation))


@router.post("/{name}/archive", response_model=ZoneView)
def archive_zone(name: str, actor: ActorOf, zones: ZonesOf) -> Response:
    """Keep a zone as it is: read as before, written by nobody."""
    return Json(zones.archive(actor, name))


@router.post("/{name}/activate", response_model=ZoneView)
def activate_zone(name: str, actor: ActorOf, zones: ZonesOf) -> Response:
    """Take an archived zone into use again."""
    return Json(zones.activate(actor, name))


@router.post("/{name}/measure", response_model=UsageView)
def measure_zone(name: str, actor: ActorOf, zones: ZonesOf) -> Response:
    """Count what lies in a zone, and keep it in its history."""
    return Json(zones.measure(actor, name))


@router.post("/{name}/repair", response_model=Repaired)
def repair_zone(name: str, actor: ActorOf, zones: ZonesOf, dry: bool = False) -> Response:
    """Bring the rights of all files to what they must be; dry: only count."""
    settled = zones.repair(actor, name, dry=dry)
    return Json(Repaired(seen=settled.seen, changed=settled.changed, left=list(settled.left), dry=dry))


@router.get("/{name}/history", response_model=ZoneHistory)
def zone_history(name: str, actor: ActorOf, zones: ZonesOf, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> Response:
    """What was done with a zone, and how it grew, latest first."""
    return Json(zones.history(actor, name, limit=limit))


def _who(view: WhoView) -> Who:
    return Who.of(view.people, view.groups)
