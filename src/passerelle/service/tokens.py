"""The verbs on personal tokens: make (the secret is shown once), list, take back, and who holds one."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import replace

from pydantic import BaseModel

from passerelle.core.errors import BadInput, NotAllowed, NotFound, NotLoggedIn
from passerelle.core.states import PersonState
from passerelle.service.access import Actor, Power, Through, require
from passerelle.service.audit import acting
from passerelle.service.log_in import actor_of, digest
from passerelle.service.settings_people import PeopleSettings
from passerelle.store import Database, people, tokens

PREFIX = "psr_"  # so that scanners of repositories and logs can know one
_DAY = 86400.0
_USED_SECONDS = 60.0


class TokenView(BaseModel):
    """A token as faces show it; never its secret."""

    id: int
    name: str
    scopes: list[Power]
    made_at: float
    ends_at: float
    used_at: float | None
    revoked_at: float | None


class NewToken(BaseModel):
    """A token just made. secret: shown now and never again."""

    token: TokenView
    secret: str


def create_token(
    database: Database,
    settings: PeopleSettings,
    actor: Actor,
    *,
    name: str,
    scopes: Sequence[Power],
    days: float,
    person: str | None = None,
    at: float | None = None,
) -> NewToken:
    """Make a token for oneself, or for another (person) by who keeps people. It never may more than its person may.

    Raises:
        BadInput: no name, no scope, or an end too far away. NotAllowed: a token may not make tokens; it is for another.
    """
    now = time.time() if at is None else at
    owner = person or actor.name
    with acting(database, actor, "token_create", f"person:{owner}", at=now) as deed:
        _by_hand(actor)
        if owner != actor.name or actor.through is Through.COMMAND:
            require(actor, Power.KEEP_PEOPLE)
        if not name.strip():
            raise BadInput("A token needs a name.", advice="Say what it is for.")
        if not scopes:
            raise BadInput("A token needs a scope.", advice=f"Choose among: {', '.join(Power)}.")
        if not 0 < days <= settings.token_longest_days:
            raise BadInput(f"A token may last {settings.token_longest_days:g} days at most.", advice="Choose an earlier end.")
        secret = PREFIX + secrets.token_urlsafe(32)
        chosen = sorted(set(scopes))
        with database.write() as connection:
            row = tokens.create(
                connection,
                people.get(connection, owner).id,
                name=name.strip(),
                secret_hash=digest(secret),
                scopes=chosen,
                at=now,
                ends_at=now + days * _DAY,
            )
            deed.done(connection, token=row.id, name=row.name, scopes=chosen, days=days)
    return NewToken(token=_view(row), secret=secret)


def list_tokens(database: Database, actor: Actor, *, person: str | None = None) -> list[TokenView]:
    """Return the tokens of oneself, or of another for who keeps people, newest first.

    Raises:
        NotAllowed, NotFound: they are another's; there is no such account.
    """
    owner = person or actor.name
    if owner != actor.name or actor.through is Through.COMMAND:
        require(actor, Power.KEEP_PEOPLE)
    with database.read() as connection:
        return [_view(row) for row in tokens.of_person(connection, people.get(connection, owner).id)]


def revoke_token(database: Database, actor: Actor, token_id: int, *, at: float | None = None) -> TokenView:
    """Take a token back: one's own, or any by who keeps people. Doing it again is no error.

    Raises:
        NotFound: there is none, or it is another's.
    """
    now = time.time() if at is None else at
    with acting(database, actor, "token_revoke", f"token:{token_id}", at=now) as deed, database.write() as connection:
        row = tokens.get(connection, token_id)
        owner = people.by_id(connection, row.person_id)
        if Power.KEEP_PEOPLE not in actor.powers and (owner.name != actor.name or actor.through is Through.COMMAND):
            raise NotFound(f"There is no token {token_id}.")
        tokens.revoke(connection, at=now, token_id=token_id)
        deed.done(connection, person=owner.name, name=row.name)
        return _view(tokens.get(connection, token_id))


def who_holds(database: Database, secret: str, *, address: str = "", at: float | None = None) -> Actor:
    """Return who asks by a token: its person, with those of the person's powers that are among its scopes.

    Raises:
        NotLoggedIn: no such token, or it was taken back, or has ended, or its person is disabled: one answer for all.
    """
    now = time.time() if at is None else at
    with database.read() as connection:
        row = tokens.by_hash(connection, digest(secret)) if secret.startswith(PREFIX) else None
        person = None if row is None else people.by_id(connection, row.person_id)
    if row is None or person is None or row.revoked_at is not None or now >= row.ends_at or person.state is PersonState.DISABLED:
        raise NotLoggedIn("This token is not in force.", advice="Make a new one on your page.")
    if row.used_at is None or now - row.used_at > _USED_SECONDS:
        with database.write() as connection:
            tokens.use(connection, row.id, at=now)
    actor = actor_of(person, through=Through.TOKEN, address=address)
    return replace(actor, powers=actor.powers & {Power(scope) for scope in row.scopes}, token_id=row.id)


class Tokens:
    """The verbs on the tokens of one facility, as faces call them."""

    def __init__(self, database: Database, settings: PeopleSettings) -> None:
        self._database, self._settings = database, settings

    @property
    def longest_days(self) -> float:
        """The latest end that a token may have."""
        return self._settings.token_longest_days

    def create(self, actor: Actor, *, name: str, scopes: Sequence[Power], days: float, person: str | None = None) -> NewToken:
        """Make a token, as `create_token`."""
        return create_token(self._database, self._settings, actor, name=name, scopes=scopes, days=days, person=person)

    def list(self, actor: Actor, *, person: str | None = None) -> Sequence[TokenView]:
        """Return tokens, as `list_tokens`."""
        return list_tokens(self._database, actor, person=person)

    def revoke(self, actor: Actor, token_id: int) -> TokenView:
        """Take a token back, as `revoke_token`."""
        return revoke_token(self._database, actor, token_id)


def _by_hand(actor: Actor) -> None:
    if actor.through is Through.TOKEN:
        raise NotAllowed("A token may not make tokens.", advice="Log in on the pages.")


def _view(row: tokens.Token) -> TokenView:
    return TokenView(
        id=row.id,
        name=row.name,
        scopes=[Power(scope) for scope in row.scopes],
        made_at=row.made_at,
        ends_at=row.ends_at,
        used_at=row.used_at,
        revoked_at=row.revoked_at,
    )
