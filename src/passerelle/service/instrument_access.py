"""Who may see an instrument: its sessions, their results, events and alerts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from passerelle.service.access import POWERS, Actor, Power
from passerelle.zones import Zone, ZoneAct, ZoneKind, may


@dataclass(frozen=True, slots=True)
class Sight:
    """What instruments somebody sees. everything: also those that are configured no more, and what belongs to no instrument."""

    everything: bool
    instruments: frozenset[str] = frozenset()

    def has(self, instrument: str) -> bool:
        """Say whether an instrument is seen."""
        return self.everything or instrument in self.instruments


def sight(actor: Actor, folders: Mapping[str, Path], zones: Iterable[Zone]) -> Sight:
    """Return what instruments a person sees. folders: of the instruments, by name.

    Who may steer sees all, also by a token that only looks. Others see an instrument whose folder is the root of an instrument's
    zone that they may read; an instrument without such a zone is seen by nobody else.
    """
    if Power.LOOK not in actor.powers:
        return Sight(everything=False)
    if Power.STEER in POWERS[actor.role]:
        return Sight(everything=True)
    readable = {
        zone.root for zone in zones if zone.kind is ZoneKind.INSTRUMENT and may(actor.visitor, ZoneAct.READ, zone).allowed
    }
    return Sight(everything=False, instruments=frozenset(name for name, folder in folders.items() if folder in readable))
