"""Configuration to objects for transfers, as `wiring` does for the rest."""

from __future__ import annotations

from sqlalchemy import Connection

from passerelle.service.datasets import Datasets
from passerelle.service.notices import Notices
from passerelle.service.transfer_runner import TransferRunner
from passerelle.service.transfer_words import told
from passerelle.service.transfers import Transfers
from passerelle.service.wiring import Parts
from passerelle.service.wiring_people import zones_of
from passerelle.store.transfers import Transfer


def datasets_of(parts: Parts) -> Datasets:
    """Return what can be sent."""
    return Datasets(parts.database, parts.instruments)


def transfers_of(parts: Parts) -> Transfers:
    """Return the verbs on transfers."""
    return Transfers(parts.database, parts.settings, datasets_of(parts), zones_of(parts))


def transfer_runner(parts: Parts, outbox: Notices) -> TransferRunner:
    """Make the loop that runs transfers and tells their people of the end. The caller starts and stops it."""

    def ended(connection: Connection, transfer: Transfer) -> None:
        words = told(transfer, parts.settings.notices.link)
        outbox.put(connection, transfer.person, words.title, words.body, cause=words.cause, level=words.level)

    return TransferRunner(parts.database, parts.settings, parts.instruments, datasets_of(parts), ended=ended)
