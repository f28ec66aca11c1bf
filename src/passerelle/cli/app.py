"""The tree of commands. A command parses, calls one verb, shows; errors end with their own exit code."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from passerelle import __version__
from passerelle.cli import (
    buffer,
    care,
    demo,
    hand,
    people,
    process,
    recompress,
    send,
    serve,
    sessions,
    shares,
    show,
    simulate,
    transfer,
    zones,
)
from passerelle.core.errors import PasserelleError
from passerelle.core.log import configure_log

app = typer.Typer(
    name="passerelle",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="From the microscope to a corrected micrograph on a live page.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        show.out.print(f"passerelle {__version__}", highlight=False)
        raise typer.Exit


@app.callback()
def _options(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log every event, not only the important ones.")] = False,
    log_json: Annotated[bool, typer.Option("--log-json", help="Log as JSON lines, for a machine.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    configure_log(verbose=verbose, as_json=log_json)


for module in (serve, hand, process, sessions, send, transfer, recompress, zones, shares, people, buffer, care, simulate, demo):
    module.register(app)


def main() -> None:
    """Run the command line; the program's exit code is the error's own."""
    try:
        app()
    except PasserelleError as problem:
        show.error(problem)
        sys.exit(problem.exit_code)
    except BrokenPipeError:  # the reader of a pipe has enough
        sys.exit(0)
