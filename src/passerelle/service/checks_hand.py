"""Looks at root's hand, where the service is not root: is it there, of our version, and does it allow what we need."""

from __future__ import annotations

from collections.abc import Iterator

from passerelle import __version__
from passerelle.core.errors import PasserelleError
from passerelle.service.checks import Check, Level
from passerelle.service.settings import Settings
from passerelle.transfer.handed import ask


def hand(settings: Settings) -> Iterator[Check]:
    """Ask the hand what it is and may; nothing where none is configured."""
    if settings.transfers.hand is None:
        return
    try:
        found = ask(settings.transfers.hand)
    except PasserelleError as problem:
        yield Check("hand", Level.ERROR, f"Nothing is sent to zones of others: {problem.message}", problem.advice, kind="hand")
        return
    if found.version != __version__:
        words = f"The hand is passerelle {found.version}, the service {__version__}: nothing is sent to zones of others."
        yield Check("hand", Level.ERROR, words, "sudo systemctl restart passerelle-hand", kind="hand")
        return
    missing = [f"zones: {each}" for each in (settings.zones.folder, *settings.zones.other_folders) if each not in found.zones]
    folders = sorted({each.folder for each in settings.instruments.values()})
    missing += [f"sources: {each}" for each in folders if not any(each.is_relative_to(known) for known in found.sources)]
    if missing:
        words = f"The hand at {settings.transfers.hand} may not use all that the configuration names: {', '.join(missing)}."
        yield Check("hand", Level.WARNING, words, "Add what is meant to hand.toml, and start the hand again.", kind="hand")
    else:
        words = f"It listens at {settings.transfers.hand}, for zones in {', '.join(map(str, found.zones))}."
        yield Check("hand", Level.WELL, words)
