"""Who checks passwords: passerelle itself, PAM or a directory, behind one protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Identity:
    """Who somebody is, as the source says. role: where the source decides it, else empty."""

    name: str
    full_name: str = ""
    mail: str = ""
    groups: tuple[str, ...] = ()
    role: str = ""


class Source(Protocol):
    """Something that knows people and checks their passwords.

    A wrong password and an unknown name are the same answer. It never keeps a password, and never writes one anywhere.
    """

    @property
    def name(self) -> str:
        """The source's word in the accounts: pam, ldap."""
        ...

    def check(self, name: str, password: str) -> Identity | None:
        """Return who this is, or None where name or password is not right.

        Raises:
            Busy: the source cannot be asked now.
            BadConfiguration: it refuses the way it is asked.
        """
        ...
