"""Random requests to every route, as people of every kind: each made from its number alone, so that it can be made again."""

from __future__ import annotations

import enum
import json
import types
from collections.abc import Mapping, Sequence
from random import Random
from types import MappingProxyType
from typing import Any, Literal, Union, get_args, get_origin
from urllib.parse import quote, quote_plus

from pydantic import BaseModel

from tests.attack import nasty
from tests.attack.crawl import Form
from tests.attack.drive import Headers, Request, without
from tests.attack.table import Entry, Param

WHO = ("nobody", "carl", "oona", "rita", "olga", "dora", "ann", "small token", "wide token", "nina", "daemon")
_WEIGHTS = (20, 18, 10, 6, 10, 6, 20, 4, 6, 4, 10)
_PATH_SAFE = "!$&'()*+,;=:@-._~"


class Attacker:
    """Makes requests. good: what there really is, by the name of the parameter; forms: as they stand on the pages."""

    def __init__(self, table: Sequence[Entry], good: Mapping[str, Sequence[str]], forms: Sequence[Form], *, seed: int) -> None:
        self.table, self.good, self.forms, self.seed = list(table), good, sorted(forms, key=repr), seed

    def who(self, number: int) -> str:
        """Return who sends a request."""
        return Random(f"{self.seed}:{number}:who").choices(WHO, _WEIGHTS)[0]

    def request(self, number: int, credentials: Headers) -> Request:
        """Return request `number`, as sent by who has these credentials."""
        random = Random(f"{self.seed}:{number}")
        if random.random() < 0.08:
            method, target, headers, body = "GET", self._raw(random), (), ()
        elif self.forms and random.random() < 0.25:
            method, target, headers, body = self._from_page(random)
        else:
            method, target, headers, body = self._from_table(random)
        if random.random() < 0.06:
            method = random.choice(nasty.METHODS)
        headers = self._headers(random, (*credentials, *headers))
        return Request(method, target[:70_000], headers, body, self.who(number))

    def _raw(self, random: Random) -> bytes:
        path = random.choice(nasty.RAW_PATHS)
        if random.random() < 0.3:
            path = random.choice(self.table).path.replace("{", "").replace("}", "") + path
        return (path + random.choice(("", "?", "?" + "a=1&" * 500, "?%00=%ff", "?zq7=%3Czq7%3E"))).encode("ascii")

    def _from_table(self, random: Random) -> tuple[str, bytes, Headers, tuple[bytes, ...]]:
        entry = random.choice(self.table)
        harmless = random.random() < 0.45  # so that what lies behind the first check is reached, too
        subject = next((part for part in entry.path.split("/") if part not in ("", "api", "parts")), "")
        values = {name: self._in_path(random, name, entry, harmless, subject) for name in entry.names}
        query = [(param.name, self._value(random, param, harmless)) for param in entry.of_kind("query") if random.random() < 0.7]
        if random.random() < 0.15:
            query.append((nasty.text(random), nasty.text(random)))
        headers = tuple(
            (param.name.encode(), self._value(random, param, False).encode("latin-1", "replace"))
            for param in entry.of_kind("header")
            if random.random() < 0.3
        )
        target = _target(entry.address(values), query)
        if entry.method == "GET" and random.random() < 0.97:
            return "GET", target, headers, ()
        kind, body = self._body(random, entry, harmless)
        return entry.method, target, (*headers, (b"content-type", kind)), _pieces(random, body)

    def _from_page(self, random: Random) -> tuple[str, bytes, Headers, tuple[bytes, ...]]:
        form = random.choice(self.forms)
        fields = [
            (name, nasty.text(random) if random.random() < 0.15 else value)
            for name, value in form.fields
            if random.random() < 0.97
        ]
        path, _, query = form.target.partition("?")
        target = path.encode("ascii", "replace") + (b"?" + query.encode("ascii", "replace") if query else b"")
        if form.method == "GET":
            return "GET", target + (b"?" + _encoded(fields) if fields else b""), (), ()
        kind = (b"content-type", b"application/x-www-form-urlencoded")
        return form.method, target, (kind, (b"hx-request", b"true")), _pieces(random, _encoded(fields))

    def _in_path(self, random: Random, name: str, entry: Entry, harmless: bool, subject: str) -> str:
        param = next((each for each in entry.of_kind("path") if each.name == name), Param(name, "path", str))
        if not harmless and random.random() < 0.1:
            return random.choice(nasty.RAW_PATHS).strip("/") or "x"
        if harmless and (known := self.good.get(f"{subject}.{name}")):
            return quote(random.choice(known), safe="/")
        return quote(self._value(random, param, harmless), safe="/" if harmless or random.random() < 0.3 else _PATH_SAFE) or "x"

    def _value(self, random: Random, param: Param, harmless: bool) -> str:
        if not harmless and random.random() < 0.6:
            return nasty.text(random)
        known = self.good.get(param.name)
        if known and random.random() < 0.8:
            return random.choice(known)
        made = example(random, param.annotation, good=self.good)
        return str(made[0] if isinstance(made, list) and made else made or "")

    def _body(self, random: Random, entry: Entry, harmless: bool) -> tuple[bytes, bytes]:
        roll = random.random()
        models = entry.of_kind("json")
        if models and (harmless or roll < 0.5):
            made = example(random, models[0].annotation, good=self.good)
            if not harmless:
                made = _spoilt(random, made)
            return b"application/json", json.dumps(made).encode()
        if not models and (harmless or roll < 0.6):
            fields = [
                (param.name, self._value(random, param, harmless)) for param in entry.of_kind("form") if random.random() < 0.9
            ]
            fields += [(nasty.text(random), nasty.text(random)) for _ in range(random.choice((0, 0, 0, 1, 3)))]
            return b"application/x-www-form-urlencoded", _encoded(fields)
        if roll < 0.8:
            return b"application/json", nasty.json_body(random)
        return nasty.form_bomb(random)

    def _headers(self, random: Random, headers: Headers) -> Headers:
        accept = random.choice((b"text/html", b"text/html", b"*/*", b"application/json"))
        made = [*headers, (b"accept", accept)]
        for _ in range(random.choice((0, 0, 0, 1, 1, 2, 4))):
            name, values = random.choice(nasty.HEADERS)
            if name in (b"cookie", b"x-passerelle-token", b"host", b"authorization") and random.random() < 0.7:
                continue  # most attackers know where the door is
            kept = list(without(made, name)) if random.random() < 0.8 else made
            made = [*kept, (name, random.choice(values))]
        return tuple(made)


