"""What routes are given: who asks, and the verbs."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer

from passerelle.core.errors import NotAllowed
from passerelle.service.access import Actor
from passerelle.service.audit import AuditLog
from passerelle.service.datasets import Datasets
from passerelle.service.files import Files
from passerelle.service.housekeeping import Housekeeping
from passerelle.service.log_in import LogIns
from passerelle.service.people import People
from passerelle.service.shares import Shares
from passerelle.service.tokens import Tokens
from passerelle.service.transfers import Transfers
from passerelle.service.zones import Zones
from passerelle.web.arrival import Arrival
from passerelle.web.ports import Facility, Status

_BEARER = HTTPBearer(
    auto_error=False,
    scheme_name="token",
    bearerFormat="psr_…",
    description="A personal token, made on the page of one's account.",
)


def who_asks(request: Request) -> Actor:
    """Return who asks, as the doorkeeper knows at this moment.

    Raises:
        NotLoggedIn: nobody, or what was shown is not in force.
    """
    arrival: Arrival = request.state.arrival
    header = request.headers.get("authorization", "")
    actor = request.app.state.facility.doorkeeper.who(cookie=arrival.secret, authorization=header, address=arrival.address)
    request.state.actor = actor
    return actor


def _anyone(request: Request, _: Annotated[Any, Security(_BEARER)]) -> Actor:
    return who_asks(request)


AnyoneOf = Annotated[Actor, Depends(_anyone)]  # logged in, it may be with a password that somebody else chose


def entered(actor: AnyoneOf) -> Actor:
    """Return who asks, once the password is one's own: what every router but that of the door depends on.

    Raises:
        NotLoggedIn, NotAllowed: nobody; the password is a first one.
    """
    if actor.must_change:
        raise NotAllowed("The password is a first one.", advice="Choose one of your own.")
    return actor


ActorOf = Annotated[Actor, Depends(entered)]


def _arrival(request: Request) -> Arrival:
    return request.state.arrival


def _status(request: Request, actor: ActorOf) -> Status:
    return request.app.state.facility.live(actor)


def _log_ins(request: Request) -> LogIns:
    return request.app.state.facility.log_ins


def _people(request: Request) -> People:
    return request.app.state.facility.people


def _tokens(request: Request) -> Tokens:
    return request.app.state.facility.tokens


def _audit(request: Request) -> AuditLog:
    return request.app.state.facility.audit


def _keeping(request: Request) -> Housekeeping:
    return request.app.state.facility.keeping


def _zones(request: Request) -> Zones:
    return request.app.state.facility.zones


def _files(request: Request) -> Files:
    return request.app.state.facility.files


def _shares(request: Request) -> Shares:
    return request.app.state.facility.shares


def _datasets(request: Request) -> Datasets:
    return request.app.state.facility.datasets


def _transfers(request: Request) -> Transfers:
    return request.app.state.facility.transfers


def _facility(request: Request) -> Facility:
    return request.app.state.facility


ArrivalOf = Annotated[Arrival, Depends(_arrival)]
StatusOf = Annotated[Status, Depends(_status)]  # sessions as the person who asks may see and steer them
# verbs that take who asks at each call
LogInsOf = Annotated[LogIns, Depends(_log_ins)]
PeopleOf = Annotated[People, Depends(_people)]
TokensOf = Annotated[Tokens, Depends(_tokens)]
AuditOf = Annotated[AuditLog, Depends(_audit)]
DatasetsOf = Annotated[Datasets, Depends(_datasets)]
TransfersOf = Annotated[Transfers, Depends(_transfers)]
FacilityOf = Annotated[Facility, Depends(_facility)]
KeepingOf = Annotated[Housekeeping, Depends(_keeping)]
ZonesOf = Annotated[Zones, Depends(_zones)]
FilesOf = Annotated[Files, Depends(_files)]
SharesOf = Annotated[Shares, Depends(_shares)]
