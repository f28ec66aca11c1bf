"""A directory (OpenLDAP, Active Directory) as a source of people: search the name, bind as what was found, read the groups."""

from __future__ import annotations

import math
import ssl
from pathlib import Path
from typing import Any

from passerelle.core.errors import BadConfiguration, Busy, storage_errors
from passerelle.service.access import PersonRole
from passerelle.service.settings_people import LdapSettings
from passerelle.service.sources import Identity

try:
    import ldap3
    from ldap3.core import exceptions
    from ldap3.utils.conv import escape_filter_chars
except ImportError as _error:  # the extra is not installed
    raise BadConfiguration("ldap.url is set, and ldap3 is not installed.", advice="pip install 'passerelle[ldap]'") from _error


class LdapSource:
    """Asks a directory. Safe to share between threads: each question opens its own connection."""

    name = "ldap"

    def __init__(self, settings: LdapSettings) -> None:
        self._settings = settings
        if not settings.people_base:
            raise BadConfiguration("ldap.people_base is not set.", advice="Say where in the directory people are.")
        secure = settings.url.startswith("ldaps://")
        if secure != (settings.encryption == "tls"):
            raise BadConfiguration(
                f"ldap.url is {settings.url} and ldap.encryption is {settings.encryption}.",
                advice="Use ldaps:// with tls, or ldap:// with start_tls.",
            )
        tls = ldap3.Tls(validate=ssl.CERT_REQUIRED, ca_certs_file=None if settings.ca_file is None else str(settings.ca_file))
        self._server = ldap3.Server(
            settings.url,
            tls=None if settings.encryption == "none" else tls,
            connect_timeout=settings.seconds,
            get_info=ldap3.NONE,
        )
        self._password = _secret(settings.bind_password_file)

    def check(self, name: str, password: str) -> Identity | None:
        """As `Source.check`. An empty password is refused here: a directory takes it for an anonymous bind (RFC 4513, 5.1.2)."""
        if not name or not password or "\x00" in name + password:
            return None
        settings = self._settings
        try:
            with self._connection(settings.bind_dn, self._password) as searching:
                found = self._entries(
                    searching,
                    settings.people_base,
                    f"({settings.name_attribute}={escape_filter_chars(name)})",
                    [settings.name_attribute, "cn", "displayName", "mail"],
                )
                if len(found) != 1:
                    return None
                dn, values = found[0]
                groups = self._groups(searching, dn, name)
            if not self._right(dn, password):
                return None
        except (exceptions.LDAPExceptionError, OSError) as error:
            raise Busy(f"does not answer: {error}", advice="See whether the directory runs.", path=settings.url) from error
        if settings.group_needed and settings.group_needed not in groups:
            return None
        return Identity(
            name=_first(values, settings.name_attribute) or name,
            full_name=_first(values, "displayName") or _first(values, "cn"),
            mail=_first(values, "mail"),
            groups=groups,
            role=self._role(groups),
        )

    def try_bind(self) -> None:
        """Pass if the directory lets passerelle in to search.

        Raises:
            Busy: it does not answer. BadConfiguration: it does not let us in.
        """
        try:
            self._connection(self._settings.bind_dn, self._password).unbind()
        except (exceptions.LDAPExceptionError, OSError) as error:
            raise Busy(f"does not answer: {error}", advice="See whether the directory runs.", path=self._settings.url) from error

    def _connection(self, dn: str, password: str) -> Any:
        settings = self._settings
        connection = ldap3.Connection(
            self._server,
            user=dn or None,
            password=password or None,
            receive_timeout=math.ceil(settings.seconds),
            raise_exceptions=False,
            auto_referrals=False,  # a password never goes to another server
            read_only=True,
        )
        connection.open()
        if settings.encryption == "start_tls" and not connection.start_tls():
            raise Busy("does not do StartTLS.", advice="Use ldaps://, or see the server's certificate.", path=settings.url)
        if not connection.bind():
            why = connection.result.get("description", "")
            raise BadConfiguration(f"does not let passerelle in to search: {why}.", advice="See ldap.bind_dn.", path=settings.url)
        return connection

    def _right(self, dn: str, password: str) -> bool:
        try:
            connection = self._connection(dn, password)
        except BadConfiguration:
            return False
        connection.unbind()
        return True

    def _entries(self, connection: Any, base: str, wanted: str, attributes: list[str]) -> list[tuple[str, dict[str, Any]]]:
        connection.search(base, wanted, attributes=attributes, size_limit=1000, time_limit=math.ceil(self._settings.seconds))
        return [(each["dn"], dict(each["attributes"])) for each in connection.response or [] if each["type"] == "searchResEntry"]

    def _groups(self, connection: Any, dn: str, name: str) -> tuple[str, ...]:
        settings = self._settings
        if not settings.group_base:
            return ()
        if settings.group_member == "dn":
            wanted = f"(|(member={escape_filter_chars(dn)})(uniqueMember={escape_filter_chars(dn)}))"
        else:
            wanted = f"(memberUid={escape_filter_chars(name)})"
        found = self._entries(connection, settings.group_base, wanted, ["cn"])
        return tuple(sorted({_first(values, "cn") for _, values in found} - {""}))

    def _role(self, groups: tuple[str, ...]) -> str:
        settings = self._settings
        for role, names in (
            (PersonRole.ADMIN, settings.admins),
            (PersonRole.DATA_MANAGER, settings.data_managers),
            (PersonRole.OPERATOR, settings.operators),
        ):
            if set(names) & set(groups):
                return role
        return PersonRole.USER if settings.admins or settings.data_managers or settings.operators else ""


def _first(values: dict[str, Any], name: str) -> str:
    lowered = {key.lower(): value for key, value in values.items()}
    value = lowered.get(name.lower())
    if isinstance(value, list):
        value = value[0] if value else ""
    return value if isinstance(value, str) else ""


def _secret(path: Path | None) -> str:
    if path is None:
        return ""
    with storage_errors(path):
        return path.read_text(encoding="utf-8").strip("\r\n")
