"""`passerelle sessions`, `movies` and `export`: what is known, for a person or a machine."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from passerelle.cli import show
from passerelle.core.atomic import write_bytes
from passerelle.core.errors import NotFound, printable
from passerelle.service.access import this_account
from passerelle.service.live import Live
from passerelle.service.settings import Settings, StateSettings, read_settings
from passerelle.service.wiring import assemble

Config = Annotated[Path | None, typer.Option(help="The facility's passerelle.toml; default: the one in this folder.")]
State = Annotated[Path | None, typer.Option(help="Results of `passerelle process`, in place of --config.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
SessionName = Annotated[
    str | None, typer.Argument(help="Number or name of the session; may be left out where there is only one.")
]


def sessions(config: Config = None, state: State = None, json: Json = False) -> None:
    """List the sessions: how many movies are where."""
    with _live(config, state) as live:
        views = live.sessions()
    show.as_json(views) if json else show.out.print(show.sessions_table(views))


def movies(session: SessionName = None, config: Config = None, state: State = None, json: Json = False) -> None:
    """List the movies of a session with their verdicts and numbers."""
    with _live(config, state) as live:
        rows = live.movies(_chosen(live, session))
    if json:
        show.as_json(rows)
        return
    show.out.print(show.movies_table(rows))
    show.reasons(rows)
    show.errors(rows)


def export(
    session: SessionName = None,
    star: Annotated[Path, typer.Option(help="Write the STAR file here.")] = Path("micrographs_accepted.star"),
    config: Config = None,
    state: State = None,
    json: Json = False,
) -> None:
    """Write the accepted micrographs of a session as a STAR file that RELION 3.1 and later read."""
    with _live(config, state) as live:
        content = live.export_star(_chosen(live, session))
    write_bytes(star, content)
    show.as_json({"star": str(star)}) if json else show.out.print(f"Wrote {star}.", soft_wrap=True)


def _chosen(live: Live, word: str | None) -> int:
    """Return the session that a person means by its number or name, or by saying nothing where there is only one."""
    known = live.sessions()
    chosen = [view for view in known if word is None or word in (str(view.id), view.name)]
    if len(chosen) == 1:
        return chosen[0].id
    listed = ", ".join(f"{view.id} ({printable(view.name)})" for view in known) or "none yet"
    problem = f"There is no session `{printable(word)}`." if word and not chosen else "It is not clear which session is meant."
    raise NotFound(problem, advice=f"Sessions: {listed}.")


@contextmanager
def _live(config: Path | None, state: Path | None) -> Generator[Live]:
    if state is not None:
        if not (state / "passerelle.sqlite").is_file():
            raise NotFound("holds no state of passerelle.", advice="Give the --output of `passerelle process`.", path=state)
        settings = Settings(state=StateSettings(folder=state.resolve()))
    else:
        settings = read_settings(config or Path("passerelle.toml"))
    parts = assemble(settings)
    try:
        yield Live(parts, this_account())
    finally:
        parts.close()


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(sessions)
    app.command()(movies)
    app.command()(export)
