"""How a request arrived: from where, encrypted or not, with what secret of a log-in and what token of a page."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Scope

from passerelle.service.doorkeeper import came_encrypted, client_address

LOG_IN_COOKIE = "passerelle_log_in"
TOKEN_COOKIE = "passerelle_token"
HOST_PREFIX = "__Host-"  # browsers take such a cookie only by TLS, from this host itself, for all of it (RFC 6265bis)

_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,64}")


@dataclass(frozen=True, slots=True)
class Arrival:
    """secret: of the log-in's cookie, empty without one. token: what pages of this browser repeat in a header with each change.

    With a log-in the token is made from its secret: a fresh one at each log-in, known to nobody who does not know the secret.
    Without one it is the cookie `passerelle_token` (double submit); `fresh` says that the browser has none yet.
    """

    address: str
    encrypted: bool
    secret: str
    token: str
    fresh: bool

    @property
    def sent_token(self) -> str | None:
        """The token that the browser is known to have; None at a first visit."""
        return None if self.fresh else self.token

    def cookie_name(self, name: str) -> str:
        """Return under what name a cookie is set and read."""
        return HOST_PREFIX + name if self.encrypted else name

    def set_log_in(self, response: Response, secret: str) -> None:
        """Give the browser the secret of a log-in, for as long as it runs.

        Lax: a link in a mail leads to its page; what changes something is no link, and needs the token besides.
        """
        response.set_cookie(
            self.cookie_name(LOG_IN_COOKIE), secret, path="/", httponly=True, samesite="lax", secure=self.encrypted
        )

    def drop_log_in(self, response: Response) -> None:
        """Take the secret of a log-in from the browser."""
        response.delete_cookie(self.cookie_name(LOG_IN_COOKIE), path="/", httponly=True, samesite="lax", secure=self.encrypted)


def arrival_of(scope: Scope, headers: Headers, proxies: Sequence[str]) -> Arrival:
    """Read a request's way here. proxies: addresses whose word on it is taken."""
    peer = (scope.get("client") or ("", 0))[0]
    encrypted = came_encrypted(scope.get("scheme", "http"), peer, headers.getlist("x-forwarded-proto"), proxies)
    address = client_address(peer, headers.getlist("x-forwarded-for"), proxies)
    prefix = HOST_PREFIX if encrypted else ""
    sent = _cookies(headers)
    secret = _plausible(sent, prefix + LOG_IN_COOKIE)
    if secret:
        return Arrival(address, encrypted, secret, form_token(secret), fresh=False)
    token = _plausible(sent, prefix + TOKEN_COOKIE)
    return Arrival(address, encrypted, "", token or secrets.token_urlsafe(24), fresh=not token)


def form_token(secret: str) -> str:
    """Return the token of the pages of a log-in. It tells nothing of the secret."""
    return hmac.new(secret.encode(), b"passerelle: token of pages", hashlib.sha256).hexdigest()


def _cookies(headers: Headers) -> SimpleCookie:
    try:
        return SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return SimpleCookie()


def _plausible(sent: SimpleCookie, name: str) -> str:
    morsel = sent.get(name)
    return morsel.value if morsel is not None and _TOKEN.fullmatch(morsel.value) else ""
