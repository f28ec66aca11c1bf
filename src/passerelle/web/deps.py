"""What routes are given."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from passerelle.web.ports import Status


def _status(request: Request) -> Status:
    return request.app.state.status


StatusOf = Annotated[Status, Depends(_status)]
