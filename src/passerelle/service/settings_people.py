"""The configuration of people: whether they log in, for how long, and who checks their passwords."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from passerelle.core.config import Section


class PeopleSettings(Section):
    """Log-ins. Without them everybody who reaches the pages is the person who runs the service."""

    log_in: bool = Field(default=False, description="Ask people for their name and password.")
    idle_hours: float = Field(default=8.0, gt=0, description="A log-in ends when it was not used for so long.")
    longest_hours: float = Field(default=72.0, gt=0, description="A log-in ends after so long, used or not.")
    first_password_days: float = Field(
        default=7.0, gt=0, description="How long a password that somebody else chose lets its person in, to choose another."
    )
    token_longest_days: float = Field(default=365.0, gt=0, description="The latest end that a personal token may have.")
    pam_service: str = Field(
        default="",
        description="Let PAM check passwords, by this service name (a file in /etc/pam.d); empty: PAM is not asked.",
        examples=["passerelle"],
    )
    proxies: tuple[str, ...] = Field(
        default=(),
        description="Addresses of proxies whose word is taken for where a request comes from.",
        examples=[["127.0.0.1"]],
    )


class AuditSettings(Section):
    """The log of what people did. It is in the database for ever; a copy elsewhere outlives who owns that."""

    syslog: str = Field(
        default="",
        pattern=r"^(|unix:/[^\x00]{1,100}|(tcp|udp)://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5})$",
        description="Send each line to a syslog server, too (RFC 5424): unix:SOCKET, tcp://HOST:PORT or udp://HOST:PORT, none of "
        "which encrypts; a server on this machine can send it on by TLS. Empty: it is sent nowhere.",
        examples=["unix:/dev/log"],
    )


class LdapSettings(Section):
    """A directory that checks passwords and tells names and groups. The first log-in makes the account here."""

    url: str = Field(
        default="", description="ldaps://HOST or ldap://HOST:PORT; empty: no directory.", examples=["ldaps://ldap.institute.org"]
    )
    encryption: Literal["tls", "start_tls", "none"] = Field(
        default="tls", description="tls for ldaps, start_tls for ldap; none sends passwords in the clear, for this machine only."
    )
    ca_file: Path | None = Field(
        default=None,
        description="Certificates that the directory's is checked by; without it: the system's.",
        examples=["/etc/ssl/ca.pem"],
    )
    people_base: str = Field(default="", description="Where people are.", examples=["ou=people,dc=institute,dc=org"])
    name_attribute: str = Field(
        default="uid", pattern=r"^[A-Za-z][A-Za-z0-9-]*$", description="What people type to log in: uid, or sAMAccountName."
    )
    group_base: str = Field(
        default="", description="Where groups are; empty: groups are not read.", examples=["ou=groups,dc=institute,dc=org"]
    )
    group_member: Literal["dn", "name"] = Field(
        default="dn", description="Groups list their members by dn (member) or by name (memberUid)."
    )
    group_needed: str = Field(default="", description="Only people of this group may log in; empty: all.", examples=["cryoem"])
    bind_dn: str = Field(
        default="",
        description="An account of the directory that may search it; empty: anonymous.",
        examples=["cn=reader,dc=institute,dc=org"],
    )
    bind_password_file: Path | None = Field(
        default=None,
        description="A file that holds that account's password and nothing else.",
        examples=["/etc/passerelle/ldap.secret"],
    )
    seconds: float = Field(default=5.0, gt=0, le=60, description="How long to wait for the directory.")
    admins: tuple[str, ...] = Field(
        default=(), description="Groups of the directory whose people become admin.", examples=[["it-staff"]]
    )
    data_managers: tuple[str, ...] = Field(default=(), description="The same for data_manager.", examples=[["data-managers"]])
    operators: tuple[str, ...] = Field(default=(), description="The same for operator.", examples=[["em-facility"]])

    @field_validator("url")
    @classmethod
    def _scheme(cls, value: str) -> str:
        if value and not value.startswith(("ldap://", "ldaps://")):
            raise ValueError("begins with ldaps:// or ldap://")
        return value
