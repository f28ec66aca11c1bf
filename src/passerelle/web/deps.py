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


async def _arrival(request: Request) -> Arrival:
    return request.state.arrival


def _status(request: Request, actor: ActorOf) -> Status:
    return request.app.state.facility.live(actor)


async def _facility(request: Request) -> Facility:
    return request.app.state.facility


def _part(name: str) -> Any:
    """Return the dependency that gives one part of the facility by its name there."""

    async def part(request: Request) -> Any:
        return getattr(request.app.state.facility, name)

    return Depends(part)


ArrivalOf = Annotated[Arrival, Depends(_arrival)]
StatusOf = Annotated[Status, Depends(_status)]  # sessions as the person who asks may see and steer them
# verbs that take who asks at each call
LogInsOf = Annotated[LogIns, _part("log_ins")]
PeopleOf = Annotated[People, _part("people")]
TokensOf = Annotated[Tokens, _part("tokens")]
AuditOf = Annotated[AuditLog, _part("audit")]
DatasetsOf = Annotated[Datasets, _part("datasets")]
TransfersOf = Annotated[Transfers, _part("transfers")]
FacilityOf = Annotated[Facility, Depends(_facility)]
KeepingOf = Annotated[Housekeeping, _part("keeping")]
ZonesOf = Annotated[Zones, _part("zones")]
FilesOf = Annotated[Files, _part("files")]
SharesOf = Annotated[Shares, _part("shares")]
