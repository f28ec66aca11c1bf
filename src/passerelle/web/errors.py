"""Errors become answers in words: a page for a person, JSON for a program, with the status that the error knows."""

from __future__ import annotations

from typing import Any
from urllib.parse import SplitResult, urlsplit

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from passerelle.core.errors import NotAllowed, NotLoggedIn, PasserelleError, printable
from passerelle.core.log import logger
from passerelle.service.attempts import Attempt
from passerelle.web.answers import Json, page
from passerelle.web.door import FIRST_PASSWORD, LOG_IN, first_password_for, log_in_for

# what every answer carries; security.py puts it on, but for what fails outside of it
STRICT = {
    "content-security-policy": "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}

_WORDS = {
    400: "This request cannot be understood",
    401: "Log in first",
    403: "Not allowed",
    404: "There is no such page",
    405: "This address does not take that kind of request",
    409: "Not now",
    413: "Too large",
    415: "Not a kind that can be read",
    429: "Too many tries",
    422: "Something in this request is not as it should be",
    500: "Something went wrong here",
    503: "Busy",
    507: "The disk does not take more",
}


class ErrorWords(BaseModel):
    """What is wrong, and what to do."""

    title: str
    message: str
    advice: str


class ErrorAnswer(BaseModel):
    """What programs get in place of an answer."""

    error: ErrorWords


# for the documentation of the API: any operation may answer so
DOCUMENTED: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorAnswer, "description": words} for status, words in _WORDS.items() if status != 500
}
_OF_BODIES = {400: Attempt.BODY, 413: Attempt.SIZE}  # of Starlette's parsers


def answer(request: Request, status: int, message: str, advice: str = "") -> Response:
    """Return a page or JSON that says what is wrong and what to do."""
    title = _WORDS.get(status, "This did not work")
    if wants_page(request):
        context = {"title": title, "message": message, "advice": advice, "status_code": status}
        return page(request, "error.html", context, status=status)
    return Json({"error": {"title": title, "message": message, "advice": advice}}, status=status)


def wants_page(request: Request) -> bool:
    """A browser that follows a link asks for HTML; htmx, fetch and programs get JSON."""
    if request.url.path.startswith("/api/") or "hx-request" in request.headers:
        return False
    return "text/html" in request.headers.get("accept", "")


def _ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, PasserelleError)
    where = f"{printable(error.path)}: " if error.path else ""
    response = answer(request, error.http_status, where + printable(error.message, 2000), error.advice)
    if isinstance(error, NotLoggedIn):
        if "authorization" in request.headers:
            _note(request, Attempt.TOKEN)
        response.headers["www-authenticate"] = 'Bearer realm="passerelle"'
    elsewhere = _way_in(request, error) if isinstance(error, NotAllowed) else ""
    if not elsewhere:
        return response
    if "hx-request" in request.headers:
        response.headers["hx-redirect"] = elsewhere  # htmx goes there, whatever the status
        return response
    return RedirectResponse(elsewhere, status_code=303) if request.method == "GET" and wants_page(request) else response


def _way_in(request: Request, error: NotAllowed) -> str:
    """Return where a person in a browser goes to be let in, and comes back from; empty where that is of no use."""
    here = request.url.path
    if here == LOG_IN or "authorization" in request.headers:
        return ""
    back = _page_of(request) if "hx-request" in request.headers else request.url
    target = f"{back.path}?{back.query}" if back.query else back.path
    if isinstance(error, NotLoggedIn):
        return log_in_for(target)
    actor = getattr(request.state, "actor", None)
    return first_password_for(target) if actor is not None and actor.must_change and here != FIRST_PASSWORD else ""


def _page_of(request: Request) -> SplitResult:
    """Return the address of the page from which htmx asks; the first page's where that is none."""
    try:
        return urlsplit(request.headers.get("hx-current-url", ""))
    except ValueError:
        return urlsplit("/")


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return answer(request, 404, "Nothing lies at this address.", "The list of sessions is the place to start from.")
    if error.status_code in _OF_BODIES:
        _note(request, _OF_BODIES[error.status_code])
    return answer(request, error.status_code, printable(str(error.detail)))


def _validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    if any(detail["loc"][0] == "body" for detail in error.errors()):
        _note(request, Attempt.BODY)
    sentences = [f"{'.'.join(str(part) for part in e['loc'])}: {e['msg']}." for e in error.errors()[:10]]
    return answer(request, 404 if _bad_number(error) else 422, printable(" ".join(sentences), 1000))


def _bad_number(error: RequestValidationError) -> bool:
    """/sessions/abc is an address at which nothing lies."""
    return any(detail["loc"][0] == "path" for detail in error.errors())


def _note(request: Request, attempt: Attempt) -> None:
    """Write down what was refused before any verb was called."""
    actor, arrival = getattr(request.state, "actor", None), getattr(request.state, "arrival", None)
    request.app.state.facility.attempts.note(
        attempt,
        address="" if arrival is None else arrival.address,
        path=request.url.path,
        person="" if actor is None else actor.audit_name,
        through="token" if "authorization" in request.headers else "page",
    )


def _unforeseen(request: Request, error: Exception) -> Response:
    logger.error("page_failed", path=request.url.path, error=type(error).__name__)
    response = answer(
        request,
        500,
        "The page could not be made. The processing goes on; the service's log has the details.",
        "Reload the page. If it stays, report it with the time and the address.",
    )
    response.headers.update(STRICT | {"cache-control": "no-store"})  # Starlette answers this one outside of all middleware
    return response


def install(app: FastAPI) -> None:
    """Register the handlers."""
    app.add_exception_handler(PasserelleError, _ours)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(Exception, _unforeseen)
