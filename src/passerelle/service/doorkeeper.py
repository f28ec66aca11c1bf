"""Who is at the door: by a cookie's secret, a token, or, where nobody is asked, the person who runs the service."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from passerelle.core.errors import NotLoggedIn
from passerelle.service.access import Actor, Through, this_account
from passerelle.service.log_in import LogIns
from passerelle.service.settings_people import PeopleSettings
from passerelle.service.tokens import who_holds
from passerelle.store import Database

_SCHEME = "bearer "
_PROXYS = ("basic ", "digest ", "negotiate ")  # what a proxy that asks lets through is no business of ours


class Doorkeeper:
    """Tells faces who asks. May be called from any thread."""

    def __init__(self, database: Database, settings: PeopleSettings, logins: LogIns) -> None:
        self._database, self._settings, self._logins = database, settings, logins

    @property
    def asks(self) -> bool:
        """Say whether people must log in."""
        return self._settings.log_in

    @property
    def proxies(self) -> Sequence[str]:
        """Addresses of proxies whose word is taken for where a request comes from, and by what scheme."""
        return self._settings.proxies

    def who(self, *, cookie: str = "", authorization: str = "", address: str = "", at: float | None = None) -> Actor:
        """Return who asks. cookie: the secret of a log-in. authorization: the header of that name, "Bearer psr_…".

        A request with both is answered by its token alone: a page of another site cannot send one. A token that is shown counts
        also where nobody is asked, so that a script does not get more than it was given.

        Raises:
            NotLoggedIn: nobody, or what was shown is not in force.
        """
        if authorization and not authorization.lower().startswith(_PROXYS):
            if not authorization.lower().startswith(_SCHEME):
                raise NotLoggedIn("Only tokens are taken in this header.", advice="Send: Authorization: Bearer psr_…")
            return who_holds(self._database, authorization[len(_SCHEME) :].strip(), address=address, at=at)
        if not self.asks:
            return this_account(Through.PAGE, address=address)
        return self._logins.who(cookie, address=address, at=at)


def client_address(peer: str, forwarded: Sequence[str], proxies: Sequence[str]) -> str:
    """Return where a request comes from. forwarded: the values of X-Forwarded-For, the latest hop last.

    The word of a proxy is taken only where the proxy itself is one of `proxies`; from there on backwards, hop by hop. What is no
    address ends the search: anybody may write into that header.
    """
    trusted = {_plain(each) for each in proxies}
    known = _plain(peer)
    for hop in reversed([part.strip() for value in forwarded for part in value.split(",")]):
        if known not in trusted:
            break
        address = _plain(hop)
        if not address:
            break
        known = address
    return known or peer[:64]


def came_encrypted(scheme: str, peer: str, forwarded: Sequence[str], proxies: Sequence[str]) -> bool:
    """Say whether the browser speaks TLS: to us, or to one of `proxies`. forwarded: the values of X-Forwarded-Proto."""
    if scheme == "https":
        return True
    told = [part.strip().lower() for value in forwarded for part in value.split(",")]
    return bool(told) and _plain(peer) in {_plain(each) for each in proxies} and told[-1] == "https"


def _plain(text: str) -> str:
    """Return an address in its shortest form, an IPv4 address within IPv6 as IPv4; empty where it is none."""
    try:
        address = ipaddress.ip_address(text.strip().strip("[]"))
    except ValueError:
        return ""
    inner = getattr(address, "ipv4_mapped", None)
    return str(inner or address)
