"""`passerelle people …`: accounts, roles, tokens and the audit log, by hand on the machine itself."""

from __future__ import annotations

import getpass
import sys
import time
from collections.abc import Iterable
from typing import Annotated

import typer
from rich import box
from rich.markup import escape
from rich.table import Table

from passerelle.cli import show
from passerelle.cli.sessions import Config, Json
from passerelle.core.errors import BadInput, StorageError, printable
from passerelle.service.access import PersonRole, Power, this_account
from passerelle.service.audit import check_audit, read_audit
from passerelle.service.people import LOCAL, PersonView
from passerelle.service.tokens import create_token, list_tokens, revoke_token
from passerelle.service.wiring_people import opened, people_of

app = typer.Typer(no_args_is_help=True, help="People: accounts, roles, tokens, and the log of what they did.")

Name = Annotated[str, typer.Argument(help="Name of the account.")]
Role = Annotated[PersonRole | None, typer.Option(help="What the person is to the facility.")]
FullName = Annotated[str | None, typer.Option("--full-name", help="The person's name, as pages show it.")]
Mail = Annotated[str | None, typer.Option(help="Where messages go.")]


@app.command("list")
def list_people(config: Config = None, json: Json = False) -> None:
    """List the accounts."""
    with opened(config) as parts:
        found = people_of(parts).list(this_account())
    show.as_json(found) if json else show.out.print(_table(found))


@app.command()
def create(
    name: Name,
    role: Role = None,
    full_name: FullName = None,
    mail: Mail = None,
    source: Annotated[str, typer.Option(help="Who checks the password: local, ldap or pam.")] = LOCAL,
    own: Annotated[bool, typer.Option("--own", help="The person types the password; else another must be chosen first.")] = False,
    config: Config = None,
    json: Json = False,
) -> None:
    """Make an account. The password of a local one is asked for, or read from standard input."""
    with opened(config) as parts:
        password = _new_password() if source == LOCAL else None
        made = people_of(parts).create(
            this_account(),
            name,
            role=role or PersonRole.USER,
            full_name=full_name or "",
            mail=mail or "",
            password=password,
            source=source,
            own=own,
        )
    _show(made, json)


@app.command()
def change(
    name: Name, role: Role = None, full_name: FullName = None, mail: Mail = None, config: Config = None, json: Json = False
) -> None:
    """Change an account. Another role ends its log-ins."""
    with opened(config) as parts:
        _show(people_of(parts).change(this_account(), name, role=role, full_name=full_name, mail=mail), json)


@app.command()
def disable(name: Name, config: Config = None, json: Json = False) -> None:
    """Let an account log in no more: its log-ins end, its tokens are taken back, what it owns stays."""
    with opened(config) as parts:
        _show(people_of(parts).disable(this_account(), name), json)


@app.command()
def enable(name: Name, config: Config = None, json: Json = False) -> None:
    """Let a disabled account log in again."""
    with opened(config) as parts:
        _show(people_of(parts).enable(this_account(), name), json)


@app.command()
def password(name: Name, config: Config = None) -> None:
    """Set the password of a local account; it is asked for, or read from standard input. Its log-ins end."""
    with opened(config) as parts:
        people_of(parts).set_password(this_account(), name, _new_password())
    show.out.print("The password is set.")


@app.command()
def token(
    name: Name,
    purpose: Annotated[str, typer.Option("--name", help="What the token is for.")],
    scope: Annotated[list[Power], typer.Option(help="What it may be used for; may be given again.")],
    days: Annotated[float, typer.Option(help="When it ends.")] = 90.0,
    config: Config = None,
    json: Json = False,
) -> None:
    """Make a token for a person's programs. Its secret is shown now and never again."""
    with opened(config) as parts:
        made = create_token(
            parts.database, parts.settings.people, this_account(), name=purpose, scopes=scope, days=days, person=name
        )
    show.as_json(made) if json else show.out.print(made.secret, highlight=False)


@app.command()
def tokens(
    name: Name,
    revoke: Annotated[int | None, typer.Option(help="Take back the token of this number.")] = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """List the tokens of a person, or take one back."""
    with opened(config) as parts:
        if revoke is not None:
            revoke_token(parts.database, this_account(), revoke)
        found = list_tokens(parts.database, this_account(), person=name)
    if json:
        show.as_json(found)
        return
    for each in found:
        state = "revoked" if each.revoked_at else "ended" if each.ends_at <= time.time() else f"until {_day(each.ends_at)}"
        show.out.print(f"{each.id}  {escape(printable(each.name))}  {', '.join(each.scopes)}  {state}", highlight=False)


@app.command()
def audit(
    person: Annotated[str | None, typer.Option(help="Acts of this person only.")] = None,
    subject: Annotated[str | None, typer.Option(help="Acts on this only, such as zone:NAME or person:NAME.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, latest first.")] = 50,
    check: Annotated[bool, typer.Option("--check", help="See whether the log is as it was written.")] = False,
    config: Config = None,
    json: Json = False,
) -> None:
    """Show who did what, when, from where, with what result; or check that nobody changed the log."""
    with opened(config) as parts:
        if check:
            broken = check_audit(parts.database, this_account())
            if broken is not None:
                raise StorageError(
                    f"the audit log is not as it was written from line {broken} on.",
                    advice="Compare with a backup of the database.",
                )
            show.as_json({"sound": True}) if json else show.out.print("The audit log is as it was written.")
            return
        found = read_audit(parts.database, this_account(), limit=limit, person=person, subject=subject)
    if json:
        show.as_json(found)
        return
    for each in found:
        words = f"  [dim]{escape(printable(each.words))}[/]" if each.words else ""
        where = f" from {each.address}" if each.address else ""
        line = f"{_day(each.at)}  {each.person} ({each.through}{where})  {each.act}  {each.subject}  {each.result}"
        show.out.print(escape(printable(line)) + words, soft_wrap=True, highlight=False)


def _new_password() -> str:
    """Ask twice at a terminal; read one line where standard input is a pipe. Never an argument: those are seen by everybody."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    first = getpass.getpass("New password: ")
    if getpass.getpass("Again: ") != first:
        raise BadInput("The two are not the same.", advice="Type the password again.")
    return first


def _show(person: PersonView, json: bool) -> None:
    show.as_json(person) if json else show.out.print(_table([person]))


def _table(found: Iterable[PersonView]) -> Table:
    table = Table(header_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("name", "full name", "role", "source", "state", "last log-in"):
        table.add_column(heading)
    for each in found:
        seen = "–" if each.seen_at is None else _day(each.seen_at)
        table.add_row(each.name, escape(printable(each.full_name)), each.role, each.source, each.state, seen)
    return table


def _day(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))


def register(root: typer.Typer) -> None:
    """Add the commands of this file."""
    root.add_typer(app, name="people")
