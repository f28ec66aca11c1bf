"""Who gets notices: names and addresses from a file of their own, since the addresses hold secrets; who wants which; sending.

No address, and no part of one, is ever shown or logged: what apprise says of a failure is cleaned of all that stands in it.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from io import StringIO
from pathlib import Path
from typing import cast
from urllib.parse import quote, unquote, urlsplit

from passerelle.core.errors import BadConfiguration, NotFound, ProgramFailed, printable, storage_errors
from passerelle.service.settings_care import ReceiverSettings

LEVELS = ("info", "warning", "error")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}")
_MAIL = "{mail}"
_ADVICE = "One receiver a line: a name, a blank, and its URL as apprise knows them."
_SENDING = threading.Lock()  # what apprise says is caught from its one log
_SHORTEST_SECRET = 4


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where notices go. The address is not in its `repr`."""

    name: str
    url: str

    def __repr__(self) -> str:
        return f"Receiver({self.name!r})"

    @property
    def personal(self) -> bool:
        """Whether it writes to people, each at the own address."""
        return _MAIL in self.url


def read_receivers(path: Path | None) -> dict[str, Receiver]:
    """Read the file of receivers; none where no file is configured.

    Raises:
        NotFound, NotAllowed, StorageError: it cannot be read.
        BadConfiguration: a line is none; its number is said, not what stands there.
    """
    if path is None:
        return {}
    with storage_errors(path):
        text = path.read_text(encoding="utf-8", errors="replace")
    found: dict[str, Receiver] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split(maxsplit=1)
        if not words or words[0].startswith("#"):
            continue
        if len(words) != 2 or not _NAME.fullmatch(words[0]) or "://" not in words[1]:
            raise BadConfiguration(f"line {number} names no receiver.", advice=_ADVICE, path=path)
        if words[0] in found:
            raise BadConfiguration(f"line {number} names `{words[0]}` once more.", advice="Give each its own name.", path=path)
        found[words[0]] = Receiver(words[0], words[1].strip())
    return found


def wants(settings: ReceiverSettings, kind: str, level: str) -> bool:
    """Say whether a receiver is to be told of something of this kind and level."""
    if LEVELS.index(level) < LEVELS.index(settings.least_level):
        return False
    return _of(settings.kinds, kind) and not _of(settings.not_kinds, kind)


def chosen(
    receivers: Mapping[str, Receiver], rules: Mapping[str, ReceiverSettings], *, kind: str, level: str, personal: bool
) -> list[str]:
    """Return the names of those who are told. personal: to a person, by receivers that write to people, whatever the level."""
    found: list[str] = []
    for name, receiver in receivers.items():
        rule = rules.get(name, ReceiverSettings())
        if receiver.personal != personal:
            continue
        if wants(rule, kind, "error" if personal else level):
            found.append(name)
    return found


def deliver(receiver: Receiver, *, title: str, body: str, level: str, mail: str = "") -> None:
    """Send a notice now; takes seconds.

    Raises:
        BadConfiguration: apprise does not know such a URL. NotFound: the person has no address.
        ProgramFailed: it was not taken; says why, without the address.
    """
    import apprise  # here: it loads a hundred services, and only who sends needs it

    if receiver.personal and not mail:
        raise NotFound("The person has no mail address.", advice="Give the account one.")
    url = receiver.url.replace(_MAIL, quote(mail, safe=""))
    sender = apprise.Apprise()
    log = logging.getLogger("apprise")
    with _SENDING:
        log.propagate = False  # it says more of addresses than anybody but the receiver should know
        with apprise.LogCapture(level=logging.WARNING, fmt="%(message)s") as said:
            if not sender.add(url):
                raise BadConfiguration(f"The URL of receiver `{receiver.name}` is none that apprise knows.", advice=_ADVICE)
            kind = {"info": apprise.NotifyType.INFO, "warning": apprise.NotifyType.WARNING}.get(level, apprise.NotifyType.FAILURE)
            sent = sender.notify(title=title, body=body, notify_type=kind, body_format=apprise.NotifyFormat.TEXT)
            words = str(cast("StringIO", said).getvalue()).strip().splitlines()
    if not sent:
        why = cleaned(words[-1] if words else "no reason was given", url)
        raise ProgramFailed(f"`{receiver.name}` did not take it: {why}", advice="Does its server run, and is its URL right?")


def cleaned(words: str, url: str) -> str:
    """Return words without anything that stands in a URL, but its host."""
    parts = urlsplit(url)
    pieces = {piece for text in (url, unquote(url)) for piece in re.split(r"[:/@?&=#,;+ ]+", text)} | {url}
    known = {parts.hostname or "", parts.scheme}
    for piece in sorted(pieces - known, key=len, reverse=True):
        if len(piece) >= _SHORTEST_SECRET and piece.lower() not in known:
            words = words.replace(piece, "…")
    return printable(words)


def _of(patterns: tuple[str, ...], kind: str) -> bool:
    return any(fnmatchcase(kind, pattern) for pattern in patterns)
