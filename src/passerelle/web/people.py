"""The pages of who keeps people: accounts, first passwords, roles, who is logged in, tokens."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import Response

from passerelle.core.states import PersonState
from passerelle.service.access import PersonRole
from passerelle.web.answers import page
from passerelle.web.deps import ActorOf, LogInsOf, PeopleOf, TokensOf
from passerelle.web.door import Typed

router = APIRouter(include_in_schema=False)

Role = Annotated[PersonRole, Form()]


@router.get("/people")
def people_page(request: Request, actor: ActorOf, people: PeopleOf) -> Response:
    """All accounts, and the form for another."""
    found = people.list(actor)
    context = {
        "enabled": [each for each in found if each.state is PersonState.ENABLED],
        "disabled": [each for each in found if each.state is PersonState.DISABLED],
        "roles": list(PersonRole),
        "sources": people.sources,
    }
    return page(request, "people.html", context)


@router.post("/people")
def invite(
    request: Request,
    actor: ActorOf,
    people: PeopleOf,
    name: Typed = "",
    role: Role = PersonRole.USER,
    full_name: Typed = "",
    mail: Typed = "",
    source: Typed = "local",
) -> Response:
    """Make an account; a first password is in this answer and nowhere else."""
    made = people.invite(actor, name.strip(), role=role, full_name=full_name.strip(), mail=mail.strip(), source=source)
    return page(request, "_invited.html", {"invited": made, "fresh": True})


@router.get("/people/{name}")
def person_page(request: Request, name: str, actor: ActorOf, people: PeopleOf, log_ins: LogInsOf, tokens: TokensOf) -> Response:
    """One account."""
    context = {
        "person": people.get(actor, name),
        "roles": list(PersonRole),
        "log_ins": log_ins.open_log_ins(actor, name),
        "tokens": tokens.list(actor, person=name),
        "now": time.time(),
    }
    return page(request, "person.html", context)


@router.post("/people/{name}")
def change(name: str, actor: ActorOf, people: PeopleOf, role: Role, full_name: Typed = "", mail: Typed = "") -> Response:
    """Change role, name and mail; another role ends the person's log-ins."""
    people.change(actor, name, role=role, full_name=full_name.strip(), mail=mail.strip())
    return Response(status_code=204)


@router.post("/people/{name}/first-password")
def reset_password(request: Request, name: str, actor: ActorOf, people: PeopleOf) -> Response:
    """Set another first password; it is in this answer and nowhere else."""
    return page(request, "_invited.html", {"invited": people.reset_password(actor, name), "fresh": False})


@router.post("/people/{name}/disable")
def disable(name: str, actor: ActorOf, people: PeopleOf) -> Response:
    """Let somebody in no more."""
    people.disable(actor, name)
    return Response(status_code=204)


@router.post("/people/{name}/enable")
def enable(name: str, actor: ActorOf, people: PeopleOf) -> Response:
    """Let somebody in again."""
    people.enable(actor, name)
    return Response(status_code=204)


@router.post("/people/{name}/log-ins/end")
def end_log_ins(name: str, actor: ActorOf, log_ins: LogInsOf) -> Response:
    """End all log-ins of a person."""
    log_ins.end_log_ins(actor, name)
    return Response(status_code=204)


@router.post("/people/{name}/log-ins/{login_id}/end")
def end_log_in(name: str, login_id: int, actor: ActorOf, log_ins: LogInsOf) -> Response:
    """End one log-in of a person."""
    log_ins.end_log_ins(actor, name, login_id=login_id)
    return Response(status_code=204)
