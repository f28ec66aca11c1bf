"""People, their log-ins, and log-ins that failed. Secrets are kept as digests only; who may do what is decided elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from passerelle.core.errors import Conflict, NotFound, printable
from passerelle.core.states import PersonState, move
from passerelle.store.paths import storable
from passerelle.store.tables_people import login_failures, logins, people


@dataclass(frozen=True, slots=True)
class Person:
    """An account. source: who checks its password (local, pam, ldap). groups: as the source said at the latest log-in.

    must_change: somebody else chose the password, at `password_at`; the person chooses another before anything else.
    """

    id: int
    name: str
    full_name: str
    mail: str
    role: str
    source: str
    state: PersonState
    password_hash: str | None = field(repr=False)
    groups: tuple[str, ...]
    made_at: float
    seen_at: float | None
    password_at: float | None
    must_change: bool


@dataclass(frozen=True, slots=True)
class Login:
    """A stay on the pages, from log-in to log-out."""

    id: int
    person_id: int
    made_at: float
    seen_at: float
    ended_at: float | None
    why_ended: str | None
    address: str
    agent: str


def create(
    connection: Connection,
    *,
    name: str,
    role: str,
    source: str,
    full_name: str = "",
    mail: str = "",
    password_hash: str | None = None,
    must_change: bool = False,
    groups: Sequence[str] = (),
    at: float,
) -> Person:
    """Write a new, enabled account.

    Raises:
        Conflict: there is one of this name.
    """
    if find(connection, name) is not None:
        raise Conflict(f"There is an account {printable(name)} already.", advice="Choose another name, or change that account.")
    row = {
        "name": name,
        "full_name": storable(full_name),
        "mail": storable(mail),
        "role": role,
        "source": source,
        "state": PersonState.ENABLED,
        "password_hash": password_hash,
        "password_at": None if password_hash is None else at,
        "must_change": must_change,
        "groups": [storable(group) for group in groups],
        "made_at": at,
    }
    connection.execute(insert(people).values(row))
    return get(connection, name)


def find(connection: Connection, name: str) -> Person | None:
    """Return the account of this name, if there is one."""
    found = connection.execute(select(people).where(people.c.name == storable(name))).one_or_none()
    return None if found is None else _person(found)


def get(connection: Connection, name: str) -> Person:
    """Return the account of this name.

    Raises:
        NotFound: there is none.
    """
    found = find(connection, name)
    if found is None:
        raise NotFound(f"There is no account `{printable(name, 80)}`.")
    return found


def by_id(connection: Connection, person_id: int) -> Person:
    """Return an account by its number, which is known to be there."""
    return _person(connection.execute(select(people).where(people.c.id == person_id)).one())


def every(connection: Connection) -> list[Person]:
    """Return all accounts by name."""
    return [_person(found) for found in connection.execute(select(people).order_by(people.c.name))]


def change(connection: Connection, name: str, **values: Any) -> Person:
    """Change what is not a state (full_name, mail, role, source, groups, seen_at, password_hash, …).

    Raises:
        NotFound: there is no such account.
    """
    person = get(connection, name)
    fields = {key: storable(inner) if isinstance(inner, str) else inner for key, inner in values.items()}
    if "groups" in fields:
        fields["groups"] = [storable(group) for group in fields["groups"]]
    if fields:
        connection.execute(update(people).where(people.c.id == person.id).values(**fields))
    return get(connection, name)


def change_state(connection: Connection, name: str, target: PersonState) -> Person:
    """Disable an account or enable it again.

    Raises:
        NotFound: there is no such account. IllegalMove: it is in that state already.
    """
    person = get(connection, name)
    move(person.state, target, what=f"account {person.name}")
    connection.execute(update(people).where(people.c.id == person.id).values(state=target))
    return get(connection, name)


# -- log-ins --


def open_login(connection: Connection, person_id: int, secret_hash: str, *, address: str, agent: str, at: float) -> Login:
    """Write a new log-in."""
    row = {
        "person_id": person_id,
        "secret_hash": secret_hash,
        "made_at": at,
        "seen_at": at,
        "address": storable(address)[:64],
        "agent": storable(agent)[:300],
    }
    return _login(connection.execute(insert(logins).values(row).returning(logins)).one())


def login_of(connection: Connection, secret_hash: str) -> Login | None:
    """Return the log-in, ended or not, whose secret has this digest."""
    found = connection.execute(select(logins).where(logins.c.secret_hash == secret_hash)).one_or_none()
    return None if found is None else _login(found)


def open_logins(connection: Connection, person_id: int) -> list[Login]:
    """Return the log-ins of a person that have not ended, latest first."""
    query = select(logins).where(logins.c.person_id == person_id, logins.c.ended_at.is_(None)).order_by(logins.c.seen_at.desc())
    return [_login(found) for found in connection.execute(query)]


def see_login(connection: Connection, login_id: int, *, at: float) -> None:
    """Note that a log-in is in use."""
    connection.execute(update(logins).where(logins.c.id == login_id, logins.c.seen_at < at).values(seen_at=at))


def end_logins(
    connection: Connection,
    why: str,
    *,
    at: float,
    person_id: int | None = None,
    login_id: int | None = None,
    keep: int | None = None,
) -> int:
    """End one log-in, or all of a person but `keep`; return how many ended."""
    query = update(logins).where(logins.c.ended_at.is_(None))
    if person_id is not None:
        query = query.where(logins.c.person_id == person_id)
    if login_id is not None:
        query = query.where(logins.c.id == login_id)
    if keep is not None:
        query = query.where(logins.c.id != keep)
    return connection.execute(query.values(ended_at=at, why_ended=why)).rowcount


def drop_old_logins(connection: Connection, *, before: float) -> None:
    """Forget log-ins that were last used before an instant; the audit log keeps that they were."""
    connection.execute(delete(logins).where(logins.c.seen_at < before))


# -- failed log-ins --


def add_failure(connection: Connection, *, account: str, address: str, at: float) -> None:
    """Note a failed log-in; there need not be such an account."""
    row = {"account": storable(account).lower()[:64], "address": storable(address)[:64], "at": at}
    connection.execute(insert(login_failures).values(row))


def failures(
    connection: Connection, *, since: float, account: str | None = None, address: str | None = None
) -> tuple[int, float]:
    """Return how many log-ins failed since an instant, of an account or from an address, and when the latest did (0: none)."""
    query = select(func.count(), func.max(login_failures.c.at)).where(login_failures.c.at > since)
    if account is not None:
        query = query.where(login_failures.c.account == storable(account).lower()[:64])
    if address is not None:
        query = query.where(login_failures.c.address == storable(address)[:64])
    count, last = connection.execute(query).one()
    return count, last or 0.0


def forget_failures(connection: Connection, *, account: str | None = None, before: float | None = None) -> None:
    """Forget the failures of an account that has logged in, or those before an instant."""
    query = delete(login_failures)
    if account is not None:
        query = query.where(login_failures.c.account == storable(account).lower()[:64])
    if before is not None:
        query = query.where(login_failures.c.at < before)
    connection.execute(query)


def _person(row: Row[Any]) -> Person:
    fields: dict[str, Any] = dict(row._mapping)
    fields["state"] = PersonState(fields["state"])
    fields["groups"] = tuple(fields["groups"])
    return Person(**fields)


def _login(row: Row[Any]) -> Login:
    fields: dict[str, Any] = dict(row._mapping)
    fields.pop("secret_hash")
    return Login(**fields)
