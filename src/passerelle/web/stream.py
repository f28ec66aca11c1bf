"""Server-sent events: every change of the database's event log, with its id as the cursor to go on from.

One task reads the log for all open pages. A page that reconnects sends the last id it saw (Last-Event-ID) and misses nothing; one
that lags too far behind is told to load anew (`reset`). A `beat` every few seconds shows a page that the stream is alive.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import StreamingResponse

from passerelle.core.errors import Busy, NotAllowed, NotFound, PasserelleError
from passerelle.core.log import logger
from passerelle.service.view import EventView
from passerelle.web.answers import plain
from passerelle.web.deps import ActorOf, who_asks
from passerelle.web.ports import Facility, Status

router = APIRouter(tags=["live"])

POLL_SECONDS = 0.4
BEAT_SECONDS = 4.0
_PAGE = 500
_BEHIND = 2000  # a page further back than this loads anew
MOST_PAGES = 200


class Stream:
    """Wakes the open pages when the log has grown. `close` ends them all, for a shutdown that does not wait."""

    def __init__(self, facility: Facility) -> None:
        self._facility = facility
        self._grown = asyncio.Condition()
        self._newest = 0
        self._closing = False
        self._task: asyncio.Task[None] | None = None
        self.pages = 0

    def open(self) -> None:
        self._task = asyncio.create_task(self._follow(), name="passerelle-stream")

    async def close(self) -> None:
        self._closing = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        async with self._grown:
            self._grown.notify_all()

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            if not self.pages:
                continue
            try:
                newest = await asyncio.to_thread(self._facility.last_event_id)
            except PasserelleError as error:  # locked or gone for a moment: pages see no beat, and say so
                logger.warning("stream_stalled", error=str(error))
                continue
            if newest > self._newest:
                async with self._grown:
                    self._newest = newest
                    self._grown.notify_all()

    async def events(self, see: Callable[[], Status], after: int, session_id: int | None) -> AsyncIterator[str]:
        """Yield messages until the service closes or the log cannot be read: the page says so, and asks again.

        see: asks who looks, and returns what that person may see. It is called before anything is told, so that a stream ends
        soon after its log-in, and tells of nothing that the person may see no more.
        """
        self.pages += 1
        try:
            yield "retry: 2000\n\n"
            newest = await asyncio.to_thread(self._facility.last_event_id)
            if after > newest or newest - after > _BEHIND:
                yield _message("reset", {}, newest)
                after = newest
            while not self._closing:
                found = await asyncio.to_thread(lambda: see().events_after(after, session_id, _PAGE))  # noqa: B023 - awaited here
                for event in found:
                    after = event.id
                    yield _message("change", _facts(event), event.id)
                if len(found) == _PAGE:
                    continue
                after = max(after, newest)
                newest = await self._wait(after)
                yield _message("beat", {}, None)
        except (NotAllowed, NotFound):
            return  # logged out, or not to be seen any more: the page asks again, and is told why
        except PasserelleError as error:
            logger.warning("stream_broken", error=str(error))
        finally:
            self.pages -= 1

    async def _wait(self, after: int) -> int:
        """Return the newest id once it is greater than `after`, or after BEAT_SECONDS."""
        try:
            async with asyncio.timeout(BEAT_SECONDS), self._grown:
                await self._grown.wait_for(lambda: self._newest > after or self._closing)
        except TimeoutError:
            # the log must be readable for a beat to be true
            return await asyncio.to_thread(self._facility.last_event_id)
        return self._newest


def _facts(event: EventView) -> dict[str, object]:
    return {"kind": event.kind, "session_id": event.session_id, "movie_id": event.movie_id, "at": event.at}


def _message(kind: str, data: dict[str, object], event_id: int | None) -> str:
    cursor = "" if event_id is None else f"id: {event_id}\n"
    return f"{cursor}event: {kind}\ndata: {json.dumps(plain(data))}\n\n"


@router.get("/api/events", response_class=StreamingResponse)
async def events(
    request: Request,
    actor: ActorOf,
    session: int | None = None,
    after: Annotated[int | None, Query(ge=0)] = None,
    last_event_id: Annotated[str | None, Header()] = None,
) -> StreamingResponse:
    """Stream changes: `change` events with kind, session and movie; `beat` while alive; `reset` when too much was missed."""
    stream: Stream = request.app.state.stream
    facility: Facility = request.app.state.facility
    if stream.pages >= MOST_PAGES:
        raise Busy("Too many pages are open.", advice="Close some of them.")
    start = int(last_event_id) if last_event_id and last_event_id.isdecimal() and len(last_event_id) < 19 else after
    if start is None:
        start = await asyncio.to_thread(facility.last_event_id)
    await asyncio.to_thread(facility.live(actor).events_after, start, session, 1)  # what may not be seen is said before it begins
    return StreamingResponse(
        stream.events(lambda: facility.live(who_asks(request)), start, session),
        media_type="text/event-stream",
        headers={"cache-control": "no-store", "x-accel-buffering": "no"},
    )
