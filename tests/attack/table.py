"""What an application answers to, read from its own table of routes: whatever is added later is attacked without a new line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from fastapi import params as kinds
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel


@dataclass(frozen=True, slots=True)
class Param:
    """A value that a route takes. kind: path, query, header, form or json; annotation: its type, where it has one."""

    name: str
    kind: str
    annotation: Any


@dataclass(frozen=True, slots=True)
class Entry:
    """A method at an address. form: it reads forms by hand, too, whose fields only its page knows."""

    method: str
    path: str
    params: tuple[Param, ...]
    in_schema: bool

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters in the path, as they follow each other."""
        return tuple(name.partition(":")[0] for name in re.findall(r"{([^}]+)}", self.path))

    def of_kind(self, kind: str) -> list[Param]:
        return [param for param in self.params if param.kind == kind]

    @property
    def takes_form(self) -> bool:
        return self.method != "GET" and not self.of_kind("json")

    def address(self, values: dict[str, str]) -> str:
        """Return the path with values, which are not escaped."""
        return re.sub(r"{([^}:]+)(:[^}]+)?}", lambda found: values[found.group(1)], self.path)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def table_of(app: FastAPI) -> list[Entry]:
    """Return every method at every address, in the order of the table. Static files are not among them."""
    found: list[Entry] = []
    for context in iter_route_contexts(app.routes):
        if context.methods is None or context.path is None:
            continue
        dependant = getattr(context, "dependant", None)
        params = tuple(dict.fromkeys(_params(dependant))) if dependant is not None else ()
        found += [
            Entry(method, context.path, params, bool(getattr(context, "include_in_schema", False)))
            for method in sorted(context.methods)
        ]
    return found


def _params(dependant: Any) -> Iterator[Param]:
    for kind in ("path", "query", "header"):
        for field in getattr(dependant, f"{kind}_params"):
            yield from _of_field(field, kind)
    for field in dependant.body_params:
        yield from _of_field(field, "form" if isinstance(field.field_info, kinds.Form) else "json")
    for inner in dependant.dependencies:
        yield from _params(inner)


def _of_field(field: Any, kind: str) -> Iterator[Param]:
    annotation = field.field_info.annotation
    if kind in ("form", "query") and isinstance(annotation, type) and issubclass(annotation, BaseModel):
        for name, info in annotation.model_fields.items():  # a model of a form's fields
            yield Param(info.alias or name, kind, info.annotation)
        return
    yield Param(field.alias, kind, annotation)
