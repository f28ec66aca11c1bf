"""Ports of 127.0.0.1 for servers that must be told one."""

from __future__ import annotations

import socket


def kept_port() -> tuple[socket.socket, int]:
    """Return a port, and the socket that keeps it from everybody until that is closed.

    Nobody listens there but a server that sets SO_REUSEADDR, as servers do; the kernel gives the port to no other test. Who
    connects before is refused.
    """
    keeper = socket.socket()
    keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    keeper.bind(("127.0.0.1", 0))
    return keeper, keeper.getsockname()[1]
