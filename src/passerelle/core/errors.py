"""Every error that passerelle raises on purpose, in one tree.

    PasserelleError                 exit  1  HTTP 500
    ├── BadInput                          2       400   what we were given is wrong; the same call fails again
    │   ├── BadConfiguration             78       400   a key or value of the configuration
    │   ├── BadFile                      65       422   a file is not what its name or header says
    │   │   ├── IncompleteFile           75       409   it may still be written: try again when it has grown
    │   │   └── UnsupportedFile          65       415   whole, but of a kind that we do not read
    │   └── Conflict                     65       409   two sources contradict each other
    ├── NotFound                         66       404   no such session, movie, file
    ├── NotAllowed                       77       403   the person may not do this
    │   └── NotLoggedIn                  77       401   nobody is logged in, or name or password is wrong
    ├── IllegalMove                      70       409   a state machine was asked for a forbidden move
    ├── Busy                             75       503   locked or overloaded: try again later
    │   └── TooManyTries                 75       429   log-ins failed too often: wait
    ├── ProgramFailed                    69       502   an external program ended with an error
    └── StorageError                     74       507   the disk is full, or input/output failed
        ├── OutOfSpace                   74       507
        └── Unreachable                  74       507   the disk or share is away: unmounted, or its server does not answer

An error knows whether to try again (`retry`), its exit code, its HTTP status, and what the person should do (`advice`).
Errors of libraries and of the operating system are mapped to these at the edge where they enter.
"""

from __future__ import annotations

import errno
import os
from enum import Enum
from pathlib import PurePath
from types import TracebackType


class Retry(Enum):
    """Whether the same call may succeed when it is made again."""

    NEVER = "never"
    LATER = "later"
    NOW = "now"


class PasserelleError(Exception):
    """Base of the tree. `str(error)` is a sentence for a person; `advice` says what that person should do."""

    exit_code = 1
    http_status = 500
    retry = Retry.NEVER

    def __init__(self, message: str, *, advice: str = "", path: PurePath | str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice
        self.path = None if path is None else str(path)

    def __str__(self) -> str:
        where = f"{printable(self.path)}: " if self.path else ""
        advice = f" {self.advice}" if self.advice else ""
        return f"{where}{self.message}{advice}"


class BadInput(PasserelleError):
    """What we were given is wrong; the same call would fail again."""

    exit_code = 2
    http_status = 400


class BadConfiguration(BadInput):
    """A key or a value of the configuration is not usable."""

    exit_code = 78


class BadFile(BadInput):
    """A file is not what its name or its header says."""

    exit_code = 65
    http_status = 422


class IncompleteFile(BadFile):
    """A file ends before its header says it should: it may still be written."""

    exit_code = 75
    http_status = 409
    retry = Retry.LATER


class UnsupportedFile(BadFile):
    """A whole file, of a kind or variant that passerelle does not read."""

    http_status = 415


class Conflict(BadInput):
    """Two sources contradict each other."""

    exit_code = 65
    http_status = 409


class NotFound(PasserelleError):
    """There is no such session, movie or file."""

    exit_code = 66
    http_status = 404


class NotAllowed(PasserelleError):
    """The person may not do this."""

    exit_code = 77
    http_status = 403


class NotLoggedIn(NotAllowed):
    """Nobody is logged in, or a name, password or token is not right."""

    http_status = 401


class IllegalMove(PasserelleError):
    """A state machine was asked for a move that its table forbids."""

    exit_code = 70
    http_status = 409


class Busy(PasserelleError):
    """Locked or overloaded; the same call may succeed later."""

    exit_code = 75
    http_status = 503
    retry = Retry.LATER


class TooManyTries(Busy):
    """Log-ins of an account or from an address failed too often; says how long to wait."""

    http_status = 429


class ProgramFailed(PasserelleError):
    """An external program ended with an error; its own words are in the message. A busy GPU may be why: it is tried again."""

    exit_code = 69
    http_status = 502
    retry = Retry.LATER


class StorageError(PasserelleError):
    """Reading or writing a disk failed."""

    exit_code = 74
    http_status = 507
    retry = Retry.LATER


class OutOfSpace(StorageError):
    """There is no room left where something had to be written."""


class Unreachable(StorageError):
    """A disk or share is away: unmounted, or its server does not answer."""


_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_AWAY = {
    errno.ESTALE,
    errno.ENOTCONN,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.ENETDOWN,
    errno.ENETUNREACH,
    errno.ETIMEDOUT,
    errno.ENODEV,
    errno.EREMOTEIO,
}


class _Mapping:
    """Maps what leaves its block. A class, not a generator: a copy of small files enters it ten times a file."""

    __slots__ = ("_path",)

    def __init__(self, path: PurePath | str) -> None:
        self._path = path

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if isinstance(error, OSError):
            raise _mapped(error, self._path) from error


def storage_errors(path: PurePath | str) -> _Mapping:
    """Map the operating system's errors about `path`, raised in a `with` block, to ours.

    Raises:
        NotFound: the file or its folder is gone.
        NotAllowed: the service's account may not open it.
        OutOfSpace: the disk or the quota is full.
        Unreachable: its share was unmounted, or the share's server does not answer.
        StorageError: any other input/output error.
    """
    return _Mapping(path)


def _mapped(error: OSError, path: PurePath | str) -> PasserelleError:
    if isinstance(error, FileNotFoundError):
        return NotFound("is not there (any more).", path=path)
    if isinstance(error, PermissionError):
        advice = "Check owner and mode of the file and its folders."
        return NotAllowed("may not be opened by this account.", advice=advice, path=path)
    if error.errno in _NO_ROOM:
        return OutOfSpace("could not be written: no space left.", advice="Free space, then retry.", path=path)
    reason = os.strerror(error.errno) if error.errno else str(error)
    if error.errno in _AWAY:
        return Unreachable(f"cannot be reached: {reason}.", advice="Is its share mounted, and the server up?", path=path)
    return StorageError(f"input/output failed: {reason}.", path=path)


def printable(text: str | None, limit: int = 300) -> str:
    """Show a hostile name safely: control characters and undecodable bytes as escapes, cut at `limit` characters."""
    if text is None:
        return ""
    shown = "".join(
        c
        if c.isprintable()
        else c.encode("unicode_escape", "surrogateescape").decode("ascii", "replace")
        if not 0xDC80 <= ord(c) <= 0xDCFF
        else f"\\x{ord(c) - 0xDC00:02x}"
        for c in text[: limit + 1]
    )
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"
