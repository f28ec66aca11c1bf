"""Configuration to objects for people and zones, as `wiring` does for the rest."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from passerelle.service.doorkeeper import Doorkeeper
from passerelle.service.files import Files
from passerelle.service.log_in import LogIns
from passerelle.service.passwords import Passwords
from passerelle.service.people import People
from passerelle.service.previews import Previews
from passerelle.service.settings import Settings, read_settings
from passerelle.service.shares import Shares
from passerelle.service.sources import Source
from passerelle.service.wiring import Parts, assemble
from passerelle.service.zones import Zones


def sources_of(settings: Settings) -> dict[str, Source]:
    """Return who checks passwords beside passerelle itself, in the order in which new names are looked for.

    Raises:
        BadConfiguration: a source is configured wrongly, or its library is not installed.
    """
    found: dict[str, Source] = {}
    if settings.ldap.url:
        from passerelle.service.source_ldap import LdapSource  # libraries of extras: loaded where they are used

        found["ldap"] = LdapSource(settings.ldap)
    if settings.people.pam_service:
        from passerelle.service.source_pam import PamSource

        found["pam"] = PamSource(settings.people.pam_service)
    return found


def people_of(parts: Parts, passwords: Passwords | None = None) -> People:
    """Return the verbs on accounts."""
    settings = parts.settings
    names = [name for name, there in (("ldap", settings.ldap.url), ("pam", settings.people.pam_service)) if there]
    follow = shares_of(parts).follow
    return People(parts.database, passwords or Passwords(), sources=names, facility=settings.facility, barred=follow)


def log_ins_of(parts: Parts, passwords: Passwords | None = None) -> LogIns:
    """Return the log-ins.

    Raises:
        BadConfiguration: as `sources_of`.
    """
    return LogIns(parts.database, parts.settings.people, passwords or Passwords(), sources=sources_of(parts.settings))


def doorkeeper_of(parts: Parts) -> Doorkeeper:
    """Return who tells faces who asks.

    Raises:
        BadConfiguration: as `sources_of`.
    """
    return Doorkeeper(parts.database, parts.settings.people, log_ins_of(parts))


def zones_of(parts: Parts) -> Zones:
    """Return the verbs on zones."""
    return Zones(parts.database, parts.settings, rights_changed=shares_of(parts).follow)


def files_of(parts: Parts, verbs: Zones) -> Files:
    """Return the verbs on files of zones and of the gateway; the caller closes them."""
    return Files(parts.database, parts.settings, verbs, Previews(parts.places.previews))


def shares_of(parts: Parts) -> Shares:
    """Return the verbs on shares."""
    return Shares(parts.database, parts.settings)


@contextmanager
def opened(config: Path | None) -> Generator[Parts]:
    """Open the state of the facility that a configuration describes, for a command, and give it back at the end.

    Raises:
        NotFound, BadConfiguration, Busy, StorageError: as `read_settings` and `assemble`.
    """
    parts = assemble(read_settings(config or Path("passerelle.toml")))
    try:
        yield parts
    finally:
        parts.close()
