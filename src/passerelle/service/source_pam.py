"""PAM as a source of people: accounts of this machine, whatever stands behind them (files, SSSD, winbind)."""

from __future__ import annotations

import os
import pwd
import threading

from passerelle.core.errors import BadConfiguration
from passerelle.service.accounts import groups_of
from passerelle.service.sources import Identity

try:
    import pam
except ImportError as _error:  # the extra is not installed
    raise BadConfiguration(
        "people.pam_service is set, and python-pam is not installed.", advice="pip install 'passerelle[pam]'"
    ) from _error


class PamSource:
    """Asks PAM. Most modules must be asked as root; pam_unix lets another account ask for itself only."""

    name = "pam"

    def __init__(self, service: str) -> None:
        if "/" in service or service.startswith("."):
            raise BadConfiguration(f"people.pam_service is {service!r}.", advice="Give the name of a file in /etc/pam.d.")
        self._service = service
        self._turn = threading.Lock()  # modules of PAM are not all made for threads

    def check(self, name: str, password: str) -> Identity | None:
        """As `Source.check`. Accounts below 1000 (root and the system's) never log in."""
        if not name or not password or "\x00" in name + password:
            return None
        with self._turn:
            asked = pam.pam()
            if not asked.authenticate(name, password, service=self._service, call_end=True):
                return None
        try:
            account = pwd.getpwnam(name)
        except KeyError:
            return None
        if account.pw_uid < _FIRST_PERSON and account.pw_uid != os.geteuid():
            return None
        return Identity(account.pw_name, account.pw_gecos.split(",")[0], "", tuple(sorted(groups_of(account.pw_name))))


_FIRST_PERSON = 1000
