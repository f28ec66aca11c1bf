"""Structured events instead of prose: `log.info("movie_done", movie=…, seconds=…)`."""

from __future__ import annotations

import logging
import sys

import structlog

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
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        # asked for anew at each event: a program that runs several commands may have closed the stream of an earlier one
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )
