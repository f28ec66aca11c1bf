"""`passerelle hand`: root's small process, by which a service that is not root writes as the owners of zones."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from passerelle.transfer.hand_rules import DEFAULT_RULES


def hand(
    config: Annotated[Path, typer.Option(help="The hand's rules, which only root may change.")] = DEFAULT_RULES,
) -> None:
    """Run root's hand for a service that is not root: transfers write as the owners of zones. Ends by Ctrl-C or SIGTERM."""
    program = "from passerelle.transfer.hand import run; run()"
    # a program of its own: what all other commands need is not loaded into a process of root's
    os.execv(sys.executable, [sys.executable, "-P", "-s", "-c", program, str(config.absolute())])


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(hand)
