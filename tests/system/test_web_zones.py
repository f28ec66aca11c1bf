"""Zones in a real browser: made, shared, looked through, previewed and downloaded by people who know no shell."""

from __future__ import annotations

import contextlib
import shutil
import socket
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from passerelle.testing.pictures import PICTURES
from passerelle.transfer import copy_dataset
from tests.web_house import WORDS, House

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
uvicorn = pytest.importorskip("uvicorn")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-sync"]
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.close()


@pytest.fixture
def address(house: House) -> Iterator[str]:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(house.app, log_level="warning", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(60)


@pytest.fixture
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        yield launched
        launched.close()


def logged_in(browser: Any, address: str, name: str, wrong: list[str]) -> Any:
    page = browser.new_context(accept_downloads=True).new_page()
    page.set_default_timeout(120_000)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(f"{address}/log-in?next=/zones")
    page.fill("#f-name", name)
    page.fill("#f-password", WORDS)
    page.click("button.primary")
    page.wait_for_selector("h1:text-is('Zones')")
    return page


def until(page: Any, expression: str, seconds: float = 120) -> None:
    """Wait until an expression is true in the page; its policy forbids the browser's own way to wait for one."""
    end = time.monotonic() + seconds
    while True:
        with contextlib.suppress(playwright.Error):  # the page it was asked of is left
            if page.evaluate(expression):
                return
        assert time.monotonic() < end, expression
        page.wait_for_timeout(100)


def test_a_zone_is_made_shared_looked_through_and_downloaded(house: House, address: str, browser: Any, tmp_path: Path) -> None:
    wrong: list[str] = []
    dora = logged_in(browser, address, "dora", wrong)
    dora.click("text=Make a zone")
    dora.fill("#f-name", "ribosome")
    dora.fill("#f-owner", "bob")
    dora.fill("#f-quota", "lots")
    dora.click("text=Make the zone")
    dora.wait_for_selector(".form-error:not([hidden])")
    assert "is no size" in dora.text_content("#make .form-error")
    dora.fill("#f-quota", "2T")
    dora.click("text=Make the zone")
    dora.wait_for_url("**/zones/ribosome")
    assert "\\\\data\\ribosome" in dora.text_content(".paths")
    assert dora.goto(f"{address}/zones/ribosome/files/").status == 403, "who keeps zones is not let into them"

    session = tmp_path / "session"
    session.mkdir()
    for name in ("movie.mrc", "cells.ome.tif", "pilatus.cbf"):
        PICTURES[name](session / name)
    (session / "<b>notes<i> é.txt").write_text("<script>document.title = 'taken'</script>\n")
    place = tmp_path / "zones" / "ribosome" / "session"
    copy_dataset(session, place, leg="gateway to zone")

    bob = logged_in(browser, address, "bob", wrong)
    bob.click("text=ribosome")
    bob.fill("#f-whom", "carl")
    bob.click(".let-in button")
    bob.wait_for_selector(".people >> text=carl")

    carl = logged_in(browser, address, "carl", wrong)
    carl.click("text=ribosome")
    assert "see, read" in carl.text_content("#zone")
    assert carl.query_selector("#f-whom") is None
    carl.click("text=Look through its files")
    carl.get_by_role("link", name="session", exact=True).click()
    until(carl, "() => [...document.querySelectorAll('.thumb img')].filter((i) => i.naturalWidth > 0).length === 3")
    until(carl, "() => document.querySelectorAll('.proof.mark-accept').length === 4")
    carl.get_by_role("link", name="List", exact=True).click()
    until(carl, "() => document.querySelectorAll('table.listing tbody tr').length === 4")
    carl.click("text=movie.mrc")
    until(carl, "() => document.querySelector('.look-picture img')?.naturalWidth > 0")
    assert "1.06" in carl.text_content(".looked") and "brought by gateway to zone" in carl.text_content("#main")
    with carl.expect_download() as saved:
        carl.click("text=Download")
    assert saved.value.suggested_filename == "movie.mrc"
    assert Path(saved.value.path()).read_bytes() == (session / "movie.mrc").read_bytes()

    carl.click("text=Its folder")
    carl.click("text=<b>notes<i> é.txt")
    assert "document.title" in carl.text_content(".lines")
    assert carl.title() != "taken"
    with carl.expect_download() as saved:
        carl.click("text=Download")
    assert saved.value.suggested_filename.endswith(" é.txt")

    carl.goto(f"{address}/zones/ribosome/files/session?view=list")
    carl.check("input[name=item] >> nth=0")
    carl.check("input[name=item] >> nth=1")
    with carl.expect_download() as saved:
        carl.click("text=Download 2 chosen as ZIP")
    archive = zipfile.ZipFile(saved.value.path())
    assert archive.testzip() is None and len(archive.namelist()) == 2

    olga = logged_in(browser, address, "olga", wrong)
    assert "ribosome" not in olga.text_content("#main")
    for what in ("", "/files/", "/files/session", "/files/session/movie.mrc", "/pictures/session/movie.mrc"):
        answer = olga.goto(f"{address}/zones/ribosome{what}")
        assert answer.status == 404, what
        assert "There is no zone" in answer.text()

    bob.click("text=Take out")
    bob.wait_for_selector("text=Nobody but its owner")
    assert carl.goto(f"{address}/zones/ribosome/files/session").status == 404
    assert wrong == []
