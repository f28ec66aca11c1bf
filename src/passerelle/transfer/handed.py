"""A courier that root's hand has started, seen from the service: lines in, lines out, as with a process of its own."""

from __future__ import annotations

import contextlib
import io
import json
import socket
import threading
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from passerelle import __version__
from passerelle.core.errors import Busy, NotAllowed, PasserelleError, StorageError
from passerelle.programs import last_words
from passerelle.transfer.courier import Order
from passerelle.transfer.outcome import Problem, problem_of

START = "sudo systemctl start passerelle-hand"
_ASK_SECONDS = 5.0
_END_SECONDS = 10.0


class Handed:
    """A courier of the hand. One thread speaks; what the courier says is kept until it is asked for. `close` ends it.

    order: its account does not count, the hand knows better.
    """

    def __init__(self, hand: Path, order: Order) -> None:
        """Ask the hand at a socket for a courier.

        Raises:
            Busy: no hand is there. NotAllowed: it is not for this account. StorageError: there are no descriptors left.
        """
        self._connection = _connect(hand)
        self._hand = hand
        self._lines: SimpleQueue[str] = SimpleQueue()
        self._to_say: SimpleQueue[bytes] = SimpleQueue()
        self._code: int | None = None
        self._words = ""
        self._to_say.put(_line({"version": __version__, "source": order.source, "target": order.target}))
        self.say(order.line())
        self._speaker = threading.Thread(target=self._speak, name="hand-says", daemon=True)
        self._hearer = threading.Thread(target=self._hear, name="hand-heard", daemon=True)
        self._speaker.start()
        self._hearer.start()

    def say(self, line: str) -> None:
        """Send the courier a line; one that has ended does not hear it."""
        self._to_say.put(line.encode(errors="surrogateescape") + b"\n")

    def heard(self) -> list[str]:
        """Return what was said since it was asked last, line by line."""
        lines: list[str] = []
        with contextlib.suppress(Empty):
            while True:
                lines.append(self._lines.get_nowait())
        return lines

    def code(self) -> int | None:
        """Return how the courier ended (negative: the signal), once all that it said can be heard; None while it runs."""
        return None if self._hearer.is_alive() else self._code

    def last_words(self) -> str:
        """Return the line of what it complained that tells best what went wrong."""
        return last_words(io.BytesIO(self._words.encode()))

    def close(self) -> None:
        """End the courier, if it has not ended, and wait until it has."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_WR)  # the hand kills it, and says so
        self._hearer.join(_END_SECONDS)
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._to_say.put(b"")
        self._speaker.join()
        self._hearer.join()
        self._connection.close()

    def _speak(self) -> None:
        """Send in a thread: a courier that is about to start does not read yet, and an order may be long."""
        with contextlib.suppress(OSError):
            while piece := self._to_say.get():
                self._connection.sendall(piece)

    def _hear(self) -> None:
        try:
            with contextlib.suppress(ConnectionError), self._connection.makefile("rb") as stream:
                for line in stream:
                    self._take(line)
        finally:
            if self._code is None:
                gone = Busy(f"The hand that writes for others, at {self._hand}, has gone away.", advice=f"Start it: {START}")
                self._lines.put(json.dumps({"error": _told(gone)}))
                self._code = 1

    def _take(self, line: bytes) -> None:
        """Keep a whole line of the courier's; the hand's own last one tells how that ended."""
        try:
            said = json.loads(line)
        except ValueError:  # empty, or what a courier that was killed had begun
            return
        if "exit" in said:
            self._code, self._words = said["exit"], said["words"]
        else:
            self._lines.put(line.decode())


class Hand(NamedTuple):
    """What a hand says of itself: its version, in which folders it takes zones to lie, and beneath which ones it copies from."""

    version: str
    zones: tuple[Path, ...]
    sources: tuple[Path, ...]


def ask(hand: Path) -> Hand:
    """Ask the hand at a socket what it is.

    Raises:
        Busy: no hand is there, it does not answer, or it does as much as it may. NotAllowed: it does not listen to this account.
    """
    with _connect(hand) as connection:
        connection.settimeout(_ASK_SECONDS)
        try:
            with contextlib.suppress(BrokenPipeError):  # it has answered, and left
                connection.sendall(_line({"version": __version__}))
            with connection.makefile("rb") as stream:
                line = next((line for line in stream if line.strip()), b"")
        except OSError as error:
            raise Busy("The hand does not answer.", advice=f"Start it again: {START}", path=hand) from error
    said: dict[str, Any] = json.loads(line) if line else {}
    if "error" in said:
        raise Problem("", *said["error"]).error
    if not said:
        raise Busy("The hand does not answer.", advice=f"Start it again: {START}", path=hand)
    return Hand(said["version"], tuple(map(Path, said["zones"])), tuple(map(Path, said["sources"])))


def _connect(hand: Path) -> socket.socket:
    connection: socket.socket | None = None
    try:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.setblocking(False)  # a hand that accepts nothing any more must not hold us
        connection.connect(str(hand))
        connection.setblocking(True)
        return connection
    except OSError as error:
        if connection is not None:
            connection.close()
        raise _missing(hand, error) from error


def _missing(hand: Path, error: OSError) -> PasserelleError:
    if isinstance(error, PermissionError):
        advice = "Is the service run as the account that `service` in hand.toml names?"
        return NotAllowed("The hand that writes for others does not listen to this account.", advice=advice, path=hand)
    if isinstance(error, FileNotFoundError | ConnectionRefusedError | BlockingIOError):
        return Busy("The hand that writes for others is not there.", advice=f"Start it: {START}", path=hand)
    return StorageError(f"The hand cannot be asked: {error.strerror or error}.", path=hand)


def _told(error: PasserelleError) -> list[str]:
    _, kind, message, advice = problem_of("", error)
    return [kind, message, advice]


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode("ascii") + b"\n"
