"""What a zone is: a place on central storage, whose it is, who may read and write, and what may lie there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from passerelle.core.states import ZoneState


class ZoneKind(StrEnum):
    """What a zone is for."""

    PERSONAL = "personal"  # one person's
    PLATFORM = "platform"  # shared by the people of a facility or a project
    INSTRUMENT = "instrument"  # where an instrument's PC writes, and from where data are sent home


class Content(StrEnum):
    """What may lie in a zone."""

    ACQUISITION = "acquisition"  # what an instrument is writing
    DATASET = "dataset"  # a folder of files that belong together, copied and verified
    RESULTS = "results"  # what processing made of a dataset
    RECALLED = "recalled"  # what came back from tape


@dataclass(frozen=True, slots=True)
class Features:
    """What a kind of zone can do. Callers ask for a feature, never for the kind.

    contents: what may lie in it. writable: its owner and writers may put files there; else only an instrument's PC, by its share.
    buffer: what lies there goes by rule once verified copies are elsewhere.
    """

    contents: frozenset[Content]
    writable: bool
    buffer: bool


_HOME = frozenset({Content.DATASET, Content.RESULTS, Content.RECALLED})

FEATURES: dict[ZoneKind, Features] = {
    ZoneKind.PERSONAL: Features(contents=_HOME, writable=True, buffer=False),
    ZoneKind.PLATFORM: Features(contents=_HOME, writable=True, buffer=False),
    ZoneKind.INSTRUMENT: Features(contents=frozenset({Content.ACQUISITION}), writable=False, buffer=True),
}


@dataclass(frozen=True, slots=True)
class Who:
    """People and groups by their names."""

    people: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()

    @staticmethod
    def of(people: Iterable[str] = (), groups: Iterable[str] = ()) -> Who:
        """Make one of any collections of names."""
        return Who(frozenset(people), frozenset(groups))

    def __or__(self, other: Who) -> Who:
        return Who(self.people | other.people, self.groups | other.groups)

    def has(self, name: str, groups: frozenset[str]) -> bool:
        """Say whether a person, or one of the person's groups, is among these."""
        return name in self.people or not self.groups.isdisjoint(groups)


@dataclass(frozen=True, slots=True)
class Zone:
    """A place. root: absolute. quota_bytes: None where there is no limit."""

    name: str
    kind: ZoneKind
    root: Path
    owner: str
    readers: Who = field(default_factory=Who)
    writers: Who = field(default_factory=Who)
    quota_bytes: int | None = None
    state: ZoneState = ZoneState.ACTIVE

    @property
    def features(self) -> Features:
        return FEATURES[self.kind]

    def takes(self, content: Content) -> bool:
        """Say whether something of this sort may be put here now."""
        return self.state is ZoneState.ACTIVE and content in self.features.contents
