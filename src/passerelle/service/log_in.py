"""Log in, be known by the cookie's secret, log out. Log-ins end when idle and after a longest time; guessing is slowed down."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from sqlalchemy import Connection

from passerelle.core.errors import BadConfiguration, Busy, NotLoggedIn, PasserelleError
from passerelle.core.log import logger
from passerelle.core.states import PersonState
from passerelle.service.access import POWERS, Actor, PersonRole, Power, Through, require
from passerelle.service.accounts import groups_of
from passerelle.service.audit import acting
from passerelle.service.guessing import WINDOW_SECONDS, Guesses
from passerelle.service.passwords import Passwords
from passerelle.service.people import LOCAL
from passerelle.service.settings_people import PeopleSettings
from passerelle.service.sources import Identity, Source
from passerelle.store import Database, people
from passerelle.zones import check_account

_SEEN_SECONDS = 60.0  # how exactly the latest use is known; not each request is a write
_FORGET_SECONDS = 90 * 86400.0
_WRONG = "Name or password is not right."


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """A fresh log-in. secret: for the cookie, shown once and kept nowhere."""

    secret: str
    actor: Actor
    ends_at: float


class LogInView(BaseModel):
    """An open log-in as faces show it. this_one: by which the person asks now."""

    id: int
    made_at: float
    seen_at: float
    address: str
    agent: str
    this_one: bool


class LogIns:
    """The log-ins of a facility. sources: who checks passwords beside passerelle itself, asked in their order for new names."""

    def __init__(
        self,
        database: Database,
        settings: PeopleSettings,
        passwords: Passwords,
        *,
        sources: Mapping[str, Source] | None = None,
        machine_groups: Callable[[str], frozenset[str]] = groups_of,
    ) -> None:
        self._database, self._settings, self._passwords = database, settings, passwords
        self._guesses = Guesses(database)
        self._sources = dict(sources or {})
        self._machine_groups = machine_groups

    def log_in(
        self, name: str, password: str, *, address: str, agent: str = "", old_secret: str = "", at: float | None = None
    ) -> LoggedIn:
        """Check a password and open a log-in; that of `old_secret`, the browser's before, ends.

        Raises:
            NotLoggedIn: name or password is not right, or the account is disabled: one answer for all.
            TooManyTries: they were not right too often; says how long to wait.
            Busy: the directory that must be asked does not answer.
        """
        now = time.time() if at is None else at
        name = name.strip()
        with self._database.read() as connection:
            person = people.find(connection, name)
        # a name that is none may be a password typed into the wrong field: it is not written down
        shown = "unknown" if person is None else person.name
        asking = Actor(shown, PersonRole.USER, frozenset(), Through.PAGE, address=address)
        with (
            acting(self._database, asking, "log_in", f"person:{shown}", at=now) as deed,
            self._guesses.guess(name, address, now=now),
        ):
            identity, source = self._identify(name, password, person)
            late = person is not None and person.must_change and now > (person.password_at or 0.0) + self._first_seconds
            if identity is None or late or (person is not None and person.state is PersonState.DISABLED):
                self._guesses.note_failure(name, address, now=now)
                raise NotLoggedIn(_WRONG)
            secret = secrets.token_urlsafe(32)
            renewed = self._renewed(person, password)
            with self._database.write() as connection:
                person = self._known(connection, identity, person, source, now)
                if renewed:
                    person = people.change(connection, person.name, password_hash=renewed)
                people.forget_failures(connection, account=name)
                people.forget_failures(connection, before=now - WINDOW_SECONDS)
                people.drop_old_logins(connection, before=now - _FORGET_SECONDS)
                if old_secret and (old := people.login_of(connection, digest(old_secret))) is not None:
                    people.end_logins(connection, "logged in again", at=now, login_id=old.id)
                login = people.open_login(connection, person.id, digest(secret), address=address, agent=agent, at=now)
                actor = actor_of(person, through=Through.PAGE, address=address, login_id=login.id)
                deed.actor, deed.subject = actor, f"person:{actor.name}"
                deed.done(connection, source=person.source)
        return LoggedIn(secret, actor, now + self._settings.longest_hours * 3600)

    def who(self, secret: str, *, address: str = "", at: float | None = None) -> Actor:
        """Return who holds a cookie's secret.

        Raises:
            NotLoggedIn: nobody: no such log-in, or it ended, was idle too long, or is too old.
        """
        now = time.time() if at is None else at
        if not secret:
            raise NotLoggedIn("Nobody is logged in.", advice="Log in.")
        with self._database.read() as connection:
            login = people.login_of(connection, digest(secret))
            person = None if login is None else people.by_id(connection, login.person_id)
        if login is None or person is None or login.ended_at is not None or person.state is PersonState.DISABLED:
            raise NotLoggedIn("Nobody is logged in.", advice="Log in.")
        settings = self._settings
        for why, over in (
            ("idle", now - login.seen_at > settings.idle_hours * 3600),
            ("longest time", now - login.made_at > settings.longest_hours * 3600),
        ):
            if over:
                with self._database.write() as connection:
                    people.end_logins(connection, why, at=now, login_id=login.id)
                raise NotLoggedIn("The log-in has ended by itself.", advice="Log in again.")
        if now - login.seen_at > _SEEN_SECONDS:
            with self._database.write() as connection:
                people.see_login(connection, login.id, at=now)
        return actor_of(person, through=Through.PAGE, address=address or login.address, login_id=login.id)

    def log_out(self, actor: Actor, *, everywhere: bool = False, at: float | None = None) -> int:
        """End the log-in that the person came by, or all of that person; return how many ended."""
        now = time.time() if at is None else at
        with (
            acting(self._database, actor, "log_out", f"person:{actor.name}", at=now) as deed,
            self._database.write() as connection,
        ):
            person = people.find(connection, actor.name)
            ended = 0
            if person is not None and (everywhere or actor.login_id is not None):
                login_id = None if everywhere else actor.login_id
                ended = people.end_logins(connection, "logged out", at=now, person_id=person.id, login_id=login_id)
            deed.done(connection, ended=ended)
        return ended

    def open_log_ins(self, actor: Actor, name: str | None = None) -> list[LogInView]:
        """Return the log-ins of oneself, or of another for who keeps people, that have not ended, latest first.

        Raises:
            NotAllowed, NotFound: they are another's; there is no such account.
        """
        name = self._whose(actor, name)
        with self._database.read() as connection:
            found = people.open_logins(connection, people.get(connection, name).id)
        return [
            LogInView(
                id=each.id,
                made_at=each.made_at,
                seen_at=each.seen_at,
                address=each.address,
                agent=each.agent,
                this_one=each.id == actor.login_id,
            )
            for each in found
        ]

    def end_log_ins(
        self,
        actor: Actor,
        name: str | None = None,
        *,
        login_id: int | None = None,
        others: bool = False,
        at: float | None = None,
    ) -> int:
        """End one log-in, or all, of oneself or (by who keeps people) of another; return how many ended.

        others: all but the one by which the person asks now.

        Raises:
            NotAllowed, NotFound: they are another's; there is no such account.
        """
        now = time.time() if at is None else at
        shown = name or actor.name
        with acting(self._database, actor, "log_ins_end", f"person:{shown}", at=now) as deed:
            whose = self._whose(actor, name)
            with self._database.write() as connection:
                person = people.get(connection, whose)
                keep = actor.login_id if others else None
                ended = people.end_logins(connection, "ended by hand", at=now, person_id=person.id, login_id=login_id, keep=keep)
                deed.done(connection, ended=ended)
        return ended

    def _whose(self, actor: Actor, name: str | None) -> str:
        if name is None or (name == actor.name and actor.through is not Through.COMMAND):
            return actor.name
        require(actor, Power.KEEP_PEOPLE)
        return name

    @property
    def _first_seconds(self) -> float:
        return self._settings.first_password_days * 86400.0

    def _identify(self, name: str, password: str, person: people.Person | None) -> tuple[Identity | None, str]:
        if person is not None and person.source == LOCAL:
            if self._passwords.check(person.password_hash, password):
                return Identity(person.name, person.full_name, person.mail), LOCAL
            self._ask_in_vain()
            return None, LOCAL
        self._passwords.check(None, password)  # as long as for a local account: time tells nobody which names there are
        unanswered: PasserelleError | None = None
        for word, source in self._sources.items():
            if person is not None and person.source != word:
                continue
            try:
                identity = source.check(name, password)
            except (Busy, BadConfiguration) as problem:
                logger.warning("source_not_asked", source=word, why=str(problem))
                unanswered = problem
                continue
            if identity is not None:
                return identity, word
        if unanswered is not None:
            raise Busy(
                "The directory that knows the passwords cannot be asked now.", advice="Try again in a while."
            ) from unanswered
        return None, ""

    def _ask_in_vain(self) -> None:
        """Ask the sources for nobody: time tells no one that a name is a local one, and none of them hears its password."""
        for source in self._sources.values():
            with contextlib.suppress(Busy, BadConfiguration):
                source.check(f"nobody-{secrets.token_hex(4)}", secrets.token_urlsafe())

    def _renewed(self, person: people.Person | None, password: str) -> str | None:
        """Return a new hash of a right password whose costs have grown since it was hashed; only here is the password at hand."""
        if person is None or person.source != LOCAL or person.password_hash is None:
            return None
        return self._passwords.hash(password) if self._passwords.outdated(person.password_hash) else None

    def _known(
        self, connection: Connection, identity: Identity, person: people.Person | None, source: str, now: float
    ) -> people.Person:
        groups = sorted(set(identity.groups) | self._machine_groups(identity.name))
        values: dict[str, Any] = {"groups": groups, "seen_at": now}
        if person is None:
            # a directory takes Alice for alice and says which it is: the account may be here under that name
            check_account(identity.name)
            person = people.find(connection, identity.name)
            if person is not None and (person.source != source or person.state is PersonState.DISABLED):
                raise NotLoggedIn(_WRONG)
        if person is None:
            person = people.create(
                connection,
                name=identity.name,
                role=identity.role or PersonRole.USER,
                source=source,
                full_name=identity.full_name,
                mail=identity.mail,
                at=now,
            )
        if person.source != LOCAL:
            values |= {"full_name": identity.full_name or person.full_name, "mail": identity.mail or person.mail}
            if identity.role:
                values["role"] = identity.role
        return people.change(connection, person.name, **values)


def digest(secret: str) -> str:
    """Return what is kept of a secret of 256 random bits: SHA-256 is enough, there is nothing to guess."""
    return hashlib.sha256(secret.encode(errors="surrogateescape")).hexdigest()


def actor_of(person: people.Person, *, through: Through, address: str = "", login_id: int | None = None) -> Actor:
    """Return who asks, with the powers of the person's role; with none while the password is one that somebody else chose."""
    role = PersonRole(person.role)
    powers = frozenset() if person.must_change else POWERS[role]
    return Actor(person.name, role, powers, through, frozenset(person.groups), address, login_id, must_change=person.must_change)
