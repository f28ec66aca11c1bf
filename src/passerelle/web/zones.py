"""The pages of zones: which there are, whose they are, how full; and the forms that change them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import Response

from passerelle.core.states import ZoneState
from passerelle.service.access import Actor, Power
from passerelle.service.zone_view import ZoneHistory, ZoneView
from passerelle.service.zones import Zones
from passerelle.web.answers import page
from passerelle.web.deps import ActorOf, ZonesOf
from passerelle.zones import FEATURES, Relation, Settled, ZoneKind, size_bytes

router = APIRouter(prefix="/zones", include_in_schema=False)

Typed = Annotated[str, Form(max_length=300)]
Said = Annotated[str, Form(max_length=2000)]
_HISTORY = 200


@router.get("")
def zones_page(request: Request, actor: ActorOf, zones: ZonesOf) -> Response:
    """All zones that the person may see; the form for a new one where that is permitted."""
    found = zones.list(actor)
    context = {
        "active": [zone for zone in found if zone.state is ZoneState.ACTIVE],
        "archived": [zone for zone in found if zone.state is ZoneState.ARCHIVED],
        "may_make": Power.KEEP_ZONES in actor.powers,
        "kinds": list(ZoneKind),
    }
    return page(request, "zones.html", context)


@router.post("")
def make(
    actor: ActorOf,
    zones: ZonesOf,
    name: Typed = "",
    owner: Typed = "",
    kind: Typed = "personal",
    quota: Typed = "",
    description: Said = "",
) -> Response:
    """The form for a new zone."""
    made = zones.create(
        actor,
        name.strip(),
        kind=_kind(kind),
        owner=owner.strip(),
        quota_bytes=size_bytes(quota) if quota.strip() else None,
        description=description.strip(),
    )
    return Response(status_code=204, headers={"hx-redirect": f"/zones/{made.name}"})


@router.get("/{name}")
def zone_page(request: Request, name: str, actor: ActorOf, zones: ZonesOf) -> Response:
    """One zone: whose it is, how full, who is let in, where it lies, what was done with it."""
    return page(request, "zone.html", _context(zones, actor, zones.get(actor, name)))


@router.post("/{name}/people")
def relate(
    request: Request, name: str, actor: ActorOf, zones: ZonesOf, relation: Annotated[Relation, Form()], whom: Typed = ""
) -> Response:
    """Make somebody a reader, a writer, or a stranger again."""
    return _again(request, zones, actor, zones.set_relation(actor, name, whom.strip(), relation))


@router.post("/{name}/description")
def describe(request: Request, name: str, actor: ActorOf, zones: ZonesOf, description: Said = "") -> Response:
    """Say what a zone is for."""
    return _again(request, zones, actor, zones.change(actor, name, description=description.strip()))


@router.post("/{name}/govern")
def govern(request: Request, name: str, actor: ActorOf, zones: ZonesOf, owner: Typed = "", quota: Typed = "") -> Response:
    """Choose owner and quota; an empty quota takes it away."""
    quota_bytes = size_bytes(quota) if quota.strip() else None
    changed = zones.change(actor, name, owner=owner.strip() or None, quota_bytes=quota_bytes, no_quota=quota_bytes is None)
    return _again(request, zones, actor, changed)


@router.post("/{name}/archive")
def archive(request: Request, name: str, actor: ActorOf, zones: ZonesOf) -> Response:
    return _again(request, zones, actor, zones.archive(actor, name))


@router.post("/{name}/activate")
def activate(request: Request, name: str, actor: ActorOf, zones: ZonesOf) -> Response:
    return _again(request, zones, actor, zones.activate(actor, name))


@router.post("/{name}/measure")
def measure(request: Request, name: str, actor: ActorOf, zones: ZonesOf) -> Response:
    """Count what lies in a zone."""
    zones.measure(actor, name)
    return _again(request, zones, actor, zones.get(actor, name))


@router.post("/{name}/repair")
def repair(request: Request, name: str, actor: ActorOf, zones: ZonesOf, dry: Annotated[bool, Form()] = True) -> Response:
    """Bring the rights of all files to what they must be, or count those that are not."""
    settled = zones.repair(actor, name, dry=dry)
    return _again(request, zones, actor, zones.get(actor, name), settled=settled, dry=dry)


def _again(
    request: Request, zones: Zones, actor: Actor, view: ZoneView, *, settled: Settled | None = None, dry: bool = False
) -> Response:
    """Return the zone's part of the page as it is now, with what is to be said of what was done."""
    return page(request, "_zone.html", _context(zones, actor, view) | {"settled": settled, "dry": dry})


def _context(zones: Zones, actor: Actor, view: ZoneView) -> dict[str, object]:
    features = FEATURES[view.kind]
    return {
        "zone": view,
        "history": (history := zones.history(actor, view.name, limit=_HISTORY)),
        "plot": _plot(history, view.quota_bytes),
        "features": features,
        "contents": sorted(features.contents),
        "settled": None,
        "dry": False,
    }


def _plot(history: ZoneHistory, quota_bytes: int | None) -> dict[str, object] | None:
    """Return the line of a zone's usage over time within 1000 × 160, oldest first; None where it was counted once or never."""
    usage = sorted(history.usage, key=lambda each: each.at)
    if len(usage) < 2 or usage[-1].at <= usage[0].at:
        return None
    start, span = usage[0].at, usage[-1].at - usage[0].at
    most = max(*(each.bytes for each in usage), 1)
    top = max(most, quota_bytes) if quota_bytes and quota_bytes < 4 * most else most
    points = " ".join(f"{1000 * (each.at - start) / span:.1f},{152 - 144 * each.bytes / top:.1f}" for each in usage)
    line = 152 - 144 * quota_bytes / top if quota_bytes and quota_bytes <= top else None
    return {"points": points, "quota": line, "first": usage[0], "last": usage[-1], "top": top}


def _kind(text: str) -> ZoneKind:
    return ZoneKind(text) if text in set(ZoneKind) else ZoneKind.PERSONAL
