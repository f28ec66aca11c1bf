"""Pictures and results of movies, served only from beneath the folders that the service names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request
from starlette.responses import FileResponse, Response

from passerelle.core.errors import NotFound, storage_errors
from passerelle.web.deps import StatusOf

router = APIRouter(tags=["files"])

# shown in place; everything else is saved to disk, whatever its name says
_PICTURES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"}
_ROLE = re.compile(r"[a-z0-9_]{1,60}")


def _roots(request: Request) -> Sequence[Path]:
    return request.app.state.files_beneath


Roots = Annotated[Sequence[Path], Depends(_roots)]


@router.get("/files/{movie_id}/{role}", response_class=FileResponse)
def movie_file(movie_id: int, role: str, status: StatusOf, roots: Roots) -> Response:
    """Return an output of a movie by its role."""
    if not _ROLE.fullmatch(role):
        raise NotFound("There is no output of this name.")
    return _file(status.output_path(movie_id, role), roots)


@router.get("/sessions/{session_id}/grid/atlas", response_class=FileResponse)
def atlas(session_id: int, status: StatusOf, roots: Roots) -> Response:
    """Return the picture of the atlas."""
    return _file(status.grid_picture(session_id, None), roots)


@router.get("/sessions/{session_id}/grid/squares/{square_id}", response_class=FileResponse)
def square(session_id: int, square_id: str, status: StatusOf, roots: Roots) -> Response:
    """Return the picture of a grid square."""
    return _file(status.grid_picture(session_id, square_id), roots)


def _file(path: Path, roots: Sequence[Path]) -> Response:
    """Serve a regular file that lies, links followed, beneath one of `roots`."""
    with storage_errors(path.name):
        real = path.resolve(strict=True)
    if not any(real.is_relative_to(root.resolve()) for root in roots) or not real.is_file():
        raise NotFound("This file is not among the results.")
    kind = _PICTURES.get(real.suffix.lower())
    headers = {"cache-control": "private, max-age=86400"}
    if kind is None:
        headers["content-disposition"] = f"attachment; filename*=utf-8''{quote(real.name, safe='', errors='replace')}"
    return FileResponse(real, media_type=kind or "application/octet-stream", headers=headers)
