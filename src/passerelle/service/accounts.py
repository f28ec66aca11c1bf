"""Accounts of this machine: names to numbers, as the system's name service (files, LDAP, SSSD) tells them."""

from __future__ import annotations

import grp
import os
import pwd

from passerelle.core.errors import BadConfiguration
from passerelle.zones import Accounts


def machine_accounts(group: str = "", service: int | None = None) -> Accounts:
    """Return how names become numbers here, and what this process may do.

    group: that files of zones get; empty: its own. service: the account of a service that is not root, where root's hand writes.

    Raises:
        BadConfiguration: there is no such group.
    """
    service_gid = os.getegid()
    if group:
        found = gid_of(group)
        if found is None:
            raise BadConfiguration(f"zones.group: there is no group {group!r} on this machine.", advice="Make it: groupadd.")
        service_gid = found
    root = os.geteuid() == 0
    return Accounts(uid_of, gid_of, groups_of, os.geteuid(), service_gid, root, service if root else None)


def uid_of(name: str) -> int | None:
    """Return the number of an account, or None."""
    try:
        return pwd.getpwnam(name).pw_uid
    except (KeyError, ValueError):
        return None


def account_of(name: str) -> tuple[int, int, tuple[int, ...]] | None:
    """Return the numbers of an account, of its group and of its further groups; None where there is no such account."""
    try:
        found = pwd.getpwnam(name)
        return found.pw_uid, found.pw_gid, tuple(os.getgrouplist(name, found.pw_gid))
    except (KeyError, ValueError, OSError):
        return None


def gid_of(name: str) -> int | None:
    """Return the number of a group, or None."""
    try:
        return grp.getgrnam(name).gr_gid
    except (KeyError, ValueError):
        return None


def groups_of(name: str) -> frozenset[str]:
    """Return the groups of an account by name; none where there is no such account."""
    try:
        account = pwd.getpwnam(name)
        numbers = os.getgrouplist(name, account.pw_gid)
    except (KeyError, ValueError, OSError):
        return frozenset()
    return frozenset(filter(None, map(_group_name, numbers)))


def _group_name(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return ""
