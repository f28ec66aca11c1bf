"""Parameters and thresholds as the database keeps them: written by an older or newer version, they may not be readable now."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from passerelle.core.config import Section, parse_config
from passerelle.core.errors import BadConfiguration, printable
from passerelle.processing import Recipe, Threshold
from passerelle.store import Movie, Session

_Model = TypeVar("_Model", bound=BaseModel)
_Group = TypeVar("_Group", bound=Section)
_ADVICE = "Process the session again: the parameters that the page shows then take its place."


def recipe_in_force(session: Session, movie: Movie) -> Recipe:
    """Return the parameters in force for a movie: its own, else the session's.

    Raises:
        BadConfiguration: one of them cannot be read; session and parameter are named.
    """
    plain = movie.recipe if movie.recipe is not None else session.recipe
    return _strictly(plain, Recipe, f"the stored parameters of session {printable(session.name)}")


def thresholds_in_force(session: Session) -> dict[str, Threshold]:
    """Return the thresholds of a session.

    Raises:
        BadConfiguration: one of them cannot be read; session and threshold are named.
    """
    words = f"the stored thresholds of session {printable(session.name)}"
    return {name: _strictly(plain, Threshold, f"{words}: {name}") for name, plain in session.thresholds.items()}


def readable_thresholds(session: Session) -> dict[str, Threshold]:
    """Return the thresholds of a session, so far as they can be read."""
    return {name: readable(Threshold, plain) for name, plain in session.thresholds.items()}


def readable(model: type[_Model], plain: Mapping[str, Any]) -> _Model:
    """Return what of a stored group of settings can be read, and the default in place of the rest. Nothing in it is required."""
    remaining: dict[str, Any] = copy.deepcopy(dict(plain))
    while True:
        try:
            return model.model_validate(remaining)
        except ValidationError as error:
            for detail in error.errors():
                _without(remaining, detail["loc"])


def _without(table: dict[str, Any], place: tuple[int | str, ...]) -> None:
    """Take out what stands at `place`, or as deep on the way to it as there is anything."""
    first, *rest = [str(each) for each in place] or [""]
    if rest and isinstance(inner := table.get(first), dict) and rest[0] in inner:
        _without(inner, tuple(rest))
    else:
        table.pop(first, None)


def _strictly(plain: Mapping[str, Any], model: type[_Group], words: str) -> _Group:
    try:
        return parse_config(dict(plain), model, source=words)
    except BadConfiguration as error:
        told = words[0].upper() + words[1:]
        raise BadConfiguration(f"{told} cannot be read by this version: {error.message}", advice=_ADVICE) from error