def example(random: Random, annotation: Any, depth: int = 0, good: Mapping[str, Sequence[str]] = MappingProxyType({})) -> Any:
    """Return a value that JSON can say and that a type would take. good: what there is, by the names of a model's fields."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return example(random, random.choice(inner), depth, good)
    if origin is Literal:
        return random.choice(inner)
    if hasattr(annotation, "__metadata__"):
        return example(random, annotation.__origin__, depth, good)
    if origin in (list, tuple, set, frozenset, Sequence):
        return [] if depth > 3 else [example(random, inner[0], depth + 1, good) for _ in range(random.randrange(3))]
    if origin in (dict, Mapping):
        keys = ("motion", "ctf", "gain", "patches_x", "voltage_kv", "ctf_resolution_angstrom", "motion_total_angstrom")
        count = 0 if depth > 3 else random.randrange(3)
        return {random.choice(keys): example(random, inner[1], depth + 1, good) for _ in range(count)}
    if not isinstance(annotation, type):
        return None
    if issubclass(annotation, enum.Enum):
        return random.choice([each.value for each in annotation])
    if issubclass(annotation, BaseModel):
        return {
            info.alias or name: random.choice(good[name])
            if name in good and random.random() < 0.8
            else example(random, info.annotation, depth + 1, good)
            for name, info in annotation.model_fields.items()
        }
    if issubclass(annotation, bool):
        return random.choice((True, False))
    if issubclass(annotation, int):
        return random.choice((0, 1, 1, 1, 2, 3, 10))
    if issubclass(annotation, float):
        return random.choice((0.0, 0.5, 1.0, 4.0, 300.0))
    return None if annotation is type(None) else random.choice(("1", "krios", "oona-data", "carl", "words of somebody", ""))


def _spoilt(random: Random, made: Any) -> Any:
    """Put something else in the place of a part."""
    if isinstance(made, dict) and made and random.random() < 0.8:
        key = random.choice(list(made))
        return made | {key: _spoilt(random, made[key])}
    return nasty.json_value(random)


def _target(path: str, query: Sequence[tuple[str, str]]) -> bytes:
    encoded = _encoded(query)
    return path.encode("ascii", "replace") + (b"?" + encoded if encoded else b"")


def _encoded(fields: Sequence[tuple[str, str]]) -> bytes:
    return "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in fields).encode("ascii")


def _quoted(text: str) -> str:
    return quote_plus(text, errors="surrogatepass")


def _pieces(random: Random, body: bytes) -> tuple[bytes, ...]:
    """Let a body arrive whole or in parts."""
    if len(body) < 2 or random.random() < 0.8:
        return (body,)
    at = sorted(random.sample(range(1, len(body)), min(3, len(body) - 1)))
    return tuple(body[a:b] for a, b in zip([0, *at], [*at, len(body)], strict=True))
