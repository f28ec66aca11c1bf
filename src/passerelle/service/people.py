"""The verbs on accounts: make, change, disable, enable, set a password."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from typing import Any

from pydantic import BaseModel
from sqlalchemy import Connection

from passerelle.core.errors import BadInput, Conflict, NotAllowed
from passerelle.core.states import PersonState
from passerelle.service.access import Actor, PersonRole, Power, Through, require
from passerelle.service.audit import acting
from passerelle.service.guessing import Guesses
from passerelle.service.passwords import Passwords, check_password, first_password
from passerelle.store import Database, people, tokens
from passerelle.zones import check_account

LOCAL = "local"
_MAIL = re.compile(r"[^@\s<>,;\"]{1,200}@[^@\s<>,;\"]{1,200}")


class PersonView(BaseModel):
    """An account as faces show it."""

    name: str
    full_name: str
    mail: str
    role: PersonRole
    source: str
    state: PersonState
    groups: list[str]
    made_at: float
    seen_at: float | None
    must_change: bool


class Invited(BaseModel):
    """An account whose person has yet to come. first_password: to be told to that person, shown now and never again.

    None where another source keeps the password.
    """

    person: PersonView
    first_password: str | None


class People:
    """The accounts of a facility.

    sources: who checks passwords beside passerelle itself, by name.
    barred: called when an account was disabled or enabled, so that shares follow.
    """

    def __init__(
        self,
        database: Database,
        passwords: Passwords,
        *,
        sources: Sequence[str] = (),
        facility: str = "",
        barred: Callable[[Actor], object] = lambda actor: None,
    ) -> None:
        self._database, self._passwords = database, passwords
        self._guesses = Guesses(database)
        self._sources = (LOCAL, *sources)
        self._facility = facility
        self._barred = barred

    def list(self, actor: Actor) -> list[PersonView]:
        """Return all accounts by name.

        Raises:
            NotAllowed: only who keeps people sees them all.
        """
        require(actor, Power.KEEP_PEOPLE)
        with self._database.read() as connection:
            return [view(each) for each in people.every(connection)]

    def get(self, actor: Actor, name: str) -> PersonView:
        """Return an account: one's own, or any for who keeps people.

        Raises:
            NotAllowed, NotFound: it is another's; there is none.
        """
        if not _own(actor, name):
            require(actor, Power.KEEP_PEOPLE)
        with self._database.read() as connection:
            return view(people.get(connection, name))

    def create(
        self,
        actor: Actor,
        name: str,
        *,
        role: PersonRole = PersonRole.USER,
        full_name: str = "",
        mail: str = "",
        password: str | None = None,
        source: str = LOCAL,
        own: bool = False,
        at: float | None = None,
    ) -> PersonView:
        """Make an account. password: of a local one; another source checks its own.

        own: the person typed the password; else it is a first one, which leads to nothing but a new one.

        Raises:
            NotAllowed: only who keeps people may. Conflict: there is one of this name.
            BadInput: name, mail, source or password cannot be used.
        """
        now = time.time() if at is None else at
        with acting(self._database, actor, "person_create", f"person:{name}", at=now) as deed:
            require(actor, Power.KEEP_PEOPLE)
            check_account(name)
            _check_mail(mail)
            if source not in self._sources:
                raise BadInput(f"No source is called `{source}`.", advice=f"Choose one of: {', '.join(self._sources)}.")
            password_hash = None
            if source == LOCAL:
                if password is None:
                    raise BadInput("A local account needs a password.")
                check_password(password, known=(name, full_name, mail, self._facility, "passerelle"))
                password_hash = self._passwords.hash(password)
            elif password is not None:
                raise BadInput(f"The password of {name} is kept by {source}, not here.")
            with self._database.write() as connection:
                made = people.create(
                    connection,
                    name=name,
                    role=role,
                    source=source,
                    full_name=full_name,
                    mail=mail,
                    password_hash=password_hash,
                    must_change=password_hash is not None and not own,
                    at=now,
                )
                deed.done(connection, role=role, source=source)
        return view(made)

    def invite(
        self,
        actor: Actor,
        name: str,
        *,
        role: PersonRole = PersonRole.USER,
        full_name: str = "",
        mail: str = "",
        source: str = LOCAL,
    ) -> Invited:
        """Make an account with a random first password, where passerelle itself keeps it.

        Raises:
            NotAllowed, Conflict, BadInput: as `create`.
        """
        password = first_password() if source == LOCAL else None
        made = self.create(actor, name, role=role, full_name=full_name, mail=mail, password=password, source=source)
        return Invited(person=made, first_password=password)

    def reset_password(self, actor: Actor, name: str) -> Invited:
        """Set a random first password in place of another person's, who has lost it; that person's log-ins end.

        Raises:
            NotAllowed: only who keeps people may, and of others. NotFound, BadInput: as `set_password`.
        """
        if _own(actor, name):
            raise NotAllowed("A first password is for others.", advice="Change your own on the page of your account.")
        password = first_password()
        self.set_password(actor, name, password)
        return Invited(person=self.get(actor, name), first_password=password)

    @property
    def sources(self) -> Sequence[str]:
        """Who may check the password of a new account."""
        return self._sources

    def change(
        self,
        actor: Actor,
        name: str,
        *,
        role: PersonRole | None = None,
        full_name: str | None = None,
        mail: str | None = None,
        at: float | None = None,
    ) -> PersonView:
        """Change an account: name and mail of one's own, or everything for who keeps people. Another role ends its log-ins.

        Raises:
            NotAllowed, NotFound: it is another's, or the role is not one's own to choose. Conflict: the last admin would be none.
        """
        now = time.time() if at is None else at
        given = {"role": role, "full_name": full_name, "mail": mail}
        values: dict[str, Any] = {key: each for key, each in given.items() if each is not None}
        with acting(self._database, actor, "person_change", f"person:{name}", at=now) as deed:
            if role is not None or not _own(actor, name):
                require(actor, Power.KEEP_PEOPLE)
            _check_mail(mail or "")
            with self._database.write() as connection:
                before = people.get(connection, name)
                if role is not None and role != before.role:
                    if role is not PersonRole.ADMIN:
                        _keep_an_admin(connection, actor, before)
                    people.end_logins(connection, "role changed", at=now, person_id=before.id)
                changed = people.change(connection, name, **values)
                deed.done(connection, **values)
        return view(changed)

    def disable(self, actor: Actor, name: str, *, at: float | None = None) -> PersonView:
        """Let an account log in no more; its log-ins end, its tokens are taken back, what it owns stays.

        Raises:
            NotAllowed, NotFound, IllegalMove (it is disabled). Conflict: the last admin would be none.
        """
        now = time.time() if at is None else at
        with acting(self._database, actor, "person_disable", f"person:{name}", at=now) as deed:
            require(actor, Power.KEEP_PEOPLE)
            with self._database.write() as connection:
                _keep_an_admin(connection, actor, people.get(connection, name))
                person = people.change_state(connection, name, PersonState.DISABLED)
                ended = people.end_logins(connection, "account disabled", at=now, person_id=person.id)
                revoked = tokens.revoke(connection, at=now, person_id=person.id)
                deed.done(connection, logins=ended, tokens=revoked)
        self._barred(actor)
        return view(person)

    def enable(self, actor: Actor, name: str, *, at: float | None = None) -> PersonView:
        """Let a disabled account log in again.

        Raises:
            NotAllowed, NotFound, IllegalMove (it is enabled).
        """
        with acting(self._database, actor, "person_enable", f"person:{name}", at=at) as deed:
            require(actor, Power.KEEP_PEOPLE)
            with self._database.write() as connection:
                person = people.change_state(connection, name, PersonState.ENABLED)
                deed.done(connection)
        self._barred(actor)
        return view(person)

    def set_password(self, actor: Actor, name: str, new: str, *, old: str | None = None, at: float | None = None) -> None:
        """Set the password of a local account: one's own by the old one, or another's for who keeps people. Other log-ins end.

        Raises:
            NotAllowed, NotFound: it is another's; the old password is not right. TooManyTries: that was so too often.
            BadInput: the new one cannot be used, or the account's password is kept elsewhere.
        """
        now = time.time() if at is None else at
        with acting(self._database, actor, "person_password", f"person:{name}", at=now) as deed:
            own = _own(actor, name)
            if not own:
                require(actor, Power.KEEP_PEOPLE)
            elif actor.through is Through.TOKEN:
                raise NotAllowed("A token may not change passwords.", advice="Log in on the pages.")
            with self._database.read() as connection:
                person = people.get(connection, name)
            if person.source != LOCAL:
                raise BadInput(f"The password of {name} is kept by {person.source}, not here.", advice="Change it there.")
            if own:
                self._check_old(actor, person, old or "", now)
            check_password(new, known=(name, person.full_name, person.mail, self._facility, "passerelle"))
            if own and self._passwords.check(person.password_hash, new):
                raise BadInput("The new password is the old one.", advice="Choose another.")
            password_hash = self._passwords.hash(new)
            with self._database.write() as connection:
                people.change(connection, name, password_hash=password_hash, password_at=now, must_change=not own)
                keep = actor.login_id if own else None
                ended = people.end_logins(connection, "password changed", at=now, person_id=person.id, keep=keep)
                people.forget_failures(connection, account=name)
                deed.done(connection, logins=ended)

    def _check_old(self, actor: Actor, person: people.Person, old: str, now: float) -> None:
        """Who came by an open log-in that is not theirs learns the password here no faster than at the door."""
        with self._guesses.guess(person.name, actor.address, now=now):
            if not self._passwords.check(person.password_hash, old):
                self._guesses.note_failure(person.name, actor.address, now=now)
                raise NotAllowed("The old password is not right.")


def view(person: people.Person) -> PersonView:
    """Return an account without what nobody should see."""
    return PersonView(
        name=person.name,
        full_name=person.full_name,
        mail=person.mail,
        role=PersonRole(person.role),
        source=person.source,
        state=person.state,
        groups=list(person.groups),
        made_at=person.made_at,
        seen_at=person.seen_at,
        must_change=person.must_change,
    )


def _own(actor: Actor, name: str) -> bool:
    return actor.through in (Through.PAGE, Through.TOKEN) and actor.name == name


def _keep_an_admin(connection: Connection, actor: Actor, person: people.Person) -> None:
    """On the machine itself even the last admin may go: another is made there."""
    if actor.through is Through.COMMAND or person.role != PersonRole.ADMIN:
        return
    enabled = [each for each in people.every(connection) if each.role == PersonRole.ADMIN and each.state is PersonState.ENABLED]
    if [each.name for each in enabled] == [person.name]:
        raise Conflict(f"{person.name} is the only admin.", advice="Make another person admin first.")


def _check_mail(mail: str) -> None:
    if mail and not _MAIL.fullmatch(mail):
        raise BadInput("This is not an address of mail.", advice="Give one such as name@institute.org.")
