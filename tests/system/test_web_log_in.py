"""Logging in for real: a service of its own process that speaks TLS, a directory (slapd), Chromium, and programs with tokens."""

from __future__ import annotations

import re
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from passerelle.testing.ldap_directory import PASSWORDS, READER, READER_PASSWORD, SUFFIX, Directory, missing
from tests.system.test_web_real_service import CHROMIUM, FLAGS, playwright, start, wait

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
ADMIN = "thick maple orbit lantern"
OWN = "quiet copper violin meadow"
CONFIG = """
facility = "Test bench"
[instruments.krios]
folder = "gateway/krios"
[work]
executor = "processes"
workers = 1
[people]
log_in = true
[web]
certificate = "{certificate}"
key = "{key}"
[ldap]
url = "ldaps://127.0.0.1:{port}"
ca_file = "{certificate}"
people_base = "ou=people,{suffix}"
group_base = "ou=groups,{suffix}"
bind_dn = "{reader}"
bind_password_file = "reader.secret"
data_managers = ["data-managers"]
"""
READS = """(address) => fetch(address, {credentials: "include"}).then((r) => r.text(), () => "refused by the browser")"""
FRAMES = """(address) => new Promise((done) => {
    const frame = document.body.appendChild(document.createElement("iframe"));
    frame.onload = () => done(frame.contentDocument === null);
    frame.src = address;
})"""


@dataclass
class Place:
    """Where the service is, and what it needs to be believed."""

    folder: Path
    address: str
    trust: ssl.SSLContext

    def program(self, token: str) -> httpx.Client:
        return httpx.Client(base_url=self.address, headers={"authorization": f"Bearer {token}"}, verify=self.trust, timeout=60)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    if reason := missing():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("facility")
    directory = Directory(folder / "slapd")
    directory.start()
    (folder / "gateway" / "krios").mkdir(parents=True)
    (folder / "reader.secret").write_text(READER_PASSWORD)
    certificate, key = directory.certificate, directory.folder / "key.pem"
    text = CONFIG.format(certificate=certificate, key=key, port=directory.tls_port, suffix=SUFFIX, reader=READER)
    (folder / "passerelle.toml").write_text(text)
    words = [sys.executable, "-m", "passerelle", "people", "create", "ann", "--role", "admin", "--own"]
    subprocess.run(words, cwd=folder, input=ADMIN + "\n", text=True, check=True, capture_output=True)
    server = start(folder, "serve", "--port", "0")
    try:
        said = wait(lambda: re.search(r"https://127\.0\.0\.1:(\d+)/", (folder / "serve.log").read_text()), 240, folder)
        yield Place(folder, f"https://localhost:{said[1]}", ssl.create_default_context(cafile=str(certificate)))
    finally:
        server.terminate()
        ended = server.wait(120)
        directory.stop()
    assert ended == 0
    assert not [word for word in (ADMIN, OWN, "psr_") if word in (folder / "serve.log").read_text()]


@pytest.fixture(scope="module")
def browser() -> Iterator[playwright.Browser]:
    with playwright.sync_playwright() as driver:
        made = driver.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        yield made
        made.close()


@pytest.fixture
def visit(browser: playwright.Browser, place: Place) -> Iterator[Callable[[], playwright.Page]]:
    """Open a browser of somebody's own. Its certificate is the test's, which Chromium has no reason to trust."""
    contexts: list[playwright.BrowserContext] = []

    def fresh() -> playwright.Page:
        context = browser.new_context(base_url=place.address, ignore_https_errors=True, viewport={"width": 1280, "height": 800})
        context.set_default_timeout(120_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: pytest.fail(str(error)))
        return page

    yield fresh
    for context in contexts:
        context.close()


def log_in(page: playwright.Page, name: str, password: str) -> None:
    page.fill("#f-name", name)
    page.fill("#f-password", password)
    page.keyboard.press("Enter")


def wrong(page: playwright.Page) -> str:
    page.wait_for_selector(".form-error:not([hidden])")
    return page.inner_text(".form-error")


@pytest.mark.timeout(1200)
def test_a_person_of_the_directory_logs_in_and_out_and_the_back_button_shows_nothing(
    place: Place, visit: Callable[[], playwright.Page]
) -> None:
    page = visit()
    page.goto("/alerts")
    page.wait_for_url("**/log-in?next=/alerts")
    assert page.get_attribute("#f-name", "autocomplete") == "username"
    assert page.get_attribute("#f-password", "autocomplete") == "current-password"
    log_in(page, "alice", "not her password")
    assert wrong(page) == "Name or password is not right."

    page.click("[data-reveal]")
    assert page.get_attribute("#f-password", "type") == "text"
    page.fill("#f-password", "")
    page.focus("#f-password")
    page.keyboard.insert_text(PASSWORDS["alice"])  # as a paste and a password manager do it
    page.click("[data-reveal]")
    assert page.get_attribute("#f-password", "type") == "password"
    page.keyboard.press("Tab")
    page.click("form button.primary")
    page.wait_for_selector("#log-out")
    assert page.url == f"{place.address}/alerts"
    assert "alice" in page.inner_text("#person summary") and page.is_visible("#log-out")
    page.click("#person summary")
    links = page.locator("#person nav a").all_inner_texts()
    assert links == ["Your account", "Buffer", "Health"], "a data manager keeps no people"

    (cookie,) = [each for each in page.context.cookies() if "log_in" in each["name"]]
    assert cookie["name"].startswith("__Host-") and (cookie["httpOnly"], cookie["secure"]) == (True, True)
    assert (cookie["sameSite"], cookie["path"], cookie["domain"]) == ("Lax", "/", "localhost")
    assert cookie["value"] not in page.content() and page.evaluate("document.cookie") == ""

    page.goto("/account")
    assert "Alice of the Institute" in page.inner_text("h1") and page.locator("[name=old]").count() == 0
    page.click("#log-out")
    page.wait_for_url("**/log-in")
    page.go_back()
    page.wait_for_selector("#f-password")
    assert "Alice" not in page.content()
    with httpx.Client(base_url=place.address, verify=place.trust, cookies={cookie["name"]: cookie["value"]}, timeout=60) as thief:
        assert thief.get("/api/me").status_code == 401, "the secret of a log-in that has ended opens nothing"


