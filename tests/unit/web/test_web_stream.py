"""The stream of changes: nothing missed after a break, a beat while alive, silence where the log cannot be read."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from passerelle.core.errors import Busy
from passerelle.web import stream as module
from passerelle.web.stream import Stream
from tests.web_demo import DemoStatus


@pytest.fixture
def demo(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> DemoStatus:
    monkeypatch.setattr(module, "BEAT_SECONDS", 0.1)
    monkeypatch.setattr(module, "POLL_SECONDS", 0.02)
    return DemoStatus(pictures, 4, pictures=1)


async def _until(events: AsyncIterator[str], kind: str, count: int = 1) -> list[dict[str, object]]:
    """Read the stream until `count` messages of a kind have come; return all that came."""
    found: list[dict[str, object]] = []
    async with asyncio.timeout(30):
        async for text in events:
            lines = dict(line.split(": ", 1) for line in text.strip().splitlines())
            if "event" in lines:
                found.append({"id": lines.get("id"), "event": lines["event"], **json.loads(lines["data"])})
            if sum(message["event"] == kind for message in found) >= count:
                return found
    raise AssertionError(f"the stream ended before {count} × {kind}")


def test_a_page_that_was_away_gets_what_it_missed(demo: DemoStatus) -> None:
    seen = demo.last_event_id()
    missed = demo.arrive(1)

    async def scene() -> None:
        stream = Stream(demo)
        stream.open()
        messages = await _until(stream.events(lambda: demo, seen, None), "change", 2)
        assert [message["id"] for message in messages] == [str(seen + 1), str(seen + 2)]
        assert {message["movie_id"] for message in messages} == {missed}
        await stream.close()

    asyncio.run(scene())


def test_a_change_reaches_an_open_page_and_only_its_session(demo: DemoStatus) -> None:
    async def scene() -> None:
        stream = Stream(demo)
        stream.open()
        events = stream.events(lambda: demo, demo.last_event_id(), 2)
        await _until(events, "beat")
        demo.arrive(1)
        expected = demo.arrive(2)
        messages = await _until(events, "change", 2)
        assert {message["movie_id"] for message in messages if message["event"] == "change"} == {expected}
        await stream.close()

    asyncio.run(scene())


def test_a_page_from_before_a_new_database_is_told_to_load_anew(demo: DemoStatus) -> None:
    async def scene() -> None:
        stream = Stream(demo)
        stream.open()
        messages = await _until(stream.events(lambda: demo, 10_000, None), "beat")
        assert messages[0] == {"id": str(demo.last_event_id()), "event": "reset"}
        await stream.close()

    asyncio.run(scene())


def test_a_log_that_cannot_be_read_is_no_beat(demo: DemoStatus, monkeypatch: pytest.MonkeyPatch) -> None:
    def locked() -> int:
        raise Busy("The database is locked.")

    async def scene() -> None:
        stream = Stream(demo)
        stream.open()
        events = stream.events(lambda: demo, demo.last_event_id(), None)
        await _until(events, "beat")
        monkeypatch.setattr(demo, "last_event_id", locked)
        async with asyncio.timeout(30):
            rest = [text async for text in events]
        assert not any("beat" in text for text in rest[1:]), "at most the beat that was on its way"
        assert stream.pages == 0
        await stream.close()

    asyncio.run(scene())


def test_closing_ends_all_pages_at_once(demo: DemoStatus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BEAT_SECONDS", 60.0)

    async def scene() -> None:
        stream = Stream(demo)
        stream.open()
        pages = [asyncio.create_task(_drain(stream.events(lambda: demo, 0, None))) for _ in range(3)]
        while stream.pages < 3:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        await stream.close()
        async with asyncio.timeout(30):
            await asyncio.gather(*pages)

    asyncio.run(scene())


async def _drain(events: AsyncIterator[str]) -> None:
    async for _ in events:
        pass


def test_more_pages_than_the_service_can_feed_are_refused(client: TestClient) -> None:
    client.app.state.stream.pages = module.MOST_PAGES  # type: ignore[attr-defined]
    response = client.get("/api/events")
    assert response.status_code == 503 and "Too many pages" in response.json()["error"]["message"]
