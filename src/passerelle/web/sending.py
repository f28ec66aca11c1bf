"""Files sent to be saved: from an open descriptor, whole or the part that was asked for, never shown as a page.

What the file is called and holds is its owner's: the type is always bytes, the browser is told to save and not to guess.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Callable, Iterator
from email.utils import formatdate
from urllib.parse import quote

import anyio.to_thread
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from passerelle.core.log import logger

BYTES = "application/octet-stream"
_BLOCK_BYTES = 1 << 20
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_PLAIN = re.compile(r"[^A-Za-z0-9._ -]+")


def disposition(name: str) -> str:
    """Return the header that has a browser save a file under a name (RFC 6266; the exact name by RFC 8187).

    Bytes that are not UTF-8 become %XX twice over: the browser shows `%E9`, as the pages do.
    """
    plain = _PLAIN.sub("_", name)[:150].strip(". ") or "file"
    exact = quote("".join(f"%{ord(c) - 0xDC00:02X}" if 0xDC80 <= ord(c) <= 0xDCFF else c for c in name), safe="")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{exact}"


class DescriptorResponse(StreamingResponse):
    """A regular file, sent from its descriptor. One range is understood; more than one gets the whole file.

    close: called when all is sent, or nobody takes it any more.
    """

    def __init__(self, descriptor: int, name: str, *, wanted: str = "", since: str = "", close: Callable[[], None]) -> None:
        """wanted, since: the request's headers Range and If-Range."""
        status = os.fstat(descriptor)
        self._close = close
        tag = f'"{status.st_ino:x}-{status.st_size:x}-{status.st_mtime_ns:x}"'
        first, last = part(wanted if since in ("", tag) else "", status.st_size)
        headers = {
            "content-disposition": disposition(name),
            "accept-ranges": "bytes",
            "etag": tag,
            "last-modified": formatdate(status.st_mtime, usegmt=True),
            "cache-control": "private, no-cache",
            "content-length": str(max(0, last + 1 - first)),
        }
        code = 200
        if first > last and status.st_size:
            code, headers["content-range"] = 416, f"bytes */{status.st_size}"
        elif (first, last) != (0, status.st_size - 1):
            code, headers["content-range"] = 206, f"bytes {first}-{last}/{status.st_size}"
        super().__init__(_blocks(descriptor, first, last + 1), status_code=code, media_type=BYTES, headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._close()


class ArchiveResponse(StreamingResponse):
    """A ZIP file that is made while it is sent."""

    def __init__(self, pieces: Iterator[bytes], name: str) -> None:
        headers = {"content-disposition": disposition(name), "cache-control": "private, no-store"}
        super().__init__(pieces, media_type="application/zip", headers=headers)


def part(wanted: str, size: int) -> tuple[int, int]:
    """Return first and last byte of what a Range header asks for; first > last where there is no such part (RFC 9110, 14.2)."""
    found = _RANGE.fullmatch(wanted.replace(" ", ""))
    if not found or found.groups() == ("", ""):
        return 0, size - 1
    start, end = found.groups()
    if not start:
        return max(0, size - int(end)), size - 1 if int(end) else -1
    return int(start), min(int(end) if end else size - 1, size - 1)


async def _blocks(descriptor: int, start: int, end: int) -> AsyncIterator[bytes]:
    while start < end:
        block = await anyio.to_thread.run_sync(os.pread, descriptor, min(_BLOCK_BYTES, end - start), start)
        if not block:  # the file was cut meanwhile: the connection breaks, so that nobody takes it for whole
            logger.warning("download_cut_short", missing=end - start)
            return
        start += len(block)
        yield block


def picture_answer(picture: bytes, media_type: str, tag: str, given: str) -> Response:
    """Return a picture that a browser may keep, but asks for again each time: who may see it may change."""
    headers = {"cache-control": "private, no-cache", "etag": tag}
    if given == tag:
        return Response(status_code=304, headers=headers)
    return Response(picture, media_type=media_type, headers=headers)
