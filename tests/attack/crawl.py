"""What a browser finds: the pages that links lead to, and the forms and buttons on them, with the fields that they would send."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin, urlsplit

from tests.attack.drive import Headers, Request, ask

_ASKS = {f"hx-{verb}": verb.upper() for verb in ("get", "post", "put", "patch", "delete")}
_MOST_PAGES = 60


@dataclass(frozen=True, slots=True)
class Form:
    """Something that a page can send. fields: as the page fills them in."""

    method: str
    target: str
    fields: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class Found:
    """What lies behind the links that start from the first page."""

    pages: dict[str, int] = field(default_factory=dict)
    forms: set[Form] = field(default_factory=set)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.forms: list[tuple[str, str, list[tuple[str, str]]]] = []
        self.loose: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {name: value or "" for name, value in attrs}
        if tag == "a" and "href" in said:
            self.links.append(said["href"])
        asked = next(((verb, said[name]) for name, verb in _ASKS.items() if name in said), None)
        if tag == "form":
            method, target = asked or (said.get("method", "get").upper(), said.get("action", ""))
            self.forms.append((method, target, []))
        elif asked is not None:
            self.loose.append(asked)
        if tag in ("input", "select", "textarea", "button") and said.get("name") and self.forms:
            self.forms[-1][2].append((said["name"], said.get("value", "")))
        if tag == "option" and self.forms and self.forms[-1][2] and said.get("value"):
            self.forms[-1][2].append((self.forms[-1][2][-1][0], said["value"]))


async def crawl(app: Any, headers: Headers, start: Sequence[str] = ("/", "/log-in")) -> Found:
    """Follow every link of this service that somebody finds from the first pages on."""
    found = Found()
    waiting = list(start)
    kinds: dict[str, int] = {}
    while waiting and len(found.pages) < _MOST_PAGES:
        address = waiting.pop(0)
        kind = re.sub(r"\d+", "1", address.partition("?")[0])
        if address in found.pages or kinds.get(kind, 0) >= 3:
            continue
        kinds[kind] = kinds.get(kind, 0) + 1
        answer = await ask(app, Request("GET", address.encode("ascii", "replace"), headers))
        found.pages[address] = answer.status
        if answer.status == 303:
            waiting.append(answer.header("location"))
        if not answer.is_page:
            continue
        reader = _Reader()
        reader.feed(answer.body.decode())
        for method, target, fields in reader.forms:
            found.forms.add(Form(method, _local(address, target), tuple(fields)))
        for method, target in reader.loose:
            found.forms.add(Form(method, _local(address, target)))
            if method == "GET":
                waiting.append(_local(address, target))
        waiting += [_local(address, link) for link in reader.links if not urlsplit(link).netloc and not link.startswith("#")]
    return found


def _local(base: str, link: str) -> str:
    return urljoin(base, link).partition("#")[0]
