"""Become the account that a zone belongs to: read everything that the service may send, write only what that account may.

A service that runs as root starts one process a transfer, which gives root up before it opens anything. It keeps one capability,
CAP_DAC_READ_SEARCH, as the gateway's folders are not the person's to read; what is written has the person's rights and no more,
so that neither a fault of ours nor a link that somebody puts into the zone can reach what is another's. There is no way back:
other capabilities are out of the bounding set, and no program that is started can gain any.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from passerelle.core.errors import NotAllowed
from passerelle.transfer import kernel

_STATUS = Path("/proc/self/status")
_READS = f"{1 << kernel.CAP_DAC_READ_SEARCH:016x}"


class Account(NamedTuple):
    """An account of this machine. group: its own; groups: further ones."""

    name: str
    user: int
    group: int
    groups: tuple[int, ...] = ()


def become(account: Account) -> None:
    """Turn this process, which is root's and has one thread, into one of the account's that may read everything.

    Raises:
        NotAllowed: the account is root, or the kernel did not do as it was asked; the process must end then.
    """
    if account.user <= 0 or account.group <= 0 or 0 in account.groups:
        raise NotAllowed(
            f"Nothing is written as {account.name}: that is root, or of root's group.",
            advice="Give the zone to an ordinary account: passerelle zones change NAME --owner PERSON.",
        )
    try:
        kernel.keep_capabilities()
        kernel.bound_capabilities(kernel.CAP_DAC_READ_SEARCH)
        os.setgroups(account.groups)
        os.setresgid(account.group, account.group, account.group)
        os.setresuid(account.user, account.user, account.user)
        kernel.have_only(kernel.CAP_DAC_READ_SEARCH)
        kernel.no_new_privileges()
    except OSError as error:
        raise NotAllowed(
            f"This process cannot become {account.name}: {error.strerror or error}.", advice="Run the service as root."
        ) from error
    _check(account)
    _forget_surroundings()


def _check(account: Account) -> None:
    """Look at what the kernel says that this process is: what was asked for and is not so is never passed over."""
    found = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines() if ":" in line)
    said = {name: value.split() for name, value in found.items()}
    wanted = {
        "Uid": [str(account.user)] * 4,
        "Gid": [str(account.group)] * 4,
        "Groups": [str(each) for each in sorted(set(account.groups))],
        "CapInh": [_READS],
        "CapPrm": [_READS],
        "CapEff": [_READS],
        "CapBnd": [_READS],
        "CapAmb": [_READS],
        "NoNewPrivs": ["1"],
        "Threads": ["1"],
    }
    for name, value in wanted.items():
        is_so = sorted(set(said.get(name, [])), key=int) if name == "Groups" else said.get(name, [])
        if is_so != value:
            raise NotAllowed(
                f"This process was to become {account.name}, and is not: {name} is {' '.join(is_so)}, not {' '.join(value)}.",
                advice="Report this; nothing was written.",
            )


def _forget_surroundings() -> None:
    """Leave folder and variables of root, and see to it that no Python that is started here loads code of the account."""
    os.chdir("/")
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TZ") if name in os.environ}
    os.environ.clear()
    os.environ.update(kept | {"PYTHONNOUSERSITE": "1", "PYTHONSAFEPATH": "1", "PYTHONDONTWRITEBYTECODE": "1", "HOME": "/"})
