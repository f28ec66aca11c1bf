"""The page on which a person sends a dataset: which, what of it, where to."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import Response

from passerelle.core.errors import PasserelleError
from passerelle.service.access import Actor
from passerelle.service.datasets import Datasets, FolderChoice
from passerelle.service.selections import SelectionKind
from passerelle.service.zones import Zones
from passerelle.web.addresses import address
from passerelle.web.answers import page
from passerelle.web.deps import ActorOf, DatasetsOf, TransfersOf, ZonesOf
from passerelle.zones import ZoneAct

router = APIRouter(include_in_schema=False)

Path = Annotated[str, Query(max_length=4096)]
Typed = Annotated[str, Form(max_length=4096)]
_MOST_SQUARES = 2000
Squares = Annotated[list[str], Query(max_length=_MOST_SQUARES)]
TypedSquares = Annotated[list[str], Form(max_length=_MOST_SQUARES)]


@router.get("/send")
def send_page(
    request: Request,
    actor: ActorOf,
    datasets: DatasetsOf,
    zones: ZonesOf,
    session: int | None = None,
    instrument: Path = "",
    source: Path = "",
    browse: bool = False,
    zone: Path = "",
) -> Response:
    """Choose a dataset; then what of it, and where to."""
    if browse:
        return page(request, "send.html", _browsing(datasets, actor, instrument, source))
    if session is None and not instrument:
        found = {"dataset": None, "browsing": False, "datasets": datasets.list(actor), "instruments": datasets.instruments(actor)}
        return page(request, "send.html", found)
    dataset = datasets.of_session(actor, session) if session is not None else datasets.find(actor, instrument, source)
    view = datasets.view(dataset)
    context = {
        "dataset": view,
        "squares": datasets.squares(dataset) if view.processed else [],
        "zones": _writable(zones, actor),
        "zone": zone,
    }
    return page(request, "send.html", context)


@router.get("/parts/send/estimate")
def estimate(
    request: Request,
    actor: ActorOf,
    datasets: DatasetsOf,
    transfers: TransfersOf,
    instrument: Path = "",
    source: Path = "",
    zone: Path = "",
    folder: Path = "",
    selection: SelectionKind = SelectionKind.WHOLE,
    square: Squares = [],  # noqa: B006 - FastAPI copies it
) -> Response:
    """What would come, whether it fits, about how long it takes."""
    try:
        dataset = datasets.find(actor, instrument, source)
        found = transfers.estimate(actor, dataset, zone, folder=folder, kind=selection, squares=square)
    except PasserelleError as problem:  # the form is not complete yet, or cannot be: said beside the button
        return page(request, "_estimate_problem.html", {"words": str(problem)})
    return page(request, "_estimate.html", {"e": found})


@router.post("/send")
def send(
    actor: ActorOf,
    datasets: DatasetsOf,
    transfers: TransfersOf,
    instrument: Typed = "",
    source: Typed = "",
    zone: Typed = "",
    folder: Typed = "",
    selection: Annotated[SelectionKind, Form()] = SelectionKind.WHOLE,
    square: TypedSquares = [],  # noqa: B006
    follow: Typed = "",
) -> Response:
    """Send it, and go to the transfer's page."""
    dataset = datasets.find(actor, instrument, source)
    made = transfers.send(actor, dataset, zone, folder=folder, kind=selection, squares=square, follow=bool(follow))
    return Response(status_code=204, headers={"hx-redirect": f"/transfers/{made.id}"})


def _browsing(datasets: Datasets, actor: Actor, instrument: str, source: str) -> dict[str, object]:
    found = datasets.browse(actor, instrument, source)
    parts = source.split("/") if source else []
    crumbs = [(instrument, address(instrument, "", browse=True))]
    crumbs += [(part, address(instrument, "/".join(parts[: count + 1]), browse=True)) for count, part in enumerate(parts)]
    return {
        "dataset": None,
        "browsing": True,
        "crumbs": crumbs,
        "folders": [_choice(instrument, each) for each in found],
        "choose_here": address(instrument, source),
    }


def _choice(instrument: str, folder: FolderChoice) -> dict[str, str]:
    return {
        "shown": folder.shown,
        "open": address(instrument, folder.source, browse=True),
        "choose": address(instrument, folder.source),
    }


def _writable(zones: Zones, actor: Actor) -> list[object]:
    return [zone for zone in zones.list(actor, archived=False) if ZoneAct.WRITE in zone.may]
