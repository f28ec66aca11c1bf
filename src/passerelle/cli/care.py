"""`passerelle doctor`, and `passerelle notices …`: is all well, and who is told when it is not."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from passerelle.cli import show
from passerelle.cli.sessions import Config, Json
from passerelle.core.errors import PasserelleError, printable
from passerelle.service.access import this_account
from passerelle.service.checks import Check, Level, worst
from passerelle.service.health import doctor as look_at_everything
from passerelle.service.housekeeping import buffer_of
from passerelle.service.mutes import Mutes
from passerelle.service.notices import Notices
from passerelle.service.settings import read_settings
from passerelle.service.wiring import assemble
from passerelle.service.wiring_people import opened

notices = typer.Typer(no_args_is_help=True, help="Notices: alerts and ends of transfers by mail and chat.")

_MARK = {Level.WELL: "[green]✓[/]", Level.WARNING: "[yellow]![/]", Level.ERROR: "[red]✗[/]"}
_CODES = {Level.WELL: 0, Level.WARNING: 1, Level.ERROR: 2}  # as monitoring systems read them


def doctor(config: Config = None, json: Json = False) -> None:
    """Look at everything, whether a service runs or not, and say what to do. Ends with 0, with 1 for warnings, 2 for errors."""
    checks = _checks(config or Path("passerelle.toml"))
    found = worst(checks)
    if json:
        fields = ("name", "level", "words", "advice", "instrument")
        show.as_json({"worst": found.value, "checks": [{name: getattr(each, name) for name in fields} for each in checks]})
    else:
        width = max(len(check.name) for check in checks)
        for check in checks:
            words = f"{_MARK[check.level]} {escape(printable(check.name)):<{width}}  {escape(printable(check.words, 600))}"
            show.out.print(words, soft_wrap=True, highlight=False)
            if check.advice and not check.well:
                show.out.print(
                    f"  {'':<{width}}  [dim]→ {escape(printable(check.advice, 600))}[/]", soft_wrap=True, highlight=False
                )
        bad = [check for check in checks if not check.well]
        show.out.print(f"{len(checks)} looked at: {'all well' if not bad else f'{len(bad)} need a look'}.")
    raise typer.Exit(_CODES[found])


def _checks(path: Path) -> list[Check]:
    """Look at everything, as far as one comes: what cannot be opened is an error like the others."""
    try:
        settings = read_settings(path)
    except PasserelleError as problem:
        return [Check("configuration", Level.ERROR, str(problem), "passerelle init writes one with every setting explained.")]
    first = Check("configuration", Level.WELL, f"{path}: read and understood.")
    try:
        parts = assemble(settings)
    except PasserelleError as problem:
        return [first, Check("state", Level.ERROR, str(problem), problem.advice)]
    try:
        return [first, *look_at_everything(parts, buffer_of(parts))]
    finally:
        parts.close()


@notices.command("test")
def try_way(
    receiver: Annotated[str | None, typer.Argument(help="One of notices.urls_file; all, if left out.")] = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Send a notice now, to see whether the way to its receivers is open."""
    with opened(config) as parts:
        found = Notices(parts.database, parts.settings).send_test(this_account(), receiver)
    if json:
        show.as_json(found)
    else:
        for each in found:
            mark = _MARK[Level.WELL if each.sent else Level.ERROR]
            show.out.print(f"{mark} {escape(each.receiver)}  {escape(each.words)}", soft_wrap=True, highlight=False)
        if not found:
            show.out.print("There is nobody to tell: notices.urls_file names no receiver.")
    if not all(each.sent for each in found):
        raise typer.Exit(1)


@notices.command("list")
def outbox(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="So many at most.")] = 30, config: Config = None, json: Json = False
) -> None:
    """Show the latest notices, and what became of each."""
    with opened(config) as parts:
        found = Notices(parts.database, parts.settings).latest(this_account(), limit=limit)
    if json:
        show.as_json(found)
        return
    for each in found:
        to = f"{each.receiver} ({each.person})" if each.person else each.receiver
        words = f"{show.instant(each.made_at)}  {each.state:<8}  {to}  {each.title}"
        show.out.print(escape(printable(words, 600)), soft_wrap=True, highlight=False)
        if each.problem:
            show.out.print(f"  [yellow]{escape(printable(each.problem, 600))}[/]", soft_wrap=True, highlight=False)
    if not found:
        show.out.print("No notice was ever written.")


@notices.command()
def mute(
    hours: Annotated[float, typer.Argument(min=0.01, help="For so long.")],
    instrument: Annotated[str | None, typer.Option(help="About this instrument; about everything, if nothing is named.")] = None,
    session: Annotated[int | None, typer.Option(help="About this session.")] = None,
    alert: Annotated[int | None, typer.Option(help="About this alert.")] = None,
    why: Annotated[str, typer.Option(help="For those who find it quiet.")] = "",
    config: Config = None,
) -> None:
    """Be quiet about an alert, a session, an instrument, or everything, for some hours; the alerts stand all the same."""
    with opened(config) as parts:
        number = Mutes(parts.database, parts.instruments).mute(
            this_account(), alert_id=alert, session_id=session, instrument=instrument, hours=hours, why=why
        )
    show.out.print(f"Mute {number} holds for {hours:g} h.")


@notices.command()
def unmute(number: Annotated[int, typer.Argument(help="As `mutes` shows it.")], config: Config = None) -> None:
    """Take a mute back before its time."""
    with opened(config) as parts:
        Mutes(parts.database, parts.instruments).unmute(this_account(), number)
    show.out.print(f"Mute {number} is over.")


@notices.command()
def mutes(config: Config = None, json: Json = False) -> None:
    """Show what nobody is told of now, until when, and who said so."""
    with opened(config) as parts:
        found = Mutes(parts.database, parts.instruments).standing(this_account())
    if json:
        show.as_json(found)
        return
    for each in found:
        until = "it is over" if each.until is None else show.instant(each.until)
        words = f"{each.id}  {each.what} {printable(each.subject)}  until {until}  by {each.person or '–'}  {printable(each.why)}"
        show.out.print(escape(words), soft_wrap=True, highlight=False)
    if not found:
        show.out.print("Nothing is muted.")


def register(root: typer.Typer) -> None:
    """Add the commands of this file."""
    root.command()(doctor)
    root.add_typer(notices, name="notices")
