"""The two kinds of answers: pages from templates, and JSON that any text and any number can go into."""

from __future__ import annotations

import json
import math
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from fastapi import Request
from markupsafe import Markup
from pydantic import BaseModel
from starlette.responses import HTMLResponse, Response

from passerelle.processing.metrics import METRICS
from passerelle.web import addresses, navigation, show

_HERE = Path(__file__).parent


class Json(Response):
    """Views and plain values. Lone surrogates of undecodable file names become \\u escapes; NaN and infinities become null."""

    media_type = "application/json"

    def __init__(self, content: Any, *, status: int = 200) -> None:
        super().__init__(content, status_code=status)

    def render(self, content: Any) -> bytes:
        return json.dumps(plain(content), ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode("ascii")


def plain(value: Any) -> Any:
    """Return what JSON can say."""
    if isinstance(value, BaseModel):
        return plain(value.model_dump(mode="python"))
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def page(request: Request, template: str, context: dict[str, Any], *, status: int = 200) -> HTMLResponse:
    """Render a template; path, token, who asks and what that person may open are at hand in each."""
    state = request.scope.get("state", {})
    actor, arrival = state.get("actor"), state.get("arrival")
    shared = {
        "path": request.url.path,
        "token": "" if arrival is None else arrival.token,
        "metrics": METRICS,
        "actor": actor,
        "powers": frozenset() if actor is None else actor.powers,
        "pages": navigation.allowed(actor, navigation.PAGES),
        "keeping": navigation.allowed(actor, navigation.KEEPING),
    }
    return HTMLResponse(_environment().get_template(template).render(**shared, **context), status_code=status)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_speakable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update({**show.FILTERS, **addresses.FILTERS})
    environment.globals["asset"] = _asset
    environment.globals["scope_words"] = navigation.SCOPES
    return environment


def _speakable(value: Any) -> Any:
    """Escape what UTF-8 cannot carry and what could reorder a line of text, in whatever a template shows."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return show.visible(value)
    return value


def _asset(name: str) -> str:
    """Return the address of a static file; it changes with the file, so that browsers may keep it for ever."""
    file = _HERE / "static" / name
    version = f"{file.stat().st_mtime_ns:x}"[-10:] if file.is_file() else "missing"
    return f"/static/{name}?v={version}"
