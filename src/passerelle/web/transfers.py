"""The pages of transfers: all that a person may see, one of them live, its certificate."""

from __future__ import annotations

from urllib.parse import quote

from fastapi import APIRouter, Request
from starlette.responses import Response

from passerelle.core.states import TransferState
from passerelle.service.access import Power
from passerelle.service.transfer_view import TransferView
from passerelle.service.transfers import Transfers
from passerelle.web.answers import page
from passerelle.web.deps import ActorOf, FacilityOf, TransfersOf

router = APIRouter(include_in_schema=False)

_STANDING = (TransferState.QUEUED, TransferState.RUNNING, TransferState.PAUSED)
_ENDED = tuple(state for state in TransferState if state not in _STANDING)
_MOST_ENDED = 50
_MOST_STANDING = 500


@router.get("/transfers")
def transfers_page(request: Request, actor: ActorOf, facility: FacilityOf, transfers: TransfersOf) -> Response:
    """One's own transfers; those of all, for who keeps zones."""
    cursor = facility.last_event_id()
    return page(request, "transfers.html", {"cursor": cursor, **_list(transfers, actor)})


@router.get("/parts/transfers")
def transfers_part(request: Request, actor: ActorOf, transfers: TransfersOf) -> Response:
    return page(request, "_transfers_list.html", _list(transfers, actor))


@router.get("/transfers/{transfer_id}")
def transfer_page(request: Request, transfer_id: int, actor: ActorOf, facility: FacilityOf, transfers: TransfersOf) -> Response:
    """One transfer, live."""
    cursor = facility.last_event_id()
    return page(request, "transfer.html", {"cursor": cursor, **_one(transfers.get(actor, transfer_id))})


@router.get("/parts/transfers/{transfer_id}")
def transfer_part(request: Request, transfer_id: int, actor: ActorOf, transfers: TransfersOf) -> Response:
    return page(request, "_transfer.html", _one(transfers.get(actor, transfer_id)))


@router.get("/transfers/{transfer_id}/certificate")
def certificate(request: Request, transfer_id: int, actor: ActorOf, transfers: TransfersOf) -> Response:
    """What a transfer has verified, to print."""
    return page(request, "certificate.html", {"c": transfers.certificate(actor, transfer_id)})


def _list(transfers: Transfers, actor: ActorOf) -> dict[str, object]:
    return {
        "standing": transfers.list(actor, states=_STANDING, limit=_MOST_STANDING),
        "ended": transfers.list(actor, states=_ENDED, limit=_MOST_ENDED),
        "everybody": Power.KEEP_ZONES in actor.powers,
    }


def _one(view: TransferView) -> dict[str, object]:
    return {"t": view, "zone_page": f"/zones/{quote(view.zone)}"}
