"""The JSON on who asks, tokens, people and the audit log: as the pages do, for programs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from passerelle.service.access import Actor, PersonRole, Power, Through
from passerelle.service.audit import AuditEntry
from passerelle.service.log_in import LogInView
from passerelle.service.people import Invited, PersonView
from passerelle.service.tokens import NewToken, TokenView
from passerelle.web.answers import Json
from passerelle.web.deps import ActorOf, AuditOf, LogInsOf, PeopleOf, TokensOf

router = APIRouter(prefix="/api", tags=["people"])


class Me(BaseModel):
    """Who asks, and what that person may do by this way."""

    name: str
    role: PersonRole
    through: Through
    groups: list[str]
    powers: list[Power]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class TokenWish(_Body):
    """A token to be made. person: another's, by who keeps people."""

    name: str = Field(max_length=200)
    scopes: list[Power]
    days: float = Field(gt=0)
    person: str | None = None


class PersonWish(_Body):
    """An account to be made. source: who keeps its password; with local a first one is in the answer."""

    name: str
    role: PersonRole = PersonRole.USER
    full_name: str = Field(default="", max_length=300)
    mail: str = Field(default="", max_length=400)
    source: str = "local"


class PersonChange(_Body):
    """What shall be otherwise; what is left out stays."""

    role: PersonRole | None = None
    full_name: str | None = Field(default=None, max_length=300)
    mail: str | None = Field(default=None, max_length=400)


@router.get("/me", response_model=Me)
def me(actor: ActorOf) -> Response:
    """Who asks."""
    return Json(_me(actor))


@router.get("/tokens", response_model=list[TokenView])
def tokens(actor: ActorOf, tokens: TokensOf, person: str | None = None) -> Response:
    """The tokens of oneself, or of another for who keeps people."""
    return Json(list(tokens.list(actor, person=person)))


@router.post("/tokens", response_model=NewToken, status_code=201)
def make_token(body: TokenWish, actor: ActorOf, tokens: TokensOf) -> Response:
    """Make a token; by a log-in, since a token may not make tokens. Its secret is in this answer and nowhere else."""
    made = tokens.create(actor, name=body.name, scopes=body.scopes, days=body.days, person=body.person)
    return Json(made, status=201)


@router.post("/tokens/{token_id}/revoke", response_model=TokenView)
def revoke_token(token_id: int, actor: ActorOf, tokens: TokensOf) -> Response:
    """Take a token back."""
    return Json(tokens.revoke(actor, token_id))


@router.get("/people", response_model=list[PersonView])
def people(actor: ActorOf, people: PeopleOf) -> Response:
    """All accounts."""
    return Json(people.list(actor))


@router.post("/people", response_model=Invited, status_code=201)
def invite(body: PersonWish, actor: ActorOf, people: PeopleOf) -> Response:
    """Make an account. A first password is in this answer and nowhere else."""
    made = people.invite(actor, body.name, role=body.role, full_name=body.full_name, mail=body.mail, source=body.source)
    return Json(made, status=201)


@router.get("/people/{name}", response_model=PersonView)
def person(name: str, actor: ActorOf, people: PeopleOf) -> Response:
    """One account: one's own, or any for who keeps people."""
    return Json(people.get(actor, name))


@router.post("/people/{name}", response_model=PersonView)
def change(name: str, body: PersonChange, actor: ActorOf, people: PeopleOf) -> Response:
    """Change an account; another role ends its log-ins."""
    return Json(people.change(actor, name, role=body.role, full_name=body.full_name, mail=body.mail))


@router.post("/people/{name}/first-password", response_model=Invited)
def reset_password(name: str, actor: ActorOf, people: PeopleOf) -> Response:
    """Set a first password in place of one that is lost."""
    return Json(people.reset_password(actor, name))


@router.post("/people/{name}/disable", response_model=PersonView)
def disable(name: str, actor: ActorOf, people: PeopleOf) -> Response:
    """Let somebody in no more: log-ins and tokens end at once."""
    return Json(people.disable(actor, name))


@router.post("/people/{name}/enable", response_model=PersonView)
def enable(name: str, actor: ActorOf, people: PeopleOf) -> Response:
    """Let somebody in again."""
    return Json(people.enable(actor, name))


@router.get("/people/{name}/log-ins", response_model=list[LogInView])
def log_ins(name: str, actor: ActorOf, log_ins: LogInsOf) -> Response:
    """The log-ins of a person that have not ended."""
    return Json(log_ins.open_log_ins(actor, name))


@router.post("/people/{name}/log-ins/end", status_code=204)
def end_log_ins(name: str, actor: ActorOf, log_ins: LogInsOf) -> Response:
    """End all log-ins of a person."""
    log_ins.end_log_ins(actor, name)
    return Response(status_code=204)


@router.get("/audit", response_model=list[AuditEntry])
def audit(
    actor: ActorOf,
    log: AuditOf,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    before: Annotated[int | None, Query(ge=1, le=1 << 62)] = None,
    person: str | None = None,
    subject: str | None = None,
    act: str | None = None,
) -> Response:
    """The latest acts, newest first; `before` (an id) goes on to older ones."""
    return Json(log.read(actor, limit=limit, before=before, person=person, subject=subject, act=act))


@router.get("/audit/check")
def check(actor: ActorOf, log: AuditOf) -> Response:
    """Say whether the audit log is as it was written, or from which line on it is not."""
    broken = log.check(actor)
    return Json({"sound": broken is None, "broken_at": broken})


def _me(actor: Actor) -> Me:
    return Me(
        name=actor.name,
        role=actor.role,
        through=actor.through,
        groups=sorted(actor.groups),
        powers=[power for power in Power if power in actor.powers],
    )
