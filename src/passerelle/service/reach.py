"""Which instruments' folders cannot be reached now, as the watch says: their movies wait instead of failing one by one."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from passerelle.gateway import FolderChange, FolderState

_REACHED = frozenset({FolderState.WATCHING, FolderState.POLLING})


class Reach:
    """Told by the watch, asked by whoever starts work. Only in memory: the watch looks anew at each start."""

    def __init__(self) -> None:
        self._away: Mapping[str, str] = MappingProxyType({})

    @property
    def away(self) -> Mapping[str, str]:
        """Instrument -> why its folder cannot be reached. Never changes: a later call returns another one."""
        return self._away

    def tell(self, change: FolderChange) -> bool:
        """Take in what the watch says of a folder; return whether it is back."""
        known = dict(self._away)
        back = change.state in _REACHED and known.pop(change.instrument, None) is not None
        if change.state not in _REACHED:
            known[change.instrument] = change.reason
        self._away = MappingProxyType(known)
        return back
