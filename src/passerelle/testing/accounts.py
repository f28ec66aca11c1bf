"""Accounts of the machine that tests make: several may, at the same time, and some want the same ones."""

from __future__ import annotations

import contextlib
import fcntl
import pwd
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

_LOCK = Path("/run/passerelle-test-accounts.lock")
_MADE = Path("/run/passerelle-test-accounts")  # names; locked by all who use them


@contextlib.contextmanager
def changing_accounts() -> Iterator[None]:
    """Be the only test that makes or removes accounts: useradd and its like soon give up when another has locked the files."""
    with _LOCK.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class SharedAccounts:
    """Accounts without a home, made by the first who wants them and removed by the last who used any."""

    def __init__(self, names: Sequence[str], groups: Sequence[str] = ()) -> None:
        self._used = _MADE.open("a+")
        with changing_accounts():
            fcntl.flock(self._used, fcntl.LOCK_SH)
            for group in groups:
                subprocess.run(["groupadd", "-f", group], check=True)
            there = {each.pw_name for each in pwd.getpwall()}
            for name in names:
                if name not in there:
                    print(name, file=self._used, flush=True)
                    subprocess.run(["useradd", "-M", "-s", "/usr/sbin/nologin", name], check=True, capture_output=True)

    def close(self) -> None:
        """Use them no more."""
        with changing_accounts(), self._used, contextlib.suppress(BlockingIOError):
            fcntl.flock(self._used, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._used.seek(0)
            for name in self._used.read().split():
                subprocess.run(["userdel", name], check=False, capture_output=True)
            self._used.truncate(0)
