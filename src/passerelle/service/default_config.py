"""The commented configuration that `passerelle init` writes, made from the settings' own descriptions: the two never differ."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from passerelle.processing import BY_NAME, default_thresholds
from passerelle.service.settings import InstrumentSettings, Settings
from passerelle.service.settings_care import ReceiverSettings
from passerelle.service.settings_zones import PcSettings

_WIDTH = 100
_SECTIONS = (
    "state",
    "web",
    "work",
    "programs",
    "alerts",
    "buffer",
    "notices",
    "people",
    "audit",
    "ldap",
    "zones",
    "transfers",
    "shares",
)
_HEAD = """\
# The configuration of passerelle. Every setting is listed; a line that starts with "# " and holds `key = value` shows a default
# (or an example, where there is none): take away the "# " to change it. Unknown keys are refused.
"""


def default_config_text(*, instrument: str = "krios", folder: str = "gateway/krios") -> str:
    """Return a passerelle.toml that works as it is, with one instrument and every setting explained."""
    lines = [_HEAD]
    lines += _fields(Settings, skip={"instruments", "pcs", "processing", "thresholds", *_SECTIONS})
    lines += ["", "# One section an instrument, [instruments.NAME]."]
    lines += [f"[instruments.{instrument}]", *_fields(InstrumentSettings, given={"folder": folder})]
    for name in _SECTIONS:
        field = Settings.model_fields[name]
        lines += ["", f"# {field.description}", f"[{name}]", *_fields(_model(field), skip={"to"})]
    lines += ["", "# One section a receiver of notices who does not get everything, [notices.to.NAME]."]
    lines += ["#   [notices.to.staff]", *(line.replace("# ", "#   ", 1) for line in _fields(ReceiverSettings))]
    lines += ["", "# One section an instrument PC, [pcs.NAME]; NAME is the name of its share."]
    lines += ["#   [pcs.krios-pc]", *(line.replace("# ", "#   ", 1) for line in _fields(PcSettings))]
    lines += ["", f"# {Settings.model_fields['processing'].description}"]
    for name, field in _model(Settings.model_fields["processing"]).model_fields.items():
        lines += [f"[processing.{name}]", *_fields(_model(field)), ""]
    lines += [f"# {Settings.model_fields['thresholds'].description}"]
    lines += ["# warn_min, warn_max: outside, a micrograph is marked; reject_min, reject_max: outside, it is rejected."]
    lines += ["# A limit that is not set here keeps its default; inf or -inf switches it off."]
    for name, threshold in default_thresholds().items():
        metric = BY_NAME[name]
        unit = f", {metric.unit}" if metric.unit else ""
        lines += [f"# {metric.label}{unit}: {metric.meaning}.", f"[thresholds.{name}]"]
        lines += [f"# {key} = {_toml(value)}" for key, value in threshold.model_dump(exclude_none=True).items()]
        lines += [""]
    return "\n".join(lines).rstrip() + "\n"


def _model(field: FieldInfo) -> type[BaseModel]:
    model = field.annotation
    assert isinstance(model, type) and issubclass(model, BaseModel), model
    return model


def _fields(model: type[BaseModel], *, skip: set[str] | None = None, given: dict[str, str] | None = None) -> Iterator[str]:
    for name, field in model.model_fields.items():
        if name in (skip or set()):
            continue
        yield from (f"# {line}" for line in textwrap.wrap(field.description or "", _WIDTH))
        if given and name in given:
            yield f"{name} = {_toml(given[name])}"
            continue
        default = None if field.is_required() else field.get_default(call_default_factory=True)
        shown = default if default is not None and default != "" else (field.examples or [""])[0]
        yield f"# {name} = {_toml(shown)}"


def _toml(value: Any) -> str:
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, Path):
        value = str(value)
    return json.dumps(value, ensure_ascii=False)
