"""What every request must satisfy, and the headers that every answer carries.

Host: only names that the service was told are its own (DNS rebinding). Changes: only from our own pages, by Sec-Fetch-Site or
Origin, and with the page's token in a header, which no foreign page can set; or with a personal token, which no browser sends by
itself. Bodies: at most `body_limit` bytes.
"""

from __future__ import annotations

import hmac
import re
import sys
from collections.abc import Sequence

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from passerelle.service.attempts import Attempt
from passerelle.web.arrival import TOKEN_COOKIE, Arrival, arrival_of
from passerelle.web.errors import STRICT, answer
from passerelle.web.ports import Attempts

TOKEN_HEADER = "x-passerelle-token"
LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")
BODY_LIMIT = 1 << 18  # bytes; Python makes up to 80 times as much of a form before anybody looks at who sent it

_SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}


class Guard:
    """ASGI middleware around the whole application."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        attempts: Attempts,
        hosts: Sequence[str] = (),
        proxies: Sequence[str] = (),
        body_limit: int = BODY_LIMIT,
    ) -> None:
        self.app = app
        self.attempts = attempts
        self.proxies = proxies
        self.hosts = {host.lower() for host in (*LOCAL_HOSTS, *hosts)}
        self.body_limit = body_limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        arrival = arrival_of(scope, headers, self.proxies)
        scope.setdefault("state", {})["arrival"] = arrival

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                out = MutableHeaders(scope=message)
                out.update(STRICT)
                if "cache-control" not in out:
                    out["cache-control"] = "no-store"
                if arrival.encrypted:
                    out["strict-transport-security"] = "max-age=31536000"
                if arrival.fresh and out.get("content-type", "").startswith("text/html"):
                    out.append("set-cookie", _token_cookie(arrival))
            await send(message)

        refusal = self._refusal(scope, headers, arrival)
        if refusal is not None:
            attempt, status, message, advice = refusal
            await run_in_threadpool(self.attempts.note, attempt, address=arrival.address, path=scope["path"])
            response = answer(Request(scope), status, message, advice)
            await response(scope, receive, send_with_headers)
            return
        await self.app(scope, _Limited(receive, self.body_limit), send_with_headers)

    def _refusal(self, scope: Scope, headers: Headers, arrival: Arrival) -> tuple[Attempt, int, str, str] | None:
        host = headers.get("host", "")
        if _name(host) not in self.hosts:
            return (
                Attempt.HOST,
                400,
                "This service does not answer to the name that was asked for.",
                "Open it by localhost, or add the name to web.names in the configuration.",
            )
        if scope["method"] in _SAFE_METHODS:
            return None
        if not headers.get("authorization", "").lower().startswith("bearer "):
            if not _same_origin(headers, host):
                words = "This change was asked for by a page of another site.", "Make the change on passerelle's own page."
                return Attempt.ORIGIN, 403, *words
            sent, token = headers.get(TOKEN_HEADER, ""), arrival.sent_token
            if token is None or not hmac.compare_digest(sent.encode(), token.encode()):
                return Attempt.FORM, 403, "The page's token is missing or out of date.", "Reload the page, then try again."
        if _length(headers) > self.body_limit:
            return Attempt.SIZE, *_TOO_LARGE
        return None


_TOO_LARGE = (413, "What was sent is larger than any form of this service.", "Send less.")


class _BodyTooLarge(HTTPException):
    """A request without a truthful length went on beyond the limit. FastAPI lets this kind of exception through."""

    def __init__(self) -> None:
        super().__init__(_TOO_LARGE[0], _TOO_LARGE[1])


class _Limited:
    def __init__(self, receive: Receive, limit: int) -> None:
        self.receive = receive
        self.left = limit

    async def __call__(self) -> Message:
        message = await self.receive()
        self.left -= len(message.get("body", b""))
        if self.left < 0:
            raise _BodyTooLarge
        return message


def _name(host: str) -> str:
    """Return the host without its port, in lower case."""
    return re.sub(r":\d{1,5}\Z", "", host).lower()


def _length(headers: Headers) -> int:
    """Return how long a body says it is; what is no number is longer than anything."""
    said = headers.get("content-length", "0")
    return int(said) if len(said) < 19 and re.fullmatch("[0-9]+", said) else sys.maxsize


def _same_origin(headers: Headers, host: str) -> bool:
    """Every browser of the last years sends one of the two on a change; a program that sends neither is no browser."""
    site = headers.get("sec-fetch-site")
    if site is not None and site != "same-origin":
        return False
    origin = headers.get("origin")
    return origin is None or origin.lower() in (f"http://{host.lower()}", f"https://{host.lower()}")


def _token_cookie(arrival: Arrival) -> str:
    secure = "; Secure" if arrival.encrypted else ""
    name = arrival.cookie_name(TOKEN_COOKIE)
    return f"{name}={arrival.token}; Path=/; HttpOnly; SameSite=Strict; Max-Age=31536000{secure}"
