"""A day at the facility, with real servers: two instrument PCs write through Samba, the service processes what comes, and a
biologist whom the directory knows sends her acquisition home by the form, while both go on.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import smbclient

from passerelle.core.states import MovieState
from passerelle.service.sessions import close_session
from passerelle.service.zones import Zones
from passerelle.store import Database, movies, sessions, transfers
from passerelle.testing import ldap_directory, samba_facility
from passerelle.testing.ldap_directory import READER, READER_PASSWORD, SUFFIX, Directory
from passerelle.testing.samba_facility import PASSWORD, ROOT, SambaFacility, toml
from passerelle.zones import Who, ZoneKind

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update"]
SOURCE = str(Path(__file__).resolve().parents[2] / "src")
DENIED = "NT_STATUS_ACCESS_DENIED"
FALCON_PC = "127.0.0.2"  # one PC has this address, the other 127.0.0.1
MOVIES = 3
PEOPLE = {"pt-alice": "alice's long password", "pt-bob": "bob's long password"}
QUICK = {"motion": {"patches_x": 2, "patches_y": 2}, "ctf": {"box_px": 256}}


@dataclass(frozen=True)
class House:
    """The running facility. address: of its pages."""

    samba: SambaFacility
    folder: Path
    address: str


def passerelle(folder: Path, log: str, *words: str) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": SOURCE, "COLUMNS": "200"}
    with (folder / log).open("wb") as stream:
        command = [sys.executable, "-m", "passerelle", *words]
        return subprocess.Popen(command, cwd=folder, stdout=stream, stderr=subprocess.STDOUT, env=environment)


def eventually(ask: Callable[[], Any], seconds: float, told: Callable[[], str]) -> Any:
    ends = time.monotonic() + seconds
    while not (found := ask()):
        assert time.monotonic() < ends, told()
        time.sleep(0.2)
    return found


def addresses(server: subprocess.Popen[bytes], log: Path) -> list[str]:
    assert server.poll() is None, log.read_text()
    return [word for word in log.read_text().split() if word.startswith("http://")]


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    if reason := samba_facility.missing() or ldap_directory.missing() or ("" if CHROMIUM else "chromium is not installed"):
        pytest.skip(reason)
    # not pytest's folder: another run of pytest closes that one to all accounts but root
    with tempfile.TemporaryDirectory(prefix="passerelle-facility-") as made:
        folder = Path(made) / "house"
        directory = Directory(Path(made) / "directory", PEOPLE)
        secret = Path(made) / "ldap.secret"
        secret.write_text(READER_PASSWORD)
        secret.chmod(0o600)
        samba = SambaFacility(
            folder,
            facility="Test bench",
            people={"log_in": True},
            ldap={
                "url": f"ldaps://localhost:{directory.tls_port}",
                "ca_file": directory.certificate,
                "people_base": f"ou=people,{SUFFIX}",
                "group_base": f"ou=groups,{SUFFIX}",
                "bind_dn": READER,
                "bind_password_file": secret,
            },
            instruments={
                "krios": {"camera": "Falcon", "spherical_aberration_mm": 2.7},
                "glacios": {"camera": "K2 Summit", "spherical_aberration_mm": 2.7, "voltage_kv": 300.0},
            },
            pcs={"krios-pc": {"address": FALCON_PC}},
            work={"workers": 1},
            processing=QUICK,
        )
        zones: Zones = samba.zones
        zones.create(ROOT, "krios", kind=ZoneKind.INSTRUMENT, owner="root", readers=Who.of(["pt-alice"]))
        zones.create(ROOT, "glacios", kind=ZoneKind.INSTRUMENT, owner="root", readers=Who.of(["pt-bob"]))
        zones.create(ROOT, "alice", kind=ZoneKind.PERSONAL, owner="pt-alice")
        (folder / "passerelle.toml").write_text(toml(samba.table))
        server = None
        try:
            directory.start()
            samba.start()
            server = passerelle(folder, "serve.log", "serve", "--port", "0")
            words = eventually(lambda: addresses(server, folder / "serve.log"), 180, (folder / "serve.log").read_text)
            yield House(samba, folder, words[0].rstrip("/"))
        finally:
            if server is not None:
                server.terminate()
                assert server.wait(120) == 0
            samba.stop()
            directory.stop()


def session_of(folder: Path, instrument: str) -> Path:
    """Let the simulated microscopes write on their own disks; return the folder that one of the PCs is going to copy."""
    made = folder / "microscopes"
    if not made.exists():
        command = ["simulate", str(made), "--offline", "--movies", str(MOVIES), "--movies-per-hour", "0", "--size", "512"]
        assert passerelle(folder, "simulate.log", *command).wait(300) == 0, (folder / "simulate.log").read_text()
    return made / instrument


@contextlib.contextmanager
def from_address(address: str, port: int) -> Iterator[int]:
    """Yield a port whose connections reach the server's `port` from another address of this machine."""
    listener = socket.create_server(("127.0.0.1", 0))

    def pump(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(1 << 16):
                target.sendall(piece)
            target.shutdown(socket.SHUT_WR)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(("127.0.0.1", port), source_address=(address, 0))
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=pump, args=(one, other), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1]
    listener.close()


