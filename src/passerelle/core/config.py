"""Read configuration: TOML into frozen models; unknown keys are refused, and the nearest known one is named."""

from __future__ import annotations

import difflib
import reprlib
import tomllib
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from passerelle.core.errors import BadConfiguration, storage_errors


class Section(BaseModel):
    """A frozen group of settings. Every field has a default or is required; every field has a description."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


_MOST_TOLD = 20
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 200

_Model = TypeVar("_Model", bound=Section)


def read_config(path: Path, model: type[_Model]) -> _Model:
    """Read a TOML file into `model`.

    Raises:
        NotFound: there is no such file.
        BadConfiguration: not TOML, an unknown key (the nearest known one is named), or a value of the wrong kind.
    """
    with storage_errors(path):
        content = path.read_bytes()
    try:
        table = tomllib.loads(content.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadConfiguration(f"is not valid TOML: {error}.", path=path) from error
    return parse_config(table, model, source=path)


def parse_config(table: dict[str, Any], model: type[_Model], *, source: Path | str) -> _Model:
    """Validate a table of settings as `read_config` does; `source` is named in errors."""
    try:
        return model.model_validate(table)
    except ValidationError as error:
        sentences = [_sentence(detail, table, model) for detail in error.errors()[:_MOST_TOLD]]
        if (more := error.error_count() - _MOST_TOLD) > 0:
            sentences.append(f"And {more} more.")
        raise BadConfiguration(" ".join(sentences), path=str(source)) from error


def _sentence(detail: ErrorDetails, table: dict[str, Any], model: type[BaseModel]) -> str:
    place = ".".join(str(part) for part in detail["loc"]) or "the file"
    if detail["type"] in {"extra_forbidden", "unexpected_keyword_argument"}:
        key = str(detail["loc"][-1])
        near = difflib.get_close_matches(key, _known_keys(model), n=1, cutoff=0.5)
        hint = f" Did you mean `{near[0]}`?" if near else ""
        return f"`{place}` is not a setting of passerelle.{hint}"
    return f"`{place}`: {detail['msg']}, found {_SHORT.repr(detail.get('input'))}."


def _known_keys(model: type[BaseModel]) -> list[str]:
    """All keys at any depth: a key put into the wrong section is a common slip, too."""
    names: set[str] = set()
    pending: list[type[BaseModel]] = [model]
    while pending:
        fields = pending.pop().model_fields
        names.update(fields)
        for field in fields.values():
            inner = (field.annotation, *get_args(field.annotation))
            pending.extend(kind for kind in inner if isinstance(kind, type) and issubclass(kind, BaseModel))
    return sorted(names)
