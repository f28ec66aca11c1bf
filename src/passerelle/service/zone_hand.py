"""Zones of a service that is not root and has root's hand write for it: what of their folders is left to root's command line.

The hand writes files and changes no rights: who may give folders away can give away everything. So a zone's folder is made,
and its rights are changed, by `sudo passerelle zones …`.
"""

from __future__ import annotations

import os
from pathlib import Path

from passerelle.core.errors import NotAllowed, storage_errors
from passerelle.service.settings import Settings
from passerelle.zones import Accounts, Zone


def looker_of(settings: Settings) -> int | None:
    """Return the account of the service, whose the state is, for root to let into all zones; None where no hand is configured."""
    if settings.transfers.hand is None or os.geteuid() != 0:
        return None
    with storage_errors(settings.state.folder):
        return settings.state.folder.stat().st_uid or None


def keep_to_folders(zone: Zone, settings: Settings, accounts: Accounts) -> None:
    """Pass if root may change what a zone of a service's database names: the service may have been taken over, and name /etc.

    Raises:
        NotAllowed: it lies in no folder of the configuration.
    """
    known = [settings.zones.folder, *settings.zones.other_folders]
    instruments = [each.folder for each in settings.instruments.values()]
    if accounts.looker_uid is not None and zone.root.parent not in known and zone.root not in instruments:
        raise NotAllowed(
            "lies in none of the folders for zones.",
            advice=f"Root changes nothing outside of {', '.join(map(str, known))}; zones.other_folders names more.",
            path=zone.root,
        )


def left_to_root(zone: Zone, settings: Settings, accounts: Accounts) -> tuple[str, ...]:
    """Say what root has to do, where the service cannot change the rights of a zone's folder; nothing where it can."""
    if settings.transfers.hand is None or accounts.may_give:
        return ()
    with storage_errors(zone.root):
        if zone.root.stat().st_uid == accounts.service_uid:
            return ()
    return (f"Its files keep their rights until this is done on the server: sudo passerelle zones repair {zone.name}",)


def may_make(root: Path, name: str, owner: str) -> None:
    """Pass if this account can make a zone's folder, or it is there.

    Raises:
        NotAllowed: says how root makes it.
    """
    with storage_errors(root):
        above = next(each for each in (root, *root.parents) if each.exists())
    if os.geteuid() != 0 and above != root and not os.access(above, os.W_OK | os.X_OK):
        raise NotAllowed(
            "is not for this account to make.",
            advice=f"On the server, as root: sudo passerelle zones create {name} --owner {owner}",
            path=root,
        )