@pytest.mark.timeout(1200)
def test_from_the_first_password_to_a_token_that_is_taken_back(place: Place, visit: Callable[[], playwright.Page]) -> None:
    admin = visit()
    admin.goto("/people")
    log_in(admin, "ann", ADMIN)
    admin.wait_for_selector("#f-role")
    admin.fill("#f-name", "eve")
    admin.select_option("#f-role", "operator")
    admin.click("text=Make the account")
    first = admin.input_value("#first-password")

    eve = visit()
    eve.goto("/")
    log_in(eve, "eve", first)
    eve.wait_for_url("**/first-password")
    eve.goto("/alerts")
    eve.wait_for_url("**/first-password?next=/alerts")
    eve.fill("#f-old", first)
    for field in ("#f-new", "#f-again"):
        eve.fill(field, "password1234")
    eve.keyboard.press("Enter")
    assert "easily guessed" in wrong(eve)
    for field in ("#f-new", "#f-again"):
        eve.fill(field, OWN)
    eve.keyboard.press("Enter")
    eve.wait_for_url(f"{place.address}/alerts")

    eve.goto("/account")
    eve.fill("#f-name", "nightly script")
    eve.check("input[value=steer]")
    eve.click("text=Make the token")
    secret = eve.input_value("#token-secret")
    eve.context.grant_permissions(["clipboard-read", "clipboard-write"])
    eve.click("[data-copy=token-secret]")
    eve.wait_for_selector("text=Copied")
    assert eve.evaluate("navigator.clipboard.readText()") == secret
    with place.program(secret) as program:
        assert program.get("/api/me").json()["powers"] == ["look", "steer"]
        assert program.get("/api/sessions").json() == []
        assert program.get("/api/people").status_code == 403
        eve.on("dialog", lambda dialog: dialog.accept())
        eve.locator("#tokens button", has_text="Take back").click()
        eve.wait_for_selector("#tokens >> text=taken back")
        refused = program.get("/api/me")
        assert refused.status_code == 401 and refused.headers["www-authenticate"].startswith("Bearer")
    eve.reload()
    assert secret not in eve.content()

    # the admin ends the log-in: the open page leads to the form by itself, and back to where it was
    eve.goto("/")
    admin.goto("/people/eve")
    admin.click("#end-all")
    admin.wait_for_selector("text=Nowhere at the moment.")
    eve.wait_for_selector("#f-password")
    log_in(eve, "eve", OWN)
    eve.wait_for_selector("text=No session yet")


@pytest.mark.timeout(1200)
def test_a_page_of_another_site_changes_nothing(place: Place, visit: Callable[[], playwright.Page]) -> None:
    page = visit()
    page.goto("/")
    log_in(page, "ann", ADMIN)
    page.wait_for_selector("#log-out")
    evil = f"""<!doctype html><form id=f method=post action="{place.address}/log-out"></form>
        <form id=g method=post action="{place.address}/log-in"><input name=name value=eve><input name=password value=x></form>"""
    page.context.route("https://evil.example/**", lambda route: route.fulfill(body=evil, content_type="text/html"))
    for form in ("f", "g"):
        other = page.context.new_page()
        other.goto("https://evil.example/")
        with other.expect_navigation(url="**/log-*") as gone:
            other.evaluate(f"document.getElementById('{form}').submit()")
        assert gone.value.status == 403 and "another site" in other.content()
        other.goto("https://evil.example/")
        assert other.evaluate(READS, f"{place.address}/api/me") == "refused by the browser"
        assert other.evaluate(FRAMES, f"{place.address}/account")
        assert "ann" not in "".join(frame.content() for frame in other.frames[1:] if "chrome-error" not in frame.url)
        other.close()
    page.reload()
    assert page.is_visible("#log-out")


def test_guessing_is_slowed_down_and_says_so(visit: Callable[[], playwright.Page]) -> None:
    page = visit()
    page.goto("/log-in")
    said = ""
    for _ in range(8):
        log_in(page, "mallory", "guess after guess")
        said = wrong(page)
        if "Try again in" in said:
            break
    assert re.search(r"too often\. Try again in \d+ s", said)
