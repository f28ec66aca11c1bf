"""Make a request that broke a rule as small as it can be while it still breaks it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace

from tests.attack.drive import Request

_MOST_TRIES = 150


async def shrunk(request: Request, fails: Callable[[Request], Awaitable[bool]]) -> Request:
    """Return the smallest request found that still fails; the request itself where it does not fail again."""
    tries = 0
    if not await fails(request):
        return request
    again = True
    while again and tries < _MOST_TRIES:
        again = False
        for smaller in _smaller(request):
            tries += 1
            if tries >= _MOST_TRIES:
                break
            if await fails(smaller):
                request, again = smaller, True
                break
    return request


def _smaller(request: Request) -> Iterator[Request]:
    for index in range(len(request.headers)):
        yield replace(request, headers=request.headers[:index] + request.headers[index + 1 :])
    path, _, query = request.target.partition(b"?")
    if query:
        yield replace(request, target=path)
        fields = query.split(b"&")
        for index in range(min(len(fields), 20)):
            yield replace(request, target=path + b"?" + b"&".join(fields[:index] + fields[index + 1 :]))
    if len(request.body) > 1:
        yield replace(request, body=(b"".join(request.body),))
    for body in request.body[:1]:
        if body:
            yield replace(request, body=())
            yield replace(request, body=(body[: len(body) // 2],))
            yield replace(request, body=(body[len(body) // 2 :],))
    for index, (name, value) in enumerate(request.headers):
        if len(value) > 8:
            half = (name, value[: len(value) // 2])
            yield replace(request, headers=(*request.headers[:index], half, *request.headers[index + 1 :]))