def write_as_falcon_pc(house: House, session: Path, pause_seconds: float) -> None:
    """Write in small appends, as a camera's PC does that writes straight onto the share."""
    with from_address(FALCON_PC, house.samba.port) as port:
        who: dict[str, Any] = {"username": "pt-krios", "password": PASSWORD, "port": port, "connection_cache": {}}
        for path in in_order(session):
            name = "\\".join([r"\\127.0.0.1\krios-pc", *path.relative_to(session).parts])
            smbclient.makedirs(name.rpartition("\\")[0], exist_ok=True, **who)
            with smbclient.open_file(name, mode="wb", share_access="r", **who) as stream, path.open("rb") as source:
                while piece := source.read(1 << 20):
                    stream.write(piece)
            time.sleep(pause_seconds if path.suffix in {".mrc", ".tiff", ".eer"} else 0)
        for connection in who["connection_cache"].values():
            connection.disconnect(close=False)


def write_as_k2_pc(house: House, session: Path) -> str:
    """Copy all at once, as a PC does that buffers on its own disk."""
    return house.samba.client("glacios-pc", "pt-glacios", f"lcd {session}; recurse; prompt; mput *")


def in_order(session: Path) -> list[Path]:
    return sorted((path for path in session.rglob("*") if path.is_file()), key=lambda path: path.stat().st_mtime_ns)


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of all files beneath a folder, by their paths; passerelle's own left out."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and ".passerelle" not in path.parts
    }


@pytest.fixture
def page(house: House) -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        context = browser.new_context(base_url=house.address, viewport={"width": 1440, "height": 900})
        context.set_default_timeout(120_000)
        page = context.new_page()
        troubles: list[str] = []
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("response", lambda r: troubles.append(f"{r.status} {r.url}") if r.status >= 500 else None)
        yield page
        browser.close()
        assert not troubles


def log_in(page: Any, name: str) -> None:
    page.goto("/log-in")
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Password", exact=True).fill(PEOPLE[name])
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(lambda address: "/log-in" not in address)


def ended(page: Any, wanted: str, seconds: float, house: House) -> None:
    """Wait, without reloading, until the page says that a transfer has come to an end."""
    ends = time.monotonic() + seconds
    while (state := page.locator("#transfer").get_attribute("data-state")) in {"queued", "running"}:
        assert time.monotonic() < ends, (house.folder / "serve.log").read_text()[-3000:]
        page.wait_for_timeout(200)
    assert state == wanted, page.locator("main").inner_text()


@pytest.mark.timeout(1500)
def test_an_acquisition_goes_home_while_it_is_written_and_processed(house: House, page: Any) -> None:
    falcon, k2 = session_of(house.folder, "krios1-falcon"), session_of(house.folder, "krios1-k2")
    said: list[str] = []
    pcs = [
        threading.Thread(target=write_as_falcon_pc, args=(house, falcon, 1.0)),
        threading.Thread(target=lambda: said.append(write_as_k2_pc(house, k2))),
    ]
    for pc in pcs:
        pc.start()
    try:
        log_in(page, "pt-alice")
        page.locator(".session-card h3 a").first.wait_for()  # the first exposures have come
        assert page.locator(".session-card").count() == 1, "she sees her own instrument and no other"
        page.locator(".session-card h3 a").first.click()
        page.wait_for_url("**/sessions/*")
        session = page.url
        page.get_by_role("link", name="Send…").click()
        page.wait_for_url("**/send?*")
        page.get_by_label("While it is written").check()
        page.get_by_label("Zone", exact=True).select_option("alice")
        page.get_by_role("button", name="Send", exact=True).click()
        page.wait_for_url("**/transfers/*")
        transfer = page.url
    finally:
        for pc in pcs:
            pc.join()
    assert "NT_STATUS" not in said[0]

    database = house.samba.database
    eventually(lambda: done_movies(database) == 2 * MOVIES, 400, (house.folder / "serve.log").read_text)
    close_session(database, int(session.rpartition("/")[2]))  # the acquisition is over
    ended(page, "done", 240, house)
    page.get_by_role("link", name="Certificate").click()
    digest = page.locator("#digest").inner_text()

    with database.read() as connection:
        row = transfers.latest(connection, limit=1)[0]
    source, home = house.folder / "gateway/krios" / row.source, house.folder / "zones/alice" / row.folder
    assert digests(home) == digests(source) and len(digests(home)) >= MOVIES
    manifest = (home / ".passerelle/manifest.jsonl").read_bytes().splitlines()
    assert digest in manifest[-1].decode(), "the certificate names the manifest that lies with the data"
    alice = pwd.getpwnam("pt-alice").pw_uid
    assert {path.lstat().st_uid for path in home.rglob("*")} == {alice}, "what lies in her zone is hers"

    name = next(path for path in home.rglob("*.mrc") if path.stat().st_size > 100_000)
    within = name.relative_to(house.folder / "zones/alice")
    assert "NT_STATUS" not in house.samba.client("alice", "pt-alice", f'get "{within}" read-by-alice')
    assert (house.folder / "read-by-alice").read_bytes() == name.read_bytes()
    assert DENIED in house.samba.client("alice", "pt-bob", f'get "{within}" read-by-bob')

    page.get_by_role("button", name="Log out").click()
    page.wait_for_url("**/log-in")
    log_in(page, "pt-bob")
    page.locator(".session-card h3 a").first.wait_for()
    assert page.locator(".session-card").count() == 1, "he sees the other instrument"
    for hers in (transfer, f"{transfer}/certificate", session):
        assert page.goto(hers).status == 404


def done_movies(database: Database) -> int:
    with database.read() as connection:
        known = sessions.every(connection)
        return sum(movie.state is MovieState.DONE for each in known for movie in movies.of_session(connection, each.id))
