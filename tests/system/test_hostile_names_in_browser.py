"""Every page with names that are HTML, in a real browser: nothing of them runs or becomes an element, no rule is broken."""

from __future__ import annotations

import asyncio
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from playwright import sync_api as playwright

from tests.attack.crawl import crawl
from tests.attack.nasty import MARK
from tests.attack.world import World

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
PEOPLE = ("ann", "oona", "daemon", "carl")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[tuple[World, str]]:
    world = World(tmp_path)
    server = uvicorn.Server(uvicorn.Config(world.app, port=0, log_level="error", timeout_graceful_shutdown=1))
    listener = server.config.bind_socket()
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield world, f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(60)
    world.close()


def _pages(world: World, who: str) -> list[str]:
    credentials = (*world.credentials(who), (b"accept", b"text/html"))
    found = asyncio.run(crawl(world.app, credentials))
    return [address for address, status in found.pages.items() if status == 200 and not address.startswith("/api/")]


@pytest.mark.timeout(1800)
def test_nothing_that_a_name_says_is_done(place: tuple[World, str]) -> None:
    world, address = place
    pages = {who: _pages(world, who) for who in PEOPLE}
    assert sum(map(len, pages.values())) > 15
    shown = 0
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        for who in PEOPLE:
            context = browser.new_context(base_url=address)
            context.set_default_timeout(120_000)
            name, _, secret = dict(world.credentials(who))[b"cookie"].decode().partition("=")
            context.add_cookies([{"name": name, "value": secret, "url": address}])
            page = context.new_page()
            troubles: list[str] = []
            page.on("dialog", lambda dialog, troubles=troubles: (troubles.append(f"dialog: {dialog.message}"), dialog.dismiss()))
            page.on("pageerror", lambda error, troubles=troubles: troubles.append(str(error)))
            page.on(
                "console",
                lambda told, troubles=troubles: troubles.append(told.text) if "Content Security Policy" in told.text else None,
            )
            for path in pages[who]:
                try:
                    page.goto(path, wait_until="domcontentloaded")
                except playwright.Error as error:
                    assert "Download is starting" in str(error), (who, path)
                    continue  # a file to be kept, no page
                page.wait_for_timeout(150)
                assert page.locator(MARK).count() == 0 and page.locator("img[src=x]").count() == 0, (who, path)
                assert page.locator("[onload], [onerror], [onclick]").count() == 0, (who, path)
                shown += MARK in page.content()
                assert not troubles, (who, path, troubles)
            context.close()
        browser.close()
    assert shown > 3, "the names were on the pages, as text"
