"""A process that brings one dataset to its zone, as the zone's owner: an order in, progress out, one JSON object a line.

    in    {"source": […], "target": […], "account": …, …}     once; see `Order`
          {"word": "stop"}       end as soon as can be; what is verified stays
          {"word": "close"}      nothing more comes to the source: copy the rest and end
    out   {"progress": {…}, "latest": [[path, bytes], …], "problems": [[path, error, message, advice], …]}
          {"ended": {…}}   or   {"error": [kind, message, advice]}

It ends when its input does, and dies with the service: what it has verified is in the journal of the target, and the next one
goes on from there. Where root's hand has started it (`hand`), the hand has decided who writes and between which ends; what the
order says of that does not count.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from passerelle.core.errors import NotFound, PasserelleError, storage_errors
from passerelle.transfer import kernel
from passerelle.transfer.attributes import Keep
from passerelle.transfer.become import Account, become
from passerelle.transfer.dataset import Copied, copy_dataset
from passerelle.transfer.ends import Within
from passerelle.transfer.follow import follow_dataset
from passerelle.transfer.outcome import Outcome, Problem, problem_of
from passerelle.transfer.progress import Control, Progress
from passerelle.transfer.selection import Selection

COMMAND = (
    "-P",
    "-s",
    "-c",
    "from passerelle.transfer.courier import main; main()",
)  # nothing of the folder it starts in is loaded
HAND_COMMAND = (*COMMAND[:-1], "from passerelle.transfer.courier import main_of_hand; main_of_hand()")
MOST_TOLD = 100  # problems and notes that are told in words; all are counted
_LATEST = 12
_TELL_SECONDS = 0.5
_LOOK_SECONDS = 1.0
_OF_A_ZONE = Keep(owner=False, mode=False, extended=False)  # what lies in a zone has the zone's rights, not the gateway's


class Order(NamedTuple):
    """What is to be brought. source, target: root, and path beneath it. account: who writes; None: whoever runs this.

    leg: its name in the manifest. left_out: paths of the source that are not wanted, and `selection` says what is left, in words.
    follow: until the word "close" comes, or nothing new has come for `quiet_seconds` where that is not 0.
    """

    source: tuple[str, str]
    target: tuple[str, str]
    leg: str
    account: Account | None = None
    selection: str = ""
    left_out: tuple[str, ...] = ()
    follow: bool = False
    quiet_seconds: float = 0.0
    processes: int | None = None

    def line(self) -> str:
        """Return the order as the process reads it."""
        return json.dumps(self)

    @staticmethod
    def of(line: str | bytes) -> Order:
        """Read an order."""
        source, target, leg, account, selection, left_out, *rest = json.loads(line)
        name, user, group, groups = account or ("", 0, 0, ())
        who = Account(name, user, group, tuple(groups)) if account else None
        return Order(tuple(source), tuple(target), leg, who, selection, tuple(left_out), *rest)


class Errand(NamedTuple):
    """What root's hand has decided: between which ends, as whom. parent: the process that the courier dies with."""

    source: tuple[str, str]
    target: tuple[str, str]
    account: Account
    parent: int

    def line(self) -> str:
        """Return the errand as the process reads it."""
        return json.dumps(self)

    @staticmethod
    def of(line: str | bytes) -> Errand:
        """Read an errand."""
        source, target, (name, user, group, groups), parent = json.loads(line)
        return Errand(tuple(source), tuple(target), Account(name, user, group, tuple(groups)), parent)


def main() -> None:
    """Bring what standard input orders."""
    parent = os.getppid()
    order = Order.of(sys.stdin.buffer.readline())
    _do(order.account, parent, lambda: order)


def main_of_hand() -> None:
    """Bring what standard input orders, between the ends and as the account of an errand. Argument: the errand's descriptor.

    Nothing of the service is read before root is given up.
    """
    with open(int(sys.argv[1]), "rb") as stream:  # noqa: PTH123 - a descriptor
        errand = Errand.of(stream.read())

    def order() -> Order:
        ordered = Order.of(sys.stdin.buffer.readline())
        processes = min(ordered.processes or 1, os.cpu_count() or 1)
        return ordered._replace(source=errand.source, target=errand.target, account=errand.account, processes=processes)

    _do(errand.account, errand.parent, order)


