"""`passerelle init` and `passerelle serve`: a configuration, and all services of one machine."""

from __future__ import annotations

import importlib
import signal
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
import uvicorn

from passerelle.cli import show
from passerelle.core.atomic import write_text
from passerelle.core.errors import BadConfiguration, Busy, storage_errors
from passerelle.service.access import this_account
from passerelle.service.default_config import default_config_text
from passerelle.service.facility import Facility
from passerelle.service.settings import Settings, read_settings
from passerelle.service.wiring import Claim, assemble, dispatcher

CONFIG_NAME = "passerelle.toml"
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


def init(
    folder: Annotated[Path, typer.Argument(help="Folder for the configuration and, by default, the state.")],
    instrument: Annotated[str, typer.Option(help="Name of the first instrument.")] = "krios",
) -> None:
    """Write a configuration with every setting explained."""
    path = folder / CONFIG_NAME
    if path.exists():
        raise BadConfiguration("is there already.", advice="Edit it, or choose another folder.", path=path)
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "gateway" / instrument).mkdir(parents=True, exist_ok=True)
    write_text(path, default_config_text(instrument=instrument, folder=f"gateway/{instrument}"))
    show.out.print(f"Wrote {path}. Name your instruments' folders in it, then:", soft_wrap=True)
    show.out.print(f"  passerelle serve --config {path}", soft_wrap=True)


def serve(
    config: Annotated[Path, typer.Option(help="The facility's passerelle.toml.")] = Path(CONFIG_NAME),
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="In place of the configuration's; 0: any free one.")] = None,
) -> None:
    """Run all services of one machine: watch the gateway, process movies, show the live page. Ends by Ctrl-C or SIGTERM."""
    settings = read_settings(config)
    if not settings.instruments:
        raise BadConfiguration("names no instrument.", advice="Add a section [instruments.NAME] with its folder.", path=config)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with running(settings, port=port) as (facility, address, alive):
        show.out.print(f"{settings.facility}: [bold]{address}[/]  (Ctrl-C ends)")
        for words in filter(None, (exposure(settings), nobody_yet(facility))):
            show.err.print(f"[yellow]{words}[/]", soft_wrap=True)
        while alive() and not stop.wait(0.5):
            pass


def exposure(settings: Settings) -> str:
    """Say what the network may see and change, where the pages are not only for this machine's users."""
    host, web = settings.web.host, settings.web
    if host in _LOOPBACK:
        return ""
    words: list[str] = []
    if not settings.people.log_in:
        words.append(
            f"Everyone whose network reaches {host}:{web.port} may see the pages and change verdicts and parameters: no "
            "password is asked for. Set people.log_in, or keep the port behind a firewall or a proxy that asks."
        )
    elif web.certificate is None and not settings.people.proxies:
        words.append(
            f"Names, passwords and pages cross the network at {host}:{web.port} in the clear. Give web.certificate and web.key, "
            "or put a proxy that speaks TLS before them and name it in people.proxies."
        )
    if not web.names:
        words.append("Browsers elsewhere are refused until web.names holds the name that they use.")
    return " ".join(words)


def nobody_yet(facility: Facility) -> str:
    """Say how the first person gets in, where people must log in and none can."""
    if not facility.doorkeeper.asks or len(facility.people.sources) > 1 or facility.people.list(this_account()):
        return ""
    return "Nobody has an account yet. Make the first one: passerelle people create NAME --role admin --own"


@contextmanager
def running(settings: Settings, *, port: int | None = None) -> Generator[tuple[Facility, str, Callable[[], bool]]]:
    """Run watch, dispatcher and page until the block ends; yield the facility, the page's address, and whether all still runs.

    Raises:
        Busy: the port is taken, or another service has this state.
        PasserelleError: what ended the service from within.
    """
    claim = Claim(settings.state.folder)
    try:
        parts = assemble(settings)
        try:
            loop = dispatcher(parts)
            facility = Facility(parts, wake=loop.wake)
            with _page(facility, settings, port) as (address, page_alive):
                loop.start()
                facility.keeping.start(loop)
                try:
                    yield facility, address, lambda: page_alive() and loop.error is None
                finally:
                    facility.keeping.stop()
                    loop.stop()
                    facility.close()
                if loop.error is not None:
                    raise loop.error
        finally:
            parts.close()
    finally:
        claim.release()


@contextmanager
def _page(facility: Facility, settings: Settings, port: int | None) -> Generator[tuple[str, Callable[[], bool]]]:
    web = importlib.import_module("passerelle.web")  # a sibling on the same floor: named, not imported (docs/decisions/0001)
    host = settings.web.host
    application = web.create_app(facility, files_beneath=_served(settings), hosts=settings.web.names)
    wanted = settings.web.port if port is None else port
    server = uvicorn.Server(
        uvicorn.Config(
            application,
            host=host,
            port=wanted,
            log_level="warning",
            timeout_graceful_shutdown=2,
            server_header=False,
            proxy_headers=False,  # whose word is taken is said by people.proxies, and seen to in web/arrival.py
            ssl_certfile=settings.web.certificate,
            ssl_keyfile=settings.web.key,
        )
    )
    try:
        server.config.load()
    except OSError as error:  # also ssl.SSLError
        reason = error.strerror or str(error)
        raise BadConfiguration(
            f"web.certificate and web.key cannot be used: {reason}.",
            advice="Both are PEM files that the service's account may read, and the key is the certificate's.",
            path=settings.web.certificate,
        ) from error
    try:
        listener = server.config.bind_socket()
    except SystemExit as error:  # uvicorn's way to say that the port is taken
        raise Busy(f"Nothing can listen at {host}:{wanted}: the port is taken.", advice="Choose another: --port 0.") from error
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="page", daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.02)
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    try:
        yield f"{'http' if settings.web.certificate is None else 'https'}://{shown}:{listener.getsockname()[1]}/", thread.is_alive
    finally:
        server.should_exit = True
        thread.join(10)


def _served(settings: Settings) -> list[Path]:
    return [settings.results, *(each.folder for each in settings.instruments.values())]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(init)
    app.command()(serve)
