"""Who asks, and what that person may do in the facility. What may be done in one zone is `zones.may`'s to say."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass, replace
from enum import StrEnum

from passerelle.core.errors import NotAllowed
from passerelle.zones import Visitor


class PersonRole(StrEnum):
    """What a person is to the facility."""

    USER = "user"
    OPERATOR = "operator"  # runs instruments
    DATA_MANAGER = "data_manager"  # keeps zones and shares
    ADMIN = "admin"  # keeps people, too


class Power(StrEnum):
    """What a role lets a person do; also the scopes of tokens."""

    LOOK = "look"  # sessions, results, and zones where the zone says so
    SEND = "send"  # start transfers, put files into zones
    SHARE = "share"  # choose readers and writers of one's own zones
    STEER = "steer"  # verdicts, thresholds, parameters, alerts, closing sessions
    KEEP_ZONES = "keep_zones"  # make, change, archive any zone, without being let into it
    PURGE = "purge"  # let files of the gateway go that are safe elsewhere
    KEEP_SHARES = "keep_shares"  # apply Samba's configuration, take rights back
    KEEP_PEOPLE = "keep_people"  # accounts, roles, tokens of others
    AUDIT = "audit"  # read the audit log


_USER = frozenset({Power.LOOK, Power.SEND, Power.SHARE})

POWERS: dict[PersonRole, frozenset[Power]] = {
    PersonRole.USER: _USER,
    PersonRole.OPERATOR: _USER | {Power.STEER},
    PersonRole.DATA_MANAGER: _USER | {Power.STEER, Power.KEEP_ZONES, Power.PURGE, Power.KEEP_SHARES},
    PersonRole.ADMIN: frozenset(Power),
}


class Through(StrEnum):
    """By what way somebody asks."""

    PAGE = "page"
    TOKEN = "token"
    COMMAND = "command"
    SERVICE = "service"  # the service itself, by a rule


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks, from where, with what powers. login_id, token_id: of the log-in or token that was shown.

    must_change: the password is one that somebody else chose; there are no powers until the person has chosen another.
    """

    name: str
    role: PersonRole
    powers: frozenset[Power]
    through: Through
    groups: frozenset[str] = frozenset()
    address: str = ""
    login_id: int | None = None
    token_id: int | None = None
    must_change: bool = False

    @property
    def visitor(self) -> Visitor:
        """What a zone is told of who asks."""
        return Visitor(self.name, self.groups, steward=Power.KEEP_ZONES in self.powers)

    @property
    def audit_name(self) -> str:
        """The name in the audit log: accounts of this machine are told from people of passerelle."""
        return f"unix:{self.name}" if self.through in (Through.COMMAND, Through.SERVICE) else self.name

    def from_address(self, address: str) -> Actor:
        """Return the same, asking from another address."""
        return replace(self, address=address)


def require(actor: Actor, power: Power) -> None:
    """Pass if a person may do something.

    Raises:
        NotAllowed: says what role or scope would be needed.
    """
    if power in actor.powers:
        return
    if actor.must_change:
        raise NotAllowed("The password is a first one.", advice="Choose one of your own.")
    if actor.through is Through.TOKEN and power in POWERS[actor.role]:
        raise NotAllowed(f"This token may not {_words(power)}.", advice=f"Make a token with the scope {power}.")
    roles = ", ".join(role for role, powers in POWERS.items() if power in powers)
    raise NotAllowed(f"{actor.name} ({actor.role}) may not {_words(power)}.", advice=f"Ask somebody who may: {roles}.")


def _words(power: Power) -> str:
    return power.replace("_", " ")


def this_account(through: Through = Through.COMMAND, *, address: str = "") -> Actor:
    """Return the account that runs this process: who can read configuration and database is bound by nothing else here."""
    try:
        name = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        name = str(os.geteuid())
    if through is Through.COMMAND and os.geteuid() == 0:
        name = _who_became_root() or name
    return Actor(name, PersonRole.ADMIN, frozenset(Power), through, address=address)


def _who_became_root() -> str:
    """Return who typed sudo, so that the audit log names a person."""
    name = os.environ.get("SUDO_USER", "")
    try:
        return pwd.getpwnam(name).pw_name if name else ""
    except KeyError:
        return ""
