"""A biologist sends a folder in a browser, from the form to the certificate; the files are then held against the source."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from blake3 import blake3

from passerelle.service.access import this_account
from passerelle.service.facility import Facility
from passerelle.service.notices import Notices
from passerelle.service.passwords import Passwords
from passerelle.service.settings import read_settings
from passerelle.service.wiring import assemble
from passerelle.service.wiring_transfers import transfer_runner
from passerelle.zones import Who, ZoneKind

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update"]
WORDS = "thick maple orbit lantern"
PERSON, OTHER = "games", "man"  # accounts that every Debian has
CONFIG = """
[state]
folder = "state"
[people]
log_in = true
[zones]
folder = "zones"
[transfers]
leave_free_percent = 0
[instruments.xrd]
folder = "gateway"
processing = false
"""


@pytest.fixture
def place(open_folder: Path) -> Iterator[tuple[Path, str, Facility]]:
    """A facility whose pages ask, with a runner and a server of its own."""
    folder = open_folder
    (folder / "passerelle.toml").write_text(CONFIG)
    scan = folder / "gateway" / "2026-11" / "lysozyme <i>2"
    scan.mkdir(parents=True)
    for number in range(120):
        (scan / f"{number:04}.cbf").write_bytes(os.urandom(20_000 + number))
    (scan / "großer Lauf.h5").write_bytes(os.urandom(12_000_000))
    parts = assemble(read_settings(folder / "passerelle.toml"))
    facility = Facility(parts, passwords=Passwords(memory_kib=64, rounds=1))
    for name in (PERSON, OTHER):
        facility.people.create(this_account(), name, role="user", password=WORDS, own=True)
    as_root = os.getuid() == 0
    facility.zones.create(this_account(), "xrd", kind=ZoneKind.INSTRUMENT, owner=this_account().name, readers=Who.of([PERSON]))
    owner = PERSON if as_root else this_account().name
    facility.zones.create(
        this_account(), "home", kind=ZoneKind.PERSONAL, owner=owner, writers=Who() if as_root else Who.of([PERSON])
    )
    runner = transfer_runner(parts, Notices(parts.database, parts.settings))
    app = importlib.import_module("passerelle.web").create_app(facility, files_beneath=[])
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
    listener = server.config.bind_socket()
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    runner.start()
    while not server.started:
        time.sleep(0.05)
    yield folder, f"http://127.0.0.1:{listener.getsockname()[1]}", facility
    server.should_exit = True
    thread.join(60)
    runner.stop()
    parts.close()


def test_from_the_form_to_the_certificate(place: tuple[Path, str, Facility]) -> None:
    from playwright.sync_api import sync_playwright

    folder, address, _ = place
    said: list[str] = []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        page = browser.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.set_default_timeout(120_000)
        page.goto(f"{address}/send")
        page.fill("input[name=name]", PERSON)
        page.fill("input[name=password]", WORDS)
        page.get_by_role("button", name="Log in").click()
        page.get_by_role("link", name="xrd", exact=True).click()
        page.get_by_role("link", name="2026-11/").click()
        page.get_by_role("link", name="Choose", exact=True).click()
        page.locator("#estimate dl").wait_for()
        assert "121" in page.locator("#estimate").inner_text()
        page.get_by_role("button", name="Send", exact=True).click()
        page.wait_for_url("**/transfers/1")
        page.locator("#transfer[data-state=done]").wait_for()
        assert "lysozyme <i>2" in page.locator("h1").inner_text()
        page.get_by_role("link", name="Certificate").click()
        page.wait_for_url("**/certificate")
        certified = page.locator("#digest").inner_text().strip()
        assert page.locator("#certified-files").inner_text() == "121"
        page.emulate_media(media="print")
        assert not page.get_by_role("button", name="Print").is_visible()
        assert page.locator("#digest").is_visible()
        page.emulate_media(media="screen")
        page.goto(f"{address}/transfers")
        assert page.get_by_role("link", name="Certificate").count() == 1
        other = browser.new_context().new_page()
        other.set_default_timeout(120_000)
        other.goto(f"{address}/transfers/1")
        other.fill("input[name=name]", OTHER)
        other.fill("input[name=password]", WORDS)
        other.get_by_role("button", name="Log in").click()
        other.get_by_text("There is no transfer 1").wait_for()
        browser.close()
    assert not [line for line in said if "404" not in line], said
    source = folder / "gateway" / "2026-11" / "lysozyme <i>2"
    (target,) = (folder / "zones" / "home" / "datasets" / "xrd").iterdir()
    assert subprocess.run(["diff", "-r", "--exclude=.passerelle", source, target]).returncode == 0
    lines = (target / ".passerelle" / "manifest.jsonl").read_bytes().splitlines(keepends=True)
    assert certified == blake3(b"".join(lines[:-1])).hexdigest()
    for row in map(json.loads, lines[1:-1]):
        assert row["blake3"] == blake3((source / row["path"]).read_bytes()).hexdigest()
