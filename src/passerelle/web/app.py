"""The application: routes, handlers of errors, the guard around it all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import APIRouter, Depends, FastAPI
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

import passerelle
from passerelle.service.files import AreaKind
from passerelle.web import (
    account,
    api,
    api_people,
    area_files,
    audit,
    care,
    door,
    errors,
    files,
    monitoring,
    pages,
    people,
    send,
    stream,
    transfers,
    transfers_api,
    zones,
    zones_api,
)
from passerelle.web.deps import entered
from passerelle.web.ports import Facility
from passerelle.web.security import Guard

_STATIC = Path(__file__).parent / "static"


# every router but that of the door asks who asks, whatever its routes do
ROUTERS = (
    pages.router,
    care.router,
    send.router,
    transfers.router,
    transfers_api.router,
    account.router,
    people.router,
    audit.router,
    api.router,
    api_people.router,
    stream.router,
    files.router,
    zones.router,
    zones_api.router,
    *(make(kind) for kind in AreaKind for make in (area_files.pages_of, area_files.api_of)),
)


def _all_routes() -> list[BaseRoute]:
    every = APIRouter()
    every.include_router(door.router)
    every.include_router(monitoring.router)  # its numbers ask who asks by themselves
    for router in ROUTERS:
        every.include_router(router, dependencies=[Depends(entered)], responses=errors.DOCUMENTED)
    return every.routes


# of every application that is made in this process: what FastAPI finds out of them at the first request takes a third of a second
_ROUTES = _all_routes()
# bytes of detectors hardly shrink, and whoever takes a download up again counts them as they are
_AS_THEY_ARE = (*DEFAULT_EXCLUDED_CONTENT_TYPES, "application/octet-stream")


def create_app(facility: Facility, *, files_beneath: Sequence[Path], hosts: Sequence[str] = ()) -> FastAPI:
    """Return the application of the pages.

    facility: who asks, and the verbs. files_beneath: the only folders from which pictures and results are served.
    hosts: names beside localhost under which the service is reached, without port.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.stream.open()
        app.state.pulse.open()
        yield
        await app.state.pulse.close()
        await app.state.stream.close()

    app = FastAPI(
        title="passerelle",
        version=passerelle.__version__,
        description="What the pages show, for programs. Where people log in, send a personal token with each request: "
        "`Authorization: Bearer psr_…`. Where nobody is asked, changes need no more than any 16 letters, sent both as the cookie "
        "`passerelle_token` and as the header `X-Passerelle-Token`.",
        docs_url=None,  # these pages would load their scripts from elsewhere
        redoc_url=None,
        openapi_url=None,  # it asks for a log-in as all else: api.py
        lifespan=lifespan,
    )
    app.state.facility = facility
    app.state.stream = stream.Stream(facility)
    app.state.pulse = monitoring.Pulse()
    app.state.files_beneath = tuple(files_beneath)
    errors.install(app)
    app.router.routes.extend(_ROUTES)
    app.mount("/static", _Static(directory=_STATIC), name="static")
    app.add_middleware(GZipMiddleware, minimum_size=2000, compresslevel=4, exclude_content_types=_AS_THEY_ARE)
    app.add_middleware(Guard, attempts=facility.attempts, hosts=tuple(hosts), proxies=tuple(facility.doorkeeper.proxies))
    return app


class _Static(StaticFiles):
    """Files that carry their version in the address may be kept for ever; modules that others import are asked for again."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        versioned = scope.get("query_string", b"").startswith(b"v=")
        response.headers["cache-control"] = "public, max-age=31536000, immutable" if versioned else "no-cache"
        return response
