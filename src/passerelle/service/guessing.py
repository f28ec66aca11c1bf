"""Guessing passwords is slowed down, by account and by address, and nobody is shut out for long."""

from __future__ import annotations

from passerelle.core.errors import TooManyTries
from passerelle.store import Database, people

WINDOW_SECONDS = 900.0
_ACCOUNT_TRIES, _ADDRESS_TRIES = 5, 30


def slow_down(database: Database, account: str, address: str, *, now: float) -> None:
    """Pass if a password may be tried now.

    Raises:
        TooManyTries: passwords were not right too often; says how long to wait.
    """
    since = now - WINDOW_SECONDS
    with database.read() as connection:
        of_account = people.failures(connection, since=since, account=account)
        of_address = people.failures(connection, since=since, address=address)
    wait = max(wait_seconds(*of_account, now=now, free=_ACCOUNT_TRIES), wait_seconds(*of_address, now=now, free=_ADDRESS_TRIES))
    if wait > 0:
        raise TooManyTries("Name or password was not right too often.", advice=f"Try again in {round(wait) or 1} s.")


def note_failure(database: Database, account: str, address: str, *, now: float) -> None:
    """Write down that a password was not right."""
    with database.write() as connection:
        people.add_failure(connection, account=account, address=address, at=now)


def wait_seconds(failures: int, last_at: float, *, now: float, free: int) -> float:
    """Return how long to wait after so many failures: nothing for the first, then 1, 2, 4 s … from the latest, 900 s at most."""
    if failures < free:
        return 0.0
    return max(0.0, last_at + min(WINDOW_SECONDS, 2.0 ** min(failures - free, 20)) - now)
