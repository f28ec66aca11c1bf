"""Transfers and datasets as JSON, for programs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from passerelle.core.states import TransferState
from passerelle.service.datasets import DatasetView, FolderChoice
from passerelle.service.selections import SelectionKind
from passerelle.service.transfer_view import Certificate, EstimateView, TransferView
from passerelle.web.answers import Json
from passerelle.web.deps import ActorOf, DatasetsOf, TransfersOf

router = APIRouter(prefix="/api", tags=["transfers"])

Text = Annotated[str, Field(max_length=4096)]


class SendRequest(BaseModel):
    """A dataset, what of it, and where to. folder: empty for the usual one. follow: until the session is closed."""

    model_config = ConfigDict(extra="forbid")

    instrument: Text
    source: Text = ""
    zone: Text
    folder: Text = ""
    selection: SelectionKind = SelectionKind.WHOLE
    squares: Annotated[list[Text], Field(max_length=2000)] = []
    follow: bool = False


@router.get("/datasets", response_model=list[DatasetView])
def datasets(actor: ActorOf, datasets: DatasetsOf) -> Response:
    """What may be sent: sessions, and folders of instruments that hold none."""
    return Json(datasets.list(actor))


@router.get("/datasets/folders", response_model=list[FolderChoice])
def folders(
    actor: ActorOf,
    datasets: DatasetsOf,
    instrument: Annotated[str, Query(max_length=100)],
    source: Annotated[str, Query(max_length=4096)] = "",
    after: Annotated[str, Query(max_length=4096)] = "",
) -> Response:
    """The folders within one of an instrument; `after`: names greater than this."""
    return Json(datasets.browse(actor, instrument, source, after=after))


@router.get("/transfers", response_model=list[TransferView])
def transfers(
    actor: ActorOf,
    transfers: TransfersOf,
    person: Annotated[str | None, Query(max_length=100)] = None,
    state: Annotated[list[TransferState], Query(max_length=10)] = [],  # noqa: B006 - FastAPI copies it
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Response:
    """The latest transfers, newest first: one's own; those of all, for who keeps zones."""
    return Json(transfers.list(actor, person=person, states=state, limit=limit))


@router.post("/transfers", response_model=TransferView, status_code=201)
def send(body: SendRequest, actor: ActorOf, datasets: DatasetsOf, transfers: TransfersOf) -> Response:
    """Send a dataset to a zone."""
    dataset = datasets.find(actor, body.instrument, body.source)
    options = {"folder": body.folder, "kind": body.selection, "squares": body.squares, "follow": body.follow}
    return Json(transfers.send(actor, dataset, body.zone, **options), status=201)


@router.post("/transfers/estimate", response_model=EstimateView)
def estimate(body: SendRequest, actor: ActorOf, datasets: DatasetsOf, transfers: TransfersOf) -> Response:
    """Say what a transfer would bring, and what stands against it; nothing is sent."""
    dataset = datasets.find(actor, body.instrument, body.source)
    return Json(transfers.estimate(actor, dataset, body.zone, folder=body.folder, kind=body.selection, squares=body.squares))


@router.get("/transfers/{transfer_id}", response_model=TransferView)
def transfer(transfer_id: int, actor: ActorOf, transfers: TransfersOf) -> Response:
    """One transfer: how far it is, or what it came to."""
    return Json(transfers.get(actor, transfer_id))


@router.get("/transfers/{transfer_id}/certificate", response_model=Certificate)
def certificate(transfer_id: int, actor: ActorOf, transfers: TransfersOf) -> Response:
    """What a transfer that is done has verified."""
    return Json(transfers.certificate(actor, transfer_id))


@router.post("/transfers/{transfer_id}/pause", response_model=TransferView)
def pause(transfer_id: int, actor: ActorOf, transfers: TransfersOf) -> Response:
    """Hold a transfer; what is verified stays."""
    return Json(transfers.pause(actor, transfer_id))


@router.post("/transfers/{transfer_id}/resume", response_model=TransferView)
def resume(transfer_id: int, actor: ActorOf, transfers: TransfersOf) -> Response:
    """Let a held transfer go on when its turn comes."""
    return Json(transfers.resume(actor, transfer_id))


@router.post("/transfers/{transfer_id}/cancel", response_model=TransferView)
def cancel(transfer_id: int, actor: ActorOf, transfers: TransfersOf) -> Response:
    """End a transfer; what is verified stays."""
    return Json(transfers.cancel(actor, transfer_id))


@router.post("/transfers/{transfer_id}/retry", response_model=TransferView)
def retry(transfer_id: int, actor: ActorOf, transfers: TransfersOf) -> Response:
    """Send again what is not there yet."""
    return Json(transfers.retry(actor, transfer_id))
