"""The form "do again with…": fields from the recipe's own table of settings, and back to the changes that were made in it."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from fastapi import Depends, Request
from pydantic.fields import FieldInfo

from passerelle.core.errors import BadInput
from passerelle.processing.recipe import Recipe
from passerelle.web import show

_TITLES = {"gain": "Gain", "motion": "Motion", "dose": "Dose weighting", "ctf": "CTF", "pictures": "Pictures"}
_ORIENTATIONS = ("as_written", "rotate_90", "rotate_180", "rotate_270", "flip_x", "flip_y", "transpose", "antitranspose")
_MOST_FIELDS = 200


@dataclass(frozen=True, slots=True)
class Field:
    """One input. kind: choice, truth, whole, real or text."""

    name: str
    label: str
    unit: str
    kind: str
    value: Any
    choices: tuple[str, ...]
    help: str


@dataclass(frozen=True, slots=True)
class Group:
    title: str
    fields: tuple[Field, ...]


def recipe_groups(recipe: Recipe | Mapping[str, Any]) -> list[Group]:
    """Return the inputs of a form that starts from `recipe`."""
    values = recipe.model_dump(mode="json") if isinstance(recipe, Recipe) else recipe
    groups: list[Group] = []
    for group, info in Recipe.model_fields.items():
        model: Any = info.annotation
        given = values.get(group, {})
        fields = [_field(group, name, field, given.get(name, field.default)) for name, field in model.model_fields.items()]
        groups.append(Group(_TITLES.get(group, show.label(group)), tuple(fields)))
    return groups


def _field(group: str, name: str, info: FieldInfo, value: Any) -> Field:
    kind, choices = _kind(info.annotation)
    if (group, name) == ("gain", "orientation"):
        kind, choices = "choice", _ORIENTATIONS
    shown = "" if value is None else f"{value:.10g}" if kind == "real" else str(value)
    return Field(f"{group}.{name}", show.label(name), show.unit(name), kind, shown, choices, info.description or "")


def _kind(annotation: Any) -> tuple[str, tuple[str, ...]]:
    if get_origin(annotation) in (Union, types.UnionType):
        annotation = next(part for part in get_args(annotation) if part is not type(None))
    if get_origin(annotation) is Literal:
        return "choice", tuple(str(choice) for choice in get_args(annotation))
    return {bool: "truth", int: "whole", float: "real"}.get(annotation, "text"), ()


async def _changes(request: Request) -> dict[str, dict[str, Any]]:
    async with request.form(max_files=0, max_fields=_MOST_FIELDS) as form:
        sent = {key: value for key, value in form.multi_items() if isinstance(value, str)}
    return changes_from(sent)


RecipeChanges = Annotated[dict[str, dict[str, Any]], Depends(_changes)]


def changes_from(sent: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return {group: {field: value}} of what differs; "was:NAME" holds what the form started from.

    Raises:
        BadInput: a name that is no setting, or a text where a number belongs.
    """
    changes: dict[str, dict[str, Any]] = {}
    for key, text in sent.items():
        if key.startswith("was:") or sent.get(f"was:{key}") == text:
            continue
        group, _, name = key.partition(".")
        section = Recipe.model_fields.get(group)
        info = None if section is None else getattr(section.annotation, "model_fields", {}).get(name)
        if info is None:
            raise BadInput(f"`{key}` is not a parameter of the processing.")
        changes.setdefault(group, {})[name] = _value(key, text.strip(), info)
    return changes


def _value(key: str, text: str, info: FieldInfo) -> Any:
    kind, choices = _kind(info.annotation)
    if text == "":
        return None
    if kind == "truth":
        return text == "True"
    whole = kind == "whole" or (choices and all(choice.isdecimal() for choice in choices))
    try:
        if whole:
            return int(text)
        return float(text) if kind == "real" else text
    except ValueError as error:
        raise BadInput(f"{show.label(key.partition('.')[2])} takes a number, not {text!r}.") from error
