"""What the process that brings a dataset is told: as whom it writes, what it leaves out, what its way is called."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from passerelle.core.errors import NotAllowed, storage_errors
from passerelle.service.accounts import account_of
from passerelle.service.datasets import Dataset, Datasets
from passerelle.service.selections import SelectionKind
from passerelle.service.settings_transfers import TransferSettings
from passerelle.store.paths import from_text
from passerelle.store.transfers import Transfer
from passerelle.transfer.become import Account
from passerelle.transfer.courier import Order
from passerelle.zones import Zone

_MOST_PROCESSES = 3

Lookup = Callable[[str], tuple[int, int, tuple[int, ...]] | None]


def account_for(zone: Zone, *, lookup: Lookup = account_of, root: bool | None = None) -> Account | None:
    """Return the account that writes into a zone: its owner's. None where the service is not root, and writes as itself.

    Raises:
        NotAllowed: this machine has no such account, or it is root.
    """
    if not (os.geteuid() == 0 if root is None else root):
        return None
    found = lookup(zone.owner)
    if found is None:
        raise NotAllowed(
            f"This machine has no account {zone.owner}, to whom the files of zone {zone.name} would belong.",
            advice="Make the account, or connect the machine to the directory that has it (SSSD).",
        )
    user, group, groups = found
    if user == 0 or group == 0:
        raise NotAllowed(
            f"Zone {zone.name} belongs to {zone.owner}: nothing is written as root.", advice="Give the zone to a person."
        )
    return Account(zone.owner, user, group, tuple(each for each in groups if each))


def hand_for(zone: Zone, settings: TransferSettings) -> Path | None:
    """Return where root's hand is asked to write into a zone; None where the service writes itself: as root, or what is its own.

    Raises:
        NotFound, StorageError: the zone's folder is not there.
    """
    if settings.hand is None or os.geteuid() == 0:
        return None
    with storage_errors(zone.root):
        return None if zone.root.stat().st_uid == os.geteuid() else settings.hand


def leg_of(transfer: Transfer) -> str:
    """Return what the way of a transfer is called in the manifest."""
    return f"{transfer.instrument} to zone {transfer.zone}, for {transfer.person}"


def order_for(transfer: Transfer, dataset: Dataset, zone: Zone, datasets: Datasets, settings: TransferSettings) -> Order:
    """Return what a courier is to bring.

    Raises:
        NotAllowed: as `account_for`. BadInput, Conflict, NotFound, StorageError: as `Datasets.selection`.
    """
    said, out = datasets.selection(dataset, SelectionKind(transfer.selection), transfer.squares)
    quiet = settings.quiet_minutes * 60 if transfer.follow and transfer.session_id is None else 0.0
    return Order(
        source=(str(dataset.instrument.folder), dataset.place.path),
        target=(str(zone.root), str(from_text(transfer.folder))),
        leg=leg_of(transfer),
        account=account_for(zone),
        selection=said,
        left_out=tuple(sorted(out)),
        follow=transfer.follow,
        quiet_seconds=quiet,
        processes=settings.processes or min(_MOST_PROCESSES, (os.cpu_count() or 1) + 1),
    )
