"""What stands at the top of every page: one line a page, shown to who may open it; and what powers are called there."""

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
    Entry("Send", "/send", Power.SEND),
    Entry("Transfers", "/transfers", Power.LOOK),
    Entry("Zones", "/zones", Power.LOOK),
    Entry("Alerts", "/alerts", Power.LOOK),
)

KEEPING: tuple[Entry, ...] = (
    Entry("Buffer", "/buffer", Power.PURGE),
    Entry("Health", "/health", Power.STEER),
    Entry("People", "/people", Power.KEEP_PEOPLE),
    Entry("Audit log", "/audit", Power.AUDIT),
)


SCOPES: dict[Power, str] = {
    Power.LOOK: "look at sessions, results and zones",
    Power.SEND: "start transfers, put files into zones",
    Power.SHARE: "choose who reads and writes your zones",
    Power.STEER: "verdicts, limits, parameters, alerts",
    Power.KEEP_ZONES: "make and change any zone",
    Power.PURGE: "delete files of the gateway by rule",
    Power.KEEP_SHARES: "apply shares, take rights back",
    Power.KEEP_PEOPLE: "accounts and roles",
    Power.AUDIT: "read the audit log",
}


def allowed(actor: Actor | None, entries: tuple[Entry, ...]) -> list[Entry]:
    """Return the entries that a person may open; none where nobody is known."""
    return [] if actor is None else [entry for entry in entries if entry.power in actor.powers]
