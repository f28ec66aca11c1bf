"""Who may do what in a zone: one table. POSIX rights, Samba's lists and the verbs all come from it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from passerelle.core.errors import NotAllowed, NotFound
from passerelle.core.states import ZoneState
from passerelle.zones.zone import Who, Zone


class ZoneAct(StrEnum):
    """What somebody may want with a zone."""

    SEE = "see"  # that it is there: its name, usage, history, paths
    READ = "read"  # browse its folders, look at pictures, download files
    WRITE = "write"  # put datasets and files there
    SHARE = "share"  # choose readers and writers, describe it
    GOVERN = "govern"  # choose owner and quota
    ARCHIVE = "archive"  # archive it, make it active again


class Relation(StrEnum):
    """What a person is to a zone."""

    OWNER = "owner"
    WRITER = "writer"
    READER = "reader"
    STEWARD = "steward"  # keeps zones without being let into them
    STRANGER = "stranger"


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who asks. steward: a data manager or an admin."""

    name: str
    groups: frozenset[str] = frozenset()
    steward: bool = False


_R = Relation
_A = ZoneAct

RIGHTS: dict[ZoneState, dict[Relation, frozenset[ZoneAct]]] = {
    ZoneState.ACTIVE: {
        _R.OWNER: frozenset({_A.SEE, _A.READ, _A.WRITE, _A.SHARE}),
        _R.WRITER: frozenset({_A.SEE, _A.READ, _A.WRITE}),
        _R.READER: frozenset({_A.SEE, _A.READ}),
        _R.STEWARD: frozenset({_A.SEE, _A.SHARE, _A.GOVERN, _A.ARCHIVE}),
        _R.STRANGER: frozenset(),
    },
    ZoneState.ARCHIVED: {
        _R.OWNER: frozenset({_A.SEE, _A.READ}),
        _R.WRITER: frozenset({_A.SEE, _A.READ}),
        _R.READER: frozenset({_A.SEE, _A.READ}),
        _R.STEWARD: frozenset({_A.SEE, _A.SHARE, _A.GOVERN, _A.ARCHIVE}),
        _R.STRANGER: frozenset(),
    },
}


@dataclass(frozen=True, slots=True)
class Ruling:
    """The answer to `may`, with its reason in words."""

    allowed: bool
    words: str


def relations(visitor: Visitor, zone: Zone) -> frozenset[Relation]:
    """Return all that a person is to a zone; a stranger is nothing else."""
    found = {
        relation
        for relation, holds in (
            (Relation.OWNER, visitor.name == zone.owner),
            (Relation.WRITER, zone.writers.has(visitor.name, visitor.groups)),
            (Relation.READER, zone.readers.has(visitor.name, visitor.groups)),
            (Relation.STEWARD, visitor.steward),
        )
        if holds
    }
    return frozenset(found or {Relation.STRANGER})


def may(visitor: Visitor, act: ZoneAct, zone: Zone) -> Ruling:
    """Say whether a person may do something in a zone, and why."""
    known = relations(visitor, zone)
    granted = frozenset().union(*(RIGHTS[zone.state][relation] for relation in known))
    who = f"{visitor.name} is {' and '.join(sorted(known))} of zone {zone.name}"
    if act is ZoneAct.WRITE and act in granted and not zone.features.writable:
        return Ruling(False, f"{who}, but only an instrument writes to {zone.kind} zones.")
    if act in granted:
        return Ruling(True, f"{who} and may {act}.")
    if act is ZoneAct.WRITE and zone.state is ZoneState.ARCHIVED and Relation.STRANGER not in known:
        return Ruling(False, f"zone {zone.name} is archived: nobody writes there.")
    words = ", ".join(sorted(granted)) or "nothing"
    return Ruling(False, f"{who} and may {words} there, not {act}.")


def require(visitor: Visitor, act: ZoneAct, zone: Zone) -> None:
    """Pass if a person may do something in a zone.

    Raises:
        NotFound: the person may not even see it, and is not told whether it is there.
        NotAllowed: says what the person is to the zone, and may do.
    """
    ruling = may(visitor, act, zone)
    if ruling.allowed:
        return
    if not may(visitor, ZoneAct.SEE, zone).allowed:
        raise NotFound(f"There is no zone `{zone.name}`.")
    raise NotAllowed(ruling.words, advice="Ask the zone's owner or a data manager.")


@dataclass(frozen=True, slots=True)
class Entitled:
    """Who reads and who writes in a zone, all told; writers are readers, too."""

    readers: Who
    writers: Who


def entitled(zone: Zone) -> Entitled:
    """Return whom files and shares must let in, so that neither lets in more nor fewer than `may` does."""
    insiders = zone.readers | zone.writers | Who.of([zone.owner])
    open_for_writing = zone.state is ZoneState.ACTIVE and zone.features.writable
    writers = zone.writers | Who.of([zone.owner]) if open_for_writing else Who()
    return Entitled(readers=insiders, writers=writers)
