"""Requests as bytes, given to the application as uvicorn gives them, without a socket and without a client that mends them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

Headers = tuple[tuple[bytes, bytes], ...]

STREAM_BYTES = 4096  # of a stream that has no end, so much is read
HANG_SECONDS = 60.0  # then the process is no more to be trusted; how slow an answer may be, the rules say


@dataclass(frozen=True, slots=True)
class Request:
    """One request. target: path and query as they stand in the request line; body: in the pieces in which it arrives."""

    method: str
    target: bytes
    headers: Headers = ()
    body: tuple[bytes, ...] = ()
    who: str = "nobody"

    @property
    def path(self) -> str:
        """The path as the application sees it."""
        return unquote(self.target.partition(b"?")[0].decode("ascii"))


@dataclass(slots=True)
class Answer:
    """What came back.

    failure: what the application raised; cpu_seconds: of this process; peak_bytes: of memory, where it was weighed.
    """

    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    whole: bool = False
    failure: BaseException | None = None
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_bytes: int = 0

    def header(self, name: str) -> str:
        """Return the values of a header, joined as HTTP joins them."""
        wanted = name.lower().encode()
        return ", ".join(value.decode("latin-1") for key, value in self.headers if key.lower() == wanted)

    @property
    def is_page(self) -> bool:
        return self.header("content-type").startswith("text/html")


def scope_of(request: Request, peer: str = "192.0.2.9") -> dict[str, Any]:
    """Return the ASGI scope that uvicorn makes of a request."""
    path, _, query = request.target.partition(b"?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "scheme": "http",
        "method": request.method,
        "path": request.path,
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in request.headers],
        "client": (peer, 50_000),
        "server": ("127.0.0.1", 8000),
        "state": {},
    }


async def ask(app: Any, request: Request) -> Answer:
    """Give one request to the application; a stream without end is left after its first bytes, as a browser leaves a page."""
    answer = Answer()
    pieces = list(request.body)
    left = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if pieces:
            return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}
        if not getattr(receive, "ended", False):
            receive.ended = True  # type: ignore[attr-defined]
            if not request.body:
                return {"type": "http.request", "body": b"", "more_body": False}
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            answer.status, answer.headers = message["status"], list(message["headers"])
        elif message["type"] == "http.response.body":
            answer.body += message.get("body", b"")
            answer.whole = not message.get("more_body", False)
            if answer.whole or (
                len(answer.body) > STREAM_BYTES and b"event-stream" in dict(answer.headers).get(b"content-type", b"")
            ):
                left.set()
            elif b"event-stream" in dict(answer.headers).get(b"content-type", b""):
                asyncio.get_running_loop().call_later(0.005, left.set)

    begin, cpu = time.perf_counter(), time.process_time()
    try:
        async with asyncio.timeout(HANG_SECONDS):
            await app(scope_of(request), receive, send)
    except Exception as failure:  # noqa: BLE001 - whatever the application raises is what is looked for
        answer.failure = failure
    answer.seconds, answer.cpu_seconds = time.perf_counter() - begin, time.process_time() - cpu
    return answer


def written(request: Request) -> str:
    """Return a request in one line that Python reads again."""
    return repr(request)


def with_header(headers: Headers, name: bytes, value: bytes) -> Headers:
    """Return headers with one more."""
    return (*headers, (name, value))


def without(headers: Sequence[tuple[bytes, bytes]], name: bytes) -> Headers:
    """Return headers without those of a name."""
    return tuple((key, value) for key, value in headers if key.lower() != name)
