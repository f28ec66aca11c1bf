"""Write the reference pages from the code: `python docs/build_reference.py`; a test fails when a page is not what this writes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main
from pydantic import BaseModel

from passerelle.cli.app import app
from passerelle.processing import METRICS
from passerelle.processing.recipe import Threshold
from passerelle.service.settings import Settings
from passerelle.transfer.hand_rules import HandRules

REFERENCE = Path(__file__).parent / "reference"


def metrics_page() -> str:
    """The table of metrics, as pages, the command line and STAR files name them."""
    lines = [
        "# Metrics",
        "",
        "Every number by which a micrograph is judged. The limits are defaults; a session's page changes them by dragging.",
        "",
        "| metric | name | unit | meaning | marked | rejected |",
        "|---|---|---|---|---|---|",
    ]
    for metric in METRICS:
        limits = metric.threshold or Threshold()
        marked = _limits(limits.warn_min, limits.warn_max)
        rejected = _limits(limits.reject_min, limits.reject_max)
        lines.append(f"| {metric.label} | `{metric.name}` | {metric.unit} | {metric.meaning} | {marked} | {rejected} |")
    return "\n".join([*lines, ""])


def _limits(low: float | None, high: float | None) -> str:
    below = "" if low is None else f"below {low:g}"
    above = "" if high is None else f"above {high:g}"
    return ", ".join(part for part in (below, above) if part)


def configuration_page() -> str:
    """Every setting of passerelle.toml."""
    lines = [
        "# Configuration",
        "",
        "`passerelle init FOLDER` writes a commented `passerelle.toml`. Unknown keys are refused by name.",
        "",
    ]
    for title, model in [*_sections(Settings, ""), ("hand.toml", HandRules)]:
        lines += [f"## {title or 'top level'}", "", (model.__doc__ or "").strip().split("\n\n")[0].replace("\n", " "), ""]
        lines += ["| key | default | meaning |", "|---|---|---|"]
        for name, field in model.model_fields.items():
            if _model_of(field.annotation) is None:
                default = "required" if field.is_required() else _shown(field.get_default(call_default_factory=True))
                lines.append(f"| `{name}` | {default} | {field.description or ''} |")
        lines.append("")
    return "\n".join(lines)


def _sections(model: type[BaseModel], title: str) -> Iterator[tuple[str, type[BaseModel]]]:
    yield title, model
    for name, field in model.model_fields.items():
        inner = _model_of(field.annotation)
        if inner is not None:
            key = f"{name}.NAME" if "dict" in str(field.annotation) else name
            yield from _sections(inner, f"{title}.{key}" if title else key)


def _model_of(annotation: Any) -> type[BaseModel] | None:
    candidates = [annotation, *getattr(annotation, "__args__", ())]
    return next((kind for kind in candidates if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def _shown(value: Any) -> str:
    if value is None:
        return "not set"
    return f"`{value!r}`".replace("'", '"').replace("|", "\\|")


def commands_page() -> str:
    """Every command with its options, as `--help` tells them."""
    root = typer.main.get_command(app)
    lines = ["# Commands", "", root.help or "", ""]
    context = root.make_context("passerelle", [], resilient_parsing=True)
    for title, command in _commands(root, context, "passerelle"):
        lines += [f"## {title}", "", (command.help or "").strip(), "", "| argument or option | meaning |", "|---|---|"]
        for parameter in command.params:
            shown = ", ".join(f"`{option}`" for option in parameter.opts) if parameter.param_type_name == "option" else ""
            label = shown or f"`{str(parameter.name).upper()}`"
            lines.append(f"| {label} | {getattr(parameter, 'help', '') or ''} |")
        lines.append("")
    return "\n".join(lines)


def _commands(group: Any, context: Any, title: str) -> Iterator[tuple[str, Any]]:
    """Yield the commands of a group, those of groups within it in their place."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if hasattr(command, "list_commands"):
            yield from _commands(command, context, f"{title} {name}")
        else:
            yield f"{title} {name}", command


PAGES = {"metrics.md": metrics_page, "configuration.md": configuration_page, "commands.md": commands_page}


if __name__ == "__main__":
    for file_name, page in PAGES.items():
        (REFERENCE / file_name).write_text(page(), encoding="utf-8")
