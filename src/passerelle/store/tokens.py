"""Personal tokens for programs that ask in a person's name; kept as digests only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from passerelle.core.errors import NotFound
from passerelle.store.paths import storable
from passerelle.store.tables_people import tokens


@dataclass(frozen=True, slots=True)
class Token:
    """A token. scopes: what it may be used for, never more than its person may."""

    id: int
    person_id: int
    name: str
    scopes: tuple[str, ...]
    made_at: float
    ends_at: float
    used_at: float | None
    revoked_at: float | None


def create(
    connection: Connection, person_id: int, *, name: str, secret_hash: str, scopes: Sequence[str], at: float, ends_at: float
) -> Token:
    """Write a new token."""
    row = {
        "person_id": person_id,
        "name": storable(name)[:100],
        "secret_hash": secret_hash,
        "scopes": list(scopes),
        "made_at": at,
        "ends_at": ends_at,
    }
    return _token(connection.execute(insert(tokens).values(row).returning(tokens)).one())


def by_hash(connection: Connection, secret_hash: str) -> Token | None:
    """Return the token, in force or not, whose secret has this digest."""
    found = connection.execute(select(tokens).where(tokens.c.secret_hash == secret_hash)).one_or_none()
    return None if found is None else _token(found)


def get(connection: Connection, token_id: int) -> Token:
    """Return a token by its number.

    Raises:
        NotFound: there is none.
    """
    found = connection.execute(select(tokens).where(tokens.c.id == token_id)).one_or_none()
    if found is None:
        raise NotFound(f"There is no token {token_id}.")
    return _token(found)


def of_person(connection: Connection, person_id: int) -> list[Token]:
    """Return all tokens of a person, newest first."""
    query = select(tokens).where(tokens.c.person_id == person_id).order_by(tokens.c.id.desc())
    return [_token(found) for found in connection.execute(query)]


def use(connection: Connection, token_id: int, *, at: float) -> None:
    """Note that a token was used."""
    connection.execute(update(tokens).where(tokens.c.id == token_id).values(used_at=at))


def revoke(connection: Connection, *, at: float, token_id: int | None = None, person_id: int | None = None) -> int:
    """Take back one token, or all of a person; return how many were in force."""
    query = update(tokens).where(tokens.c.revoked_at.is_(None))
    if token_id is not None:
        query = query.where(tokens.c.id == token_id)
    if person_id is not None:
        query = query.where(tokens.c.person_id == person_id)
    return connection.execute(query.values(revoked_at=at)).rowcount


def _token(row: Row[Any]) -> Token:
    fields: dict[str, Any] = dict(row._mapping)
    fields.pop("secret_hash")
    fields["scopes"] = tuple(fields["scopes"])
    return Token(**fields)
