"""Guessing passwords is slowed down, by account and by address, and nobody is shut out for long."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager

from passerelle.core.errors import TooManyTries
from passerelle.store import Database, people

WINDOW_SECONDS = 900.0
_ACCOUNT_TRIES, _ADDRESS_TRIES = 5, 30


class Guesses:
    """The guesses that are looked at now, and those that were not right. May be called from any thread."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._accounts: Counter[str] = Counter()
        self._addresses: Counter[str] = Counter()

    @contextmanager
    def guess(self, account: str, address: str, *, now: float) -> Generator[None]:
        """Enter if a password may be tried now; a failure is noted before this is left.

        Guesses that are being looked at count as not right, so that a volley of them is no way past the count.

        Raises:
            TooManyTries: passwords were not right too often; says how long to wait.
        """
        account = account.lower()
        with self._lock:
            self._slow_down(account, address, now)
            self._accounts[account] += 1
            self._addresses[address] += 1
        try:
            yield
        finally:
            with self._lock:
                self._accounts = +(self._accounts - Counter((account,)))
                self._addresses = +(self._addresses - Counter((address,)))

    def note_failure(self, account: str, address: str, *, now: float) -> None:
        """Write down that a password was not right."""
        with self._database.write() as connection:
            people.add_failure(connection, account=account, address=address, at=now)

    def _slow_down(self, account: str, address: str, now: float) -> None:
        since = now - WINDOW_SECONDS
        with self._database.read() as connection:
            of_account = people.failures(connection, since=since, account=account)
            of_address = people.failures(connection, since=since, address=address)
        wait = max(
            _wait(of_account, self._accounts[account], now, _ACCOUNT_TRIES),
            _wait(of_address, self._addresses[address], now, _ADDRESS_TRIES),
        )
        if wait > 0:
            raise TooManyTries("Name or password was not right too often.", advice=f"Try again in {round(wait) or 1} s.")


def _wait(failures: tuple[int, float], looked_at: int, now: float, free: int) -> float:
    count, last_at = failures
    return wait_seconds(count + looked_at, now if looked_at else last_at, now=now, free=free)


def wait_seconds(failures: int, last_at: float, *, now: float, free: int) -> float:
    """Return how long to wait after so many failures: nothing for the first, then 1, 2, 4 s … from the latest, 900 s at most."""
    if failures < free:
        return 0.0
    return max(0.0, last_at + min(WINDOW_SECONDS, 2.0 ** min(failures - free, 20)) - now)
