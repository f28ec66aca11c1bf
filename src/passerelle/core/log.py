"""Structured events instead of prose: `log.info("movie_done", movie=…, seconds=…)`."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from passerelle.core.errors import printable

_LONGEST = 4000

logger: structlog.stdlib.BoundLogger = structlog.get_logger("passerelle")


def configure_log(*, verbose: bool = False, as_json: bool = False) -> None:
    """Send events to standard error: coloured lines for a person, JSON lines for a machine."""
    level = logging.DEBUG if verbose else logging.INFO
    renderer = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _one_line_each,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        # asked for anew at each event: a program that runs several commands may have closed the stream of an earlier one
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )


def _one_line_each(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Show names from outside as text: no line of their own, no colours, no order of writing. A trace keeps its lines."""
    for key, value in event.items():
        if isinstance(value, str):
            lines = value.split("\n") if key == "exception" else [value]
            event[key] = "\n".join(printable(line, _LONGEST) for line in lines)
    return event
