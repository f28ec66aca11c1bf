"""The audit log is sent to a syslog server: every line, in its order, until it was taken. The servers are real sockets."""

from __future__ import annotations

import json
import re
import select
import socket
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from passerelle.core.errors import StorageError
from passerelle.service.audit_sender import AuditSender
from passerelle.service.settings_people import AuditSettings
from passerelle.store import Database, audit
from passerelle.testing.ports import kept_port

HEAD = re.compile(rb"<(\d+)>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \S+ passerelle \d+ audit - (\{.*\})", re.S)


def act(database: Database, words: str, result: str = "done", **data: Any) -> None:
    with database.write() as connection:
        audit.add(connection, at=1.5, person="ann", through="page", act="log_in", result=result, words=words, data=data)


def read(message: bytes) -> tuple[int, dict[str, Any]]:
    found = HEAD.fullmatch(message)
    assert found is not None, message
    return int(found[1]), json.loads(found[2])


def taken(stream: socket.socket, count: int) -> list[tuple[int, dict[str, Any]]]:
    with stream.makefile("rb") as file:
        found = []
        for _ in range(count):
            length = b""
            while (digit := file.read(1)) != b" ":
                length += digit
            found.append(read(file.read(int(length))))
        return found


def test_each_line_is_sent_once_in_its_order_by_tcp_and_again_after_the_server_was_away(
    database: Database, tmp_path: Path
) -> None:
    act(database, "first\nline é \ud800")
    act(database, "second", "refused")
    keeper, port = kept_port()
    with socket.create_server(("127.0.0.1", port)) as server:
        sender = AuditSender(database, f"tcp://127.0.0.1:{port}", tmp_path / "sent")
        assert sender.step() == 2
        connection, _ = server.accept()
        with connection:
            (notice, first), (warning, second) = taken(connection, 2)
            assert (notice, warning) == (13 * 8 + 5, 13 * 8 + 4)
            assert (first["id"], second["id"], second["words"], len(second["chain"])) == (1, 2, "second", 64)
            assert sender.step() == 0
    assert select.select([sender._socket], [], [], 60)[0]  # what the server has done may come a moment later
    act(database, "third")
    with pytest.raises(StorageError):  # it has hung up, and nobody listens
        sender.step()
    with socket.create_server(("127.0.0.1", port)) as server:
        assert sender.step() == 1
        connection, _ = server.accept()
        with connection:
            assert taken(connection, 1)[0][1]["words"] == "third"
    sender.stop()
    keeper.close()


def test_what_is_too_long_for_a_datagram_goes_without_its_data(database: Database, tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(30)
        sender = AuditSender(database, f"udp://127.0.0.1:{server.getsockname()[1]}", tmp_path / "sent")
        act(database, "long", data="x" * 100_000)
        assert sender.step() == 1
        assert read(server.recv(1 << 17))[1]["data"] == "left out: too long"
        sender.stop()


def test_another_start_goes_on_and_another_log_is_sent_whole(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "log"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(path))
        server.settimeout(30)
        act(database, "first")
        for lines in (1, 0):
            sender = AuditSender(database, f"unix:{path}", tmp_path / "sent")
            assert sender.step() == lines
            sender.stop()
        assert read(server.recv(1 << 17))[1]["words"] == "first"
        (tmp_path / "sent").write_text(f"1 {'0' * 64}")  # what was sent is not what is there now
        sender = AuditSender(database, f"unix:{path}", tmp_path / "sent")
        assert sender.step() == 1
        sender.stop()


def test_the_thread_sends_what_comes(database: Database, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(tmp_path / "log"))
        server.settimeout(30)
        sender = AuditSender(database, f"unix:{tmp_path / 'log'}", tmp_path / "sent")
        act(database, "first")
        sender.start()
        assert read(server.recv(1 << 17))[1]["words"] == "first"
        sender.stop()


@pytest.mark.parametrize("target", ["", "unix:/dev/log", "tcp://logs.example:6514", "udp://[::1]:514"])
def test_a_server_is_named_by_its_socket_or_host_and_port(target: str) -> None:
    assert AuditSettings(syslog=target).syslog == target


@pytest.mark.parametrize("target", ["logs", "tcp://logs", "http://logs:514", "unix:log", "tcp://a b:1"])
def test_anything_else_is_refused(target: str) -> None:
    with pytest.raises(ValidationError):
        AuditSettings(syslog=target)
