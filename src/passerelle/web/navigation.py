"""What stands at the top of every page: one line a page, shown to who may open it."""

from __future__ import annotations

from dataclasses import dataclass

from passerelle.service.access import Actor, Power


@dataclass(frozen=True, slots=True)
class Entry:
    """A way to a page. power: without it the page would answer that it is not allowed."""

    label: str
    path: str
    power: Power

    def current(self, path: str) -> bool:
        """Say whether `path` is this page, or lies beneath it."""
        return path == self.path or (self.path != "/" and path.startswith(self.path + "/"))


PAGES: tuple[Entry, ...] = (
    Entry("Sessions", "/", Power.LOOK),
    Entry("Alerts", "/alerts", Power.LOOK),
    Entry("Send", "/send", Power.SEND),
    Entry("Transfers", "/transfers", Power.LOOK),
)

KEEPING: tuple[Entry, ...] = ()


def allowed(actor: Actor | None, entries: tuple[Entry, ...]) -> list[Entry]:
    """Return the entries that a person may open; none where nobody is known."""
    return [] if actor is None else [entry for entry in entries if entry.power in actor.powers]
