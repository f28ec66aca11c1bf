"""The door: log in, log out, choose a password in place of a first one. All else asks for a log-in."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from passerelle.core.errors import BadInput, NotFound, NotLoggedIn
from passerelle.web.answers import Json, page
from passerelle.web.deps import AnyoneOf, ArrivalOf, LogInsOf, PeopleOf, who_asks

LOG_IN, FIRST_PASSWORD = "/log-in", "/first-password"

router = APIRouter(include_in_schema=False)

Typed = Annotated[str, Form(max_length=1024)]
_LOCAL = re.compile(
    r"/(?![/\\])[!-\[\]-~]{0,2000}"
)  # no backslash, no blank or control character: browsers read them as they like


@router.get("/alive")
def alive() -> Response:
    """Say that the pages are served, and nothing else: for proxies and supervisors."""
    return Json({"alive": True})


@router.get(LOG_IN)
def log_in_page(request: Request, next: str = "") -> Response:
    """The form for name and password; who is logged in is sent on."""
    target = local_path(next)
    try:
        who_asks(request)
    except NotLoggedIn:
        return page(request, "log_in.html", {"next": target})
    return RedirectResponse(target, status_code=303)


@router.post(LOG_IN)
def log_in(
    request: Request, arrival: ArrivalOf, log_ins: LogInsOf, name: Typed = "", password: Typed = "", next: Typed = ""
) -> Response:
    """Check name and password; the browser gets a new secret, and its former one ends."""
    if not request.app.state.facility.doorkeeper.asks:
        raise NotFound("Nobody is asked for a name here.", advice="people.log_in in the configuration changes that.")
    agent = request.headers.get("user-agent", "")
    made = log_ins.log_in(name, password, address=arrival.address, agent=agent, old_secret=arrival.secret)
    target = local_path(next)
    response = _sent_on(first_password_for(target) if made.actor.must_change else target)
    arrival.set_log_in(response, made.secret)
    return response


@router.post("/log-out")
def log_out(actor: AnyoneOf, arrival: ArrivalOf, log_ins: LogInsOf) -> Response:
    """End this log-in; the browser forgets its secret, and the pictures that it kept."""
    log_ins.log_out(actor)
    response = _sent_on(LOG_IN)
    response.headers["clear-site-data"] = '"cache"'
    arrival.drop_log_in(response)
    return response


@router.get(FIRST_PASSWORD)
def first_password_page(request: Request, actor: AnyoneOf, next: str = "") -> Response:
    """The form for a password of one's own."""
    if not actor.must_change:
        return RedirectResponse(local_path(next), status_code=303)
    return page(request, "first_password.html", {"next": local_path(next)})


@router.post(FIRST_PASSWORD)
def first_password(
    actor: AnyoneOf, people: PeopleOf, old: Typed = "", new: Typed = "", again: Typed = "", next: Typed = ""
) -> Response:
    """Set a password of one's own in place of the first one."""
    set_own_password(people, actor, old, new, again)
    return _sent_on(local_path(next))


def set_own_password(people: PeopleOf, actor: AnyoneOf, old: str, new: str, again: str) -> None:
    """Set the password of who asks.

    Raises:
        BadInput: the two are not the same, or it cannot be used. NotAllowed: the old one is not right.
    """
    if new != again:
        raise BadInput("The two new passwords are not the same.", advice="Type the new one again.")
    people.set_password(actor, actor.name, new, old=old)


def local_path(text: str) -> str:
    """Return a path of this service to go on to; the first page where `text` is none, or leads elsewhere."""
    return text if _LOCAL.fullmatch(text) else "/"


def log_in_for(target: str) -> str:
    """Return the address of the form that leads on to `target`."""
    target = local_path(target)
    return LOG_IN if target == "/" else f"{LOG_IN}?next={quote(target, safe='/')}"


def first_password_for(target: str) -> str:
    """Return the address of the form for a password of one's own that leads on to `target`."""
    target = local_path(target)
    return FIRST_PASSWORD if target == "/" else f"{FIRST_PASSWORD}?next={quote(target, safe='/')}"


def _sent_on(address: str) -> Response:
    """htmx goes where it is told; a redirect would be followed by its request, not by the page."""
    return Response(status_code=204, headers={"hx-redirect": address})
