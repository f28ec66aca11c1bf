"""The page of one's own account: who one is, the password, the log-ins, the tokens of one's programs."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import Response

from passerelle.core.errors import BadInput
from passerelle.service.access import Power
from passerelle.web.answers import page
from passerelle.web.deps import ActorOf, LogInsOf, PeopleOf, TokensOf
from passerelle.web.door import Typed, set_own_password

router = APIRouter(include_in_schema=False)

_USUAL_DAYS = 90


@router.get("/account")
def account_page(request: Request, actor: ActorOf, people: PeopleOf, log_ins: LogInsOf, tokens: TokensOf) -> Response:
    """Everything that is one's own."""
    today = datetime.now(UTC).date()
    context = {
        "person": people.get(actor, actor.name),
        "log_ins": log_ins.open_log_ins(actor),
        "tokens": tokens.list(actor),
        "scopes": [power for power in Power if power in actor.powers],
        "until": today + timedelta(days=min(_USUAL_DAYS, int(tokens.longest_days)) - 1),
        "latest": today + timedelta(days=int(tokens.longest_days) - 1),
        "now": time.time(),
    }
    return page(request, "account.html", context)


@router.get("/parts/account/log-ins")
def log_ins_part(request: Request, actor: ActorOf, log_ins: LogInsOf) -> Response:
    return page(request, "_log_ins.html", {"log_ins": log_ins.open_log_ins(actor), "at": "/account"})


@router.get("/parts/account/tokens")
def tokens_part(request: Request, actor: ActorOf, tokens: TokensOf) -> Response:
    return page(request, "_tokens.html", {"tokens": tokens.list(actor), "now": time.time()})


@router.post("/account")
def change(actor: ActorOf, people: PeopleOf, full_name: Typed = "", mail: Typed = "") -> Response:
    """Change one's name and mail."""
    people.change(actor, actor.name, full_name=full_name.strip(), mail=mail.strip())
    return Response(status_code=204)


@router.post("/account/password")
def password(actor: ActorOf, people: PeopleOf, old: Typed = "", new: Typed = "", again: Typed = "") -> Response:
    """Change one's password; all other log-ins end."""
    set_own_password(people, actor, old, new, again)
    return Response(status_code=204)


@router.post("/account/log-ins/{login_id}/end")
def end_log_in(login_id: int, actor: ActorOf, log_ins: LogInsOf) -> Response:
    """End one log-in."""
    log_ins.end_log_ins(actor, login_id=login_id)
    return Response(status_code=204)


@router.post("/account/log-ins/end-others")
def end_others(actor: ActorOf, log_ins: LogInsOf) -> Response:
    """End all log-ins but this one."""
    log_ins.end_log_ins(actor, others=True)
    return Response(status_code=204)


@router.post("/account/tokens")
def make_token(
    request: Request,
    actor: ActorOf,
    tokens: TokensOf,
    name: Typed = "",
    until: Typed = "",
    scope: Annotated[list[Power], Form()] = [],  # noqa: B006 - FastAPI copies it
) -> Response:
    """Make a token; its secret is in this answer and nowhere else."""
    made = tokens.create(actor, name=name, scopes=scope, days=days_until(until, time.time()))
    return page(request, "_token_made.html", {"made": made})


@router.post("/account/tokens/{token_id}/revoke")
def revoke_token(token_id: int, actor: ActorOf, tokens: TokensOf) -> Response:
    """Take a token back."""
    tokens.revoke(actor, token_id)
    return Response(status_code=204)


def days_until(text: str, now: float) -> float:
    """Return how many days there are from an instant to the end of a day (UTC), written as 2026-12-31.

    Raises:
        BadInput: it is no day, or it is over.
    """
    try:
        end = datetime.combine(date.fromisoformat(text) + timedelta(days=1), datetime.min.time(), UTC)
    except (ValueError, OverflowError) as error:
        raise BadInput("The last day of a token is a date.", advice="Write it as 2026-12-31.") from error
    days = (end.timestamp() - now) / 86400
    if days <= 0:
        raise BadInput("That day is over.", advice="Choose a later one.")
    return days
