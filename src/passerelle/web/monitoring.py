"""For machines that watch the service: whether it lives, and its numbers for Prometheus."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Sequence

from fastapi import APIRouter, Request
from starlette.responses import Response

from passerelle.service.access import Power, require
from passerelle.service.metrics import CONTENT_TYPE, exposition
from passerelle.web.answers import Json
from passerelle.web.deps import who_asks

router = APIRouter(include_in_schema=False)

_BEAT_SECONDS = 1.0
_FORWARDED = ("x-forwarded-for", "forwarded")


class Pulse:
    """How late the event loop of the pages comes to what is due: the worst of the last minute."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None
        self._late: list[float] = [0.0]

    @property
    def lag_seconds(self) -> float:
        return max(self._late)

    def open(self) -> None:
        """Begin to measure."""
        self._task = asyncio.create_task(self._beat(), name="passerelle-pulse")

    async def close(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _beat(self) -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(_BEAT_SECONDS)
            self._late = [*self._late[-59:], max(0.0, time.monotonic() - before - _BEAT_SECONDS)]


@router.get("/healthz")
def healthz(request: Request) -> Response:
    """Say whether the service lives, and nothing else: 200, or 503 when its work has ended."""
    loop = request.app.state.facility.keeping.loop
    lives = loop is None or (loop.alive and loop.error is None)
    return Json({"alive": lives}, status=200 if lives else 503)


@router.get("/metrics")
def metrics(request: Request) -> Response:
    """All numbers, for Prometheus: to addresses that the configuration names, and to who may look."""
    keeping = request.app.state.facility.keeping
    if not _is_let_in(request, keeping.parts.settings.web.metrics_from):
        require(who_asks(request), Power.LOOK)
    pages = {"pages_loop_lag_seconds": request.app.state.pulse.lag_seconds, "pages_open": float(request.app.state.stream.pages)}
    return Response(exposition(keeping, pages=pages), media_type=CONTENT_TYPE)


def _is_let_in(request: Request, networks: Sequence[str]) -> bool:
    """Say whether a request comes from an address that needs no token; what a proxy brings, whom nobody trusts, does not."""
    if not request.app.state.facility.doorkeeper.proxies and any(name in request.headers for name in _FORWARDED):
        return False
    try:
        address = ipaddress.ip_address(request.state.arrival.address)
    except ValueError:
        return False
    return any(address in ipaddress.ip_network(each, strict=False) for each in networks)