def _do(account: Account | None, parent: int, order: Callable[[], Order]) -> NoReturn:
    say = _Said()
    try:
        if account is not None:
            become(account)
        kernel.die_with_parent(parent)  # after the change of account, which would undo it
        say.ended(_bring(order(), say))
    except PasserelleError as error:
        say.error(error)
    os._exit(0)  # Python would abort: the thread that listens holds standard input


def _bring(order: Order, say: _Said) -> Copied:
    control, closed, wake = Control(), threading.Event(), threading.Event()

    def stop() -> None:
        control.cancel()
        wake.set()

    def close() -> None:
        closed.set()
        wake.set()

    threading.Thread(target=_listen, args=({"stop": stop, "close": close},), name="words", daemon=True).start()
    lost: list[PasserelleError] = []

    def lose(error: PasserelleError) -> None:
        lost.append(error)
        stop()

    threading.Thread(target=_watch_root, args=(Path(order.target[0]), lose), name="root", daemon=True).start()
    done = _copy(order, say, control, closed, wake)
    if lost:
        raise lost[0]
    return done


def _copy(order: Order, say: _Said, control: Control, closed: threading.Event, wake: threading.Event) -> Copied:
    source, target = (Within(Path(root), path) for root, path in (order.source, order.target))
    common: dict[str, Any] = {"leg": order.leg, "keep": _OF_A_ZONE, "control": control, "told": say.progress, "came": say.came}
    common["processes"] = order.processes
    if order.follow:
        return follow_dataset(
            source, target, closed=lambda: closed.is_set() or say.quiet_for(order.quiet_seconds), wake=wake, **common
        )
    left_out = frozenset(order.left_out)
    selection = Selection(order.selection, lambda path: path not in left_out) if order.selection else None
    return copy_dataset(source, target, selection=selection, **common)


def _watch_root(root: Path, lose: Callable[[PasserelleError], None]) -> None:
    """End the copy when the zone's folder is no more the one that it was: what we have open would be written to all the same."""
    first: tuple[int, int] | None = None
    while True:
        try:
            with storage_errors(root):
                status = root.stat()
        except PasserelleError as error:
            return lose(error)
        if first not in (None, (status.st_dev, status.st_ino)):
            advice = "Was its disk unmounted, or the folder moved? What was verified is in the former one."
            return lose(NotFound("is another folder than it was.", advice=advice, path=root))
        first = (status.st_dev, status.st_ino)
        time.sleep(_LOOK_SECONDS)


def _listen(words: dict[str, Callable[[], None]]) -> None:
    with contextlib.suppress(ConnectionError):
        for line in sys.stdin.buffer:
            words[json.loads(line)["word"]]()
    words["stop"]()  # nobody is there any more


class _Said:
    """Writes lines to standard output, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._latest: list[tuple[str, int]] = []
        self._problems: list[Problem] = []
        self._told = 0
        self._said_at = self._new_at = time.monotonic()

    def came(self, outcomes: list[Outcome]) -> None:
        """Take what became of files; told with the next progress."""
        with self._lock:
            self._new_at = time.monotonic()
            self._latest = [*self._latest, *((each.path, each.bytes) for each in outcomes if each.row)][-_LATEST:]
            new = [each.problem for each in outcomes if each.problem is not None][: MOST_TOLD - self._told]
            self._problems += new
            self._told += len(new)

    def quiet_for(self, seconds: float) -> bool:
        """Tell whether nothing has come for so long; never for 0."""
        return bool(seconds) and time.monotonic() - self._new_at > seconds

    def progress(self, now: Progress) -> None:
        """Say how far it is, twice a second at most."""
        with self._lock:
            if time.monotonic() - self._said_at < _TELL_SECONDS:
                return
            self._said_at = time.monotonic()
            latest, self._latest = self._latest, []
            problems, self._problems = self._problems, []
            self._line({"progress": asdict(now), "latest": latest, "problems": problems})

    def ended(self, done: Copied) -> None:
        """Say what it has come to."""
        report = asdict(done) | {"problems": done.problems[:MOST_TOLD], "notes": done.notes[:MOST_TOLD]}
        with self._lock:
            self._line({"ended": report})

    def error(self, error: PasserelleError) -> None:
        """Say why nothing could be brought."""
        _, kind, message, advice = problem_of("", error)
        with self._lock:
            self._line({"error": [kind, message, advice]})

    def _line(self, value: dict[str, Any]) -> None:
        content = json.dumps(value).encode("ascii") + b"\n"
        try:
            while content:
                content = content[os.write(1, content) :]
        except ConnectionError:  # the service is gone, and this process with it in a moment
            return
