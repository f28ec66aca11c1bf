"""Root's hand for a service that is not root: it lets a courier write as the owner of a zone, and does nothing else.

It listens at a socket of this machine. One connection is one transfer:

    in    {"version": …, "source": [folder, path], "target": [folder, path]}     one line; `hand_rules` says what may stand there
          all that follows is the courier's: an order and words, see `courier`
    out   what the courier says, and at last
          {"exit": code, "words": the end of what it complained}

Each connection has a process of its own. That reads the one line, looks whose the zone is, and starts the courier, which becomes
that account before it reads anything that the service wrote. When the service leaves, the courier is killed; when the hand dies,
both are. A request of the version alone is answered with what the hand is and what it allows.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

from passerelle import __version__
from passerelle.core.errors import BadConfiguration, BadInput, Busy, NotAllowed, PasserelleError, storage_errors
from passerelle.core.log import configure_log, logger
from passerelle.transfer import kernel
from passerelle.transfer.courier import HAND_COMMAND, Errand
from passerelle.transfer.hand_rules import HandRules, account_of, ends_of, keep_closed, read_rules, request_of, user_of
from passerelle.transfer.outcome import problem_of

MOST_ASKED = 64 << 10  # bytes of a request
_ASK_SECONDS = 5.0
_ANSWER_SECONDS = 5.0
_MOST_WORDS = 4000
_RESTART = "sudo systemctl restart passerelle-hand"
_SURROUNDINGS = {  # of the courier; nothing of ours is passed on
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "PYTHONNOUSERSITE": "1",
    "PYTHONSAFEPATH": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
}


def run() -> NoReturn:
    """Be the hand; what `passerelle hand` becomes. Argument: the file of rules."""
    try:
        main(Path(sys.argv[1]))
    except PasserelleError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)


def main(path: Path) -> NoReturn:
    """Serve by the rules of a file, until killed.

    Raises:
        BadConfiguration, NotFound: as `read_rules`. NotAllowed: this is not root. Busy: another hand listens there.
    """
    configure_log(as_json=True)
    if os.geteuid() != 0:
        raise NotAllowed("The hand is root's.", advice="sudo systemctl start passerelle-hand")
    os.umask(0o022)
    os.chdir("/")
    rules = read_rules(path)
    service = user_of(rules.service, path)
    with listen(rules) as listener:
        logger.info("hand_listens", socket=str(rules.socket), service=rules.service, version=__version__)
        _serve(listener, rules, service)


def listen(rules: HandRules) -> socket.socket:
    """Listen where the service's group can reach it, in a folder that only root changes.

    Raises:
        BadConfiguration: others can change that folder, or something else has that name. Busy: another hand listens there.
    """
    keep_closed(rules.socket.parent)
    with storage_errors(rules.socket):
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
            if other.connect_ex(str(rules.socket)) == 0:
                raise Busy("Another hand listens there.", path=rules.socket)
        if rules.socket.exists() and not rules.socket.is_socket():
            raise BadConfiguration("is there, and is no socket.", advice="Choose another place for `socket`.", path=rules.socket)
        rules.socket.unlink(missing_ok=True)
        group = pwd.getpwnam(rules.service).pw_gid
        before, mask = os.getegid(), os.umask(0o117)
        os.setegid(group)  # so that the socket is that group's; to give it away would need one more capability
        try:
            listener.bind(str(rules.socket))
        finally:
            os.setegid(before)
            os.umask(mask)
        listener.listen(64)
        return listener


def _serve(listener: socket.socket, rules: HandRules, service: int) -> NoReturn:
    attending: set[int] = set()
    ours = os.getpid()
    while True:
        try:
            connection, _ = listener.accept()
        except OSError as error:  # of that connection, or for want of descriptors
            logger.warning("hand_accepts_nothing", error=str(error))
            time.sleep(0.1)
            continue
        with connection:
            attending = {each for each in attending if os.waitpid(each, os.WNOHANG)[0] == 0}
            user = _peer(connection)
            if user not in (0, service):
                logger.warning("hand_refuses", user=user)
                _refuse(connection, NotAllowed("The hand does not listen to this account.", advice="See `service` in hand.toml."))
            elif len(attending) >= rules.at_a_time:
                _refuse(connection, Busy("As many transfers run as the hand may start.", advice="This one waits for its turn."))
            elif (child := _fork(connection)) == 0:
                listener.close()
                _attend(connection, rules, service, ours)
            elif child is not None:
                attending.add(child)


def _fork(connection: socket.socket) -> int | None:
    """Fork; None where that cannot be now."""
    try:
        return os.fork()
    except OSError as error:
        _refuse(connection, Busy(f"The hand can start no process: {error.strerror}."))
        return None


def _peer(connection: socket.socket) -> int:
    """Return the account of who is at the other end, as the kernel says it."""
    said = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return struct.unpack("3i", said)[1]


# -- one connection, in a process of its own


def _attend(connection: socket.socket, rules: HandRules, service: int, parent: int) -> NoReturn:
    """Do what is asked over a connection, and end."""
    code = 1
    try:
        kernel.die_with_parent(parent)
        try:
            _do(connection, rules, service)
        except PasserelleError as error:
            logger.warning("hand_refuses", error=str(error))
            _refuse(connection, error)
        code = 0
    finally:
        sys.stderr.flush()
        os._exit(code)


def _do(connection: socket.socket, rules: HandRules, service: int) -> None:
    request = request_of(_line(connection))
    if request.source is None and request.target is None:
        places: dict[str, Any] = {"zones": [str(each) for each in rules.zones], "sources": [str(each) for each in rules.sources]}
        _say(connection, {"version": __version__, **places})
        return
    if request.version != __version__:
        raise Busy(f"The hand is passerelle {__version__}, and the service another.", advice=f"Start it again: {_RESTART}")
    ends = ends_of(request, rules)
    account = account_of(Path(ends.target[0]), rules, service)
    logger.info("hand_brings", zone=ends.target[0], path=ends.target[1], source="/".join(ends.source), account=account.name)
    code, words = _carry(connection, Errand(ends.source, ends.target, account, os.getpid()))
    logger.info("hand_has_brought", zone=ends.target[0], path=ends.target[1], code=code)
    _say(connection, {"exit": code, "words": words.decode(errors="backslashreplace")})


def _line(connection: socket.socket) -> bytes:
    """Return the first line, and leave what follows to the courier.

    Raises:
        BadInput: it is too long, or does not come in time.
    """
    deadline = time.monotonic() + _ASK_SECONDS
    line = bytearray()
    while not line.endswith(b"\n"):
        if len(line) >= MOST_ASKED:
            raise BadInput(f"The hand was asked for something longer than {MOST_ASKED} bytes.")
        if (left := deadline - time.monotonic()) <= 0:
            raise BadInput("The hand was not told in time what to do.")
        connection.settimeout(left)
        try:
            byte = connection.recv(1)
        except TimeoutError:
            continue
        except OSError as error:
            raise BadInput(f"Who asked the hand has left: {error.strerror}.") from error
        if not byte:
            raise BadInput("Who asked the hand has left.")
        line += byte
    connection.setblocking(True)
    return bytes(line)


def _carry(connection: socket.socket, errand: Errand) -> tuple[int, bytes]:
    """Have a courier do an errand, killed when the service leaves; return how it ended, and its last words."""
    told = os.memfd_create("errand")
    os.write(told, errand.line().encode("ascii"))
    os.lseek(told, 0, os.SEEK_SET)
    ours, theirs = os.pipe()
    try:
        courier = subprocess.Popen(
            [sys.executable, *HAND_COMMAND, str(told)],
            stdin=connection.fileno(),
            stdout=connection.fileno(),
            stderr=theirs,
            pass_fds=(told,),
            env=_SURROUNDINGS,
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        raise Busy(f"The hand can start no process: {error.strerror}.") from error
    os.close(theirs)
    os.close(told)
    words = _watch(connection, courier.pid, ours)
    with contextlib.suppress(ProcessLookupError):  # before it is waited for: until then its number is nobody else's
        os.killpg(courier.pid, signal.SIGKILL)
    return courier.wait(), words


def _watch(connection: socket.socket, courier: int, complaints: int) -> bytes:
    """Wait until the courier has ended, or the service has left; return the end of what the courier complained."""
    poll = select.poll()
    ended = os.pidfd_open(courier)
    poll.register(ended, select.POLLIN)
    poll.register(connection, select.POLLRDHUP)
    poll.register(complaints, select.POLLIN)
    words = b""
    while True:
        ready = {descriptor for descriptor, _ in poll.poll()}
        piece = b""
        if complaints in ready:
            piece = os.read(complaints, 65536)
            words = (words + piece)[-_MOST_WORDS:]
            if not piece:
                poll.unregister(complaints)
        if connection.fileno() in ready or (ended in ready and not piece):
            return words


def _refuse(connection: socket.socket, error: PasserelleError) -> None:
    _, kind, message, advice = problem_of("", error)
    _say(connection, {"error": [kind, message, advice]})
    _say(connection, {"exit": 1, "words": ""})


def _say(connection: socket.socket, value: dict[str, Any]) -> None:
    """Say something, on a line of its own, even if a courier died in the middle of one."""
    with contextlib.suppress(OSError):  # TimeoutError as well: nobody listens
        connection.settimeout(_ANSWER_SECONDS)
        connection.sendall(b"\n" + json.dumps(value).encode("ascii") + b"\n")
