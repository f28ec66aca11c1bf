"""The live page of a real service, while a simulated microscope writes: Chromium, a process of its own, real movies."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SOURCE = str(Path(__file__).resolve().parents[2] / "src")
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update"]
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
MOVIES = 3
CONFIG = """
facility = "Test bench"
[instruments.krios1-falcon]
folder = "gateway/krios1-falcon"
camera = "Falcon"
spherical_aberration_mm = 2.7
[instruments.krios1-k2]
folder = "gateway/krios1-k2"
camera = "K2 Summit"
spherical_aberration_mm = 2.7
voltage_kv = 300.0
[work]
executor = "processes"
workers = 2
[processing.motion]
patches_x = 2
patches_y = 2
[processing.ctf]
box_px = 256
"""


def start(folder: Path, name: str, *words: str) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": SOURCE, "COLUMNS": "200"}
    with (folder / f"{name}.log").open("wb") as log:
        command = [sys.executable, "-m", "passerelle", name, *words]
        return subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT, env=environment)


def wait(condition: Callable[[], Any], seconds: float, folder: Path) -> Any:
    ends = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < ends, (folder / "serve.log").read_text()[-3000:]
        time.sleep(0.1)
    return found


@pytest.fixture
def facility(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A service in a process of its own; its folder, and its address."""
    (tmp_path / "passerelle.toml").write_text(CONFIG)
    for name in ("krios1-falcon", "krios1-k2"):
        (tmp_path / "gateway" / name).mkdir(parents=True)
    server = start(tmp_path, "serve", "--port", "0")
    try:
        words = wait(lambda: [w for w in (tmp_path / "serve.log").read_text().split() if w.startswith("http://")], 240, tmp_path)
        yield tmp_path, words[0].rstrip("/")
    finally:
        server.terminate()
        assert server.wait(120) == 0


@pytest.fixture
def page(facility: tuple[Path, str]) -> Iterator[playwright.Page]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        context = browser.new_context(base_url=facility[1], viewport={"width": 1440, "height": 900}, accept_downloads=True)
        context.set_default_timeout(120_000)
        page = context.new_page()
        troubles: list[str] = []
        page.on("console", lambda m: troubles.append(m.text) if m.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("response", lambda r: troubles.append(f"{r.status} {r.url}") if r.status >= 400 else None)
        yield page
        browser.close()
        assert not troubles


def number(page: playwright.Page, name: str) -> int:
    return int(page.locator(f"#count-{name}").inner_text().replace("\u202f", ""))


def found(address: str) -> int:
    """Return how many movies the service knows."""
    with urlopen(f"{address}/api/sessions", timeout=60) as answer:
        return sum(each["counters"]["found"] for each in json.load(answer))


@pytest.mark.timeout(1500)
def test_a_session_is_followed_live_from_the_first_exposure_to_the_export(
    facility: tuple[Path, str], page: playwright.Page
) -> None:
    folder, address = facility
    page.goto("/")
    page.wait_for_selector("h1, h2")
    microscope = start(
        folder, "simulate", "gateway", "--offline", "--movies", str(MOVIES), "--movies-per-hour", "720", "--size", "512"
    )  # five seconds from one to the next
    try:
        wait(lambda: found(address), 120, folder)
        microscope.send_signal(signal.SIGSTOP)  # however long a browser takes, the page opens before the last
        link = page.locator(".session-card h3 a").first
        link.wait_for()  # nobody reloads the page
        link.click()
        page.wait_for_selector("body[data-ready=yes]")
        seen = [number(page, "done")]
        microscope.send_signal(signal.SIGCONT)
        ends = time.monotonic() + 400
        while seen[-1] < MOVIES:
            assert time.monotonic() < ends, (folder / "serve.log").read_text()[-3000:]
            page.wait_for_timeout(100)
            seen.append(number(page, "done"))
        assert seen == sorted(seen) and len(set(seen)) > 1, seen  # it rose before our eyes
        assert number(page, "found") == MOVIES
        assert page.locator(".verdict-counts .mark-failed b").inner_text() == "0"
        assert microscope.wait(120) == 0
    finally:
        microscope.kill()
        microscope.wait()

    page.locator("#strip a").first.click()
    page.wait_for_url("**/movies/*")
    page.wait_for_selector("#viewer[data-open=yes]")
    page.wait_for_selector("#spectrum .ring-zero")
    page.wait_for_selector("body[data-ready=yes]")
    assert page.locator("#ctf-curve canvas").count() == 1
    assert page.locator("#field .field-line").count() == 4  # the patches of the configuration
    assert page.locator("#track .track-line").count() >= 5
    assert "Defocus" in page.inner_text("main") and "Å" in page.inner_text("main")

    page.click("text=Do again with…")
    page.fill("[name='motion.patches_y']", "3")
    page.click("form.recipe button")
    page.wait_for_selector(".toast:not(.bad)")
    ends = time.monotonic() + 240
    while page.locator("#field .field-line").count() != 6:  # 3 × 2 patches, by the page itself or a visit anew
        assert time.monotonic() < ends
        page.wait_for_timeout(1000)
        page.reload()
        page.wait_for_selector("body[data-ready=yes]")

    ends = time.monotonic() + 240
    while not page.locator(".verdict-accept").count():  # a key may fall into the moment in which the page shows the new result
        assert time.monotonic() < ends
        page.keyboard.press("a")
        page.wait_for_timeout(3000)
    page.keyboard.press("s")
    page.wait_for_url("**/sessions/*")
    with page.expect_download() as download:
        page.click("text=Accepted as STAR")
    star = Path(download.value.path()).read_text()
    assert "data_optics" in star and "_rlnDefocusU" in star and ".mrc" in star
