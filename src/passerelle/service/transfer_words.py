"""What a person is told when a transfer has ended."""

from __future__ import annotations

from typing import NamedTuple

from passerelle.core.errors import printable
from passerelle.core.states import TransferState
from passerelle.service.transfer_rules import in_words
from passerelle.store.transfers import Transfer


class Told(NamedTuple):
    """A message to a person."""

    title: str
    body: str
    level: str
    cause: str


def told(transfer: Transfer, link: str) -> Told:
    """Return the message about a transfer that is done, incomplete or failed. link: where the pages are; empty: nobody knows."""
    name = printable(transfer.name, 80)
    where = f"{transfer.zone_root}/{printable(transfer.folder)}"
    counts = f"{transfer.files} files, {in_words(transfer.bytes)}, are verified in {where}."
    lines = [counts]
    if transfer.state is TransferState.DONE:
        title, level = f"{name} is in zone {transfer.zone}", "info"
        lines.append(f"BLAKE3 of the manifest: {transfer.manifest_digest}")
    elif transfer.state is TransferState.INCOMPLETE:
        title, level = f"{name} is not whole in zone {transfer.zone}", "warning"
        lines.append(f"{transfer.problem_count} files are not there. A retry copies these.")
        lines += [f"{each['path']}: {each['message']} {each['advice']}".rstrip() for each in transfer.problems[:5]]
    else:
        title, level = f"{name} could not be sent to zone {transfer.zone}", "error"
        lines += [f"{transfer.error or ''} {transfer.advice or ''}".strip(), "A retry goes on from there."]
    if link:
        page = f"{link.rstrip('/')}/transfers/{transfer.id}"
        lines.append(f"{page}/certificate" if transfer.state is TransferState.DONE else page)
    return Told(title, "\n\n".join(lines), level, f"transfer:{transfer.id}:{transfer.state}:{transfer.attempts}")
