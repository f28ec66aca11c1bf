"""A copy of the audit log elsewhere: each line goes to a syslog server (RFC 5424), in its order, until it was taken.

It follows the table, so that what commands write on the machine goes, too; how far it is stands in a file of the state. Each line
carries its number and its digest of all before it: who replaces the database cannot replace what was sent.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import threading
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from passerelle.core.atomic import write_text
from passerelle.core.errors import PasserelleError, StorageError, storage_errors
from passerelle.core.log import logger
from passerelle.store import Database, audit

_LOOK_SECONDS = 2.0
_AGAIN_SECONDS = 15.0
_ANSWER_SECONDS = 10.0
_BATCH = 500
_FACILITY = 13  # log audit
_NOTICE, _WARNING = 5, 4


class AuditSender:
    """Sends what is new to a server. target: tcp://HOST:PORT, udp://HOST:PORT or unix:PATH; sent: the file that says how far."""

    def __init__(self, database: Database, target: str, sent: Path) -> None:
        self._database, self._target, self._sent = database, urlsplit(target), sent
        self._socket: socket.socket | None = None
        self._failing = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """End; what is new is sent at the next start."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(_ANSWER_SECONDS)
        self._close()

    def step(self) -> int:
        """Send what was not sent yet; return how many lines that were.

        Raises:
            StorageError: the server does not take them; call again. Busy: the database does not answer.
        """
        count, last = 0, self._last()
        while True:
            with self._database.read() as connection:
                entries = audit.after(connection, last, limit=_BATCH)
            if not entries:
                return count
            try:
                connected = self._connected()
                for entry in entries:
                    self._send(connected, entry)
            except OSError as error:
                self._close()
                raise StorageError(f"takes no lines of the audit log: {error.strerror or error}.", path=self._name) from error
            last = entries[-1].id
            count += len(entries)
            write_text(self._sent, f"{last} {entries[-1].chain}")

    @property
    def _name(self) -> str:
        return self._target.geturl()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.step()
            except PasserelleError as error:
                if not self._failing:
                    logger.warning("audit_not_sent", error=str(error))
                self._failing = True
                self._stop.wait(_AGAIN_SECONDS)
                continue
            self._failing = False
            self._stop.wait(_LOOK_SECONDS)

    def _last(self) -> int:
        with storage_errors(self._sent):
            words = self._sent.read_text() if self._sent.exists() else ""
        number, _, chain = words.partition(" ")
        if not number.isdecimal():
            return 0
        with self._database.read() as connection:
            found = audit.after(connection, int(number) - 1, limit=1)
        if found and (str(found[0].id), found[0].chain) == (number, chain):
            return int(number)
        logger.error("audit_log_is_another", line=number)  # than the one that was sent: all of it is sent, to be compared
        return 0

    def _connected(self) -> socket.socket:
        if self._socket is not None and self._stream and _hung_up(self._socket):
            self._close()
        if self._socket is None:
            target = self._target
            if target.scheme == "unix":
                made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                made.settimeout(_ANSWER_SECONDS)
                made.connect(target.path)
            elif target.scheme == "tcp":
                made = socket.create_connection((target.hostname, target.port), _ANSWER_SECONDS)
            else:
                family, kind, protocol, _, address = socket.getaddrinfo(target.hostname, target.port, type=socket.SOCK_DGRAM)[0]
                made = socket.socket(family, kind, protocol)
                made.connect(address)
            self._socket = made
        return self._socket

    @property
    def _stream(self) -> bool:
        return self._target.scheme == "tcp"

    def _send(self, connected: socket.socket, entry: audit.Entry) -> None:
        if self._stream:
            line = syslog_line(entry)
            connected.sendall(b"%d %s" % (len(line), line))  # RFC 6587, octet counting
            return
        try:
            connected.send(syslog_line(entry))
        except OSError as error:
            if error.errno != errno.EMSGSIZE:
                raise
            connected.send(syslog_line(entry, whole=False))

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def syslog_line(entry: audit.Entry, *, whole: bool = True) -> bytes:
    """Return a line of the audit log as a message of RFC 5424. whole: with its data, which may be too long for a datagram."""
    level = _NOTICE if entry.result == "done" else _WARNING
    at = datetime.fromtimestamp(entry.at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    fields: dict[str, Any] = asdict(entry)
    if not whole:
        fields["data"] = "left out: too long"
    host = "".join(c if "!" <= c <= "~" else "_" for c in socket.gethostname())[:255] or "-"
    head = f"<{_FACILITY * 8 + level}>1 {at} {host} passerelle {os.getpid()} audit - "
    return (head + json.dumps(fields, ensure_ascii=True)).encode("ascii")


def _hung_up(connected: socket.socket) -> bool:
    """Tell whether the server has closed the connection: what is written into it then is lost without an error."""
    try:
        return connected.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
