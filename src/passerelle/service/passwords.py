"""Passwords of local accounts: what one must be, and how it is kept (argon2id, RFC 9106, second recommended choice)."""

from __future__ import annotations

import secrets
import threading
import unicodedata
from collections.abc import Sequence

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from zxcvbn import zxcvbn

from passerelle.core.errors import BadInput

SHORTEST, LONGEST = 12, 256
_GUESSED = 3  # zxcvbn: 2 is guessed within 10^8 tries, 3 withstands offline guessing with a slow hash
_ZXCVBN_LONGEST = 72
_READABLE = "abcdefghjkmnpqrstuvwxyz23456789"


class Passwords:
    """Hashes and checks; at most two at a time, since each takes 64 MiB."""

    def __init__(self, *, memory_kib: int = 64 << 10, rounds: int = 3) -> None:
        self._hasher = PasswordHasher(time_cost=rounds, memory_cost=memory_kib, parallelism=4)
        self._turn = threading.BoundedSemaphore(2)
        self._nobodys = self._hasher.hash(secrets.token_urlsafe(16))

    def hash(self, password: str) -> str:
        """Return the argon2id hash of a password, with its salt and costs."""
        with self._turn:
            return self._hasher.hash(_same(password))

    def check(self, password_hash: str | None, password: str) -> bool:
        """Say whether a password is the one that was hashed. Without a hash it takes as long, and says no."""
        if len(password) > 4 * LONGEST:
            return False
        with self._turn:
            try:
                right = self._hasher.verify(password_hash or self._nobodys, _same(password))
            except (VerificationError, InvalidHashError):
                return False
        return right and password_hash is not None

    def outdated(self, password_hash: str) -> bool:
        """Say whether a hash was made with other costs than are used now."""
        return self._hasher.check_needs_rehash(password_hash)


def check_password(password: str, *, known: Sequence[str] = ()) -> None:
    """Pass if a password may be used. known: what an attacker would try first: names of the person and the facility.

    Any characters are taken; there is no rule on kinds of characters, and no end to a password's life (NIST SP 800-63B, 5.1.1).

    Raises:
        BadInput: it is too short, too long or easily guessed; says why.
    """
    if len(password) < SHORTEST:
        raise BadInput(f"The password has {len(password)} characters, and needs {SHORTEST}.", advice="Take a few words.")
    if len(password) > LONGEST:
        raise BadInput(f"The password has more than {LONGEST} characters.", advice="Take a shorter one.")
    found = zxcvbn(password[:_ZXCVBN_LONGEST], user_inputs=[word for word in known if word])
    if found["score"] < _GUESSED:
        words = " ".join(filter(None, [found["feedback"]["warning"], *found["feedback"]["suggestions"]]))
        raise BadInput(f"The password is easily guessed. {words}".strip(), advice="Take a few words that do not belong together.")


def first_password() -> str:
    """Return a random password for somebody to be told: 79 bits, in groups, without letters that are read as others."""
    return "-".join("".join(secrets.choice(_READABLE) for _ in range(4)) for _ in range(4))


def _same(password: str) -> str:
    """The same password typed on two keyboards may come as different characters (é as one or as two)."""
    return unicodedata.normalize("NFC", password)
