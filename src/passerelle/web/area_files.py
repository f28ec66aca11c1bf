"""Folders and files of zones and of instruments: pages, pictures, downloads; the same routes for both.

Paths in addresses carry names as `store.paths` does, once more percent-encoded: a byte that is no UTF-8 is %FF in the name, and
%25FF in the address.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import ExitStack
from typing import Annotated, Any
from urllib.parse import quote

from blake3 import blake3
from fastapi import APIRouter, Header, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response, StreamingResponse

from passerelle.core.errors import BadInput, UnsupportedFile
from passerelle.service.access import Actor
from passerelle.service.file_view import FileView, LeafView, PreviewView
from passerelle.service.files import AreaKind, Files
from passerelle.service.previews import Preview
from passerelle.store.paths import from_text
from passerelle.web.answers import Json, page
from passerelle.web.deps import ActorOf, FilesOf
from passerelle.web.sending import ArchiveResponse, DescriptorResponse, picture_answer
from passerelle.zones import Order

PREFIXES = {AreaKind.ZONE: "zones", AreaKind.INSTRUMENT: "instruments"}
LIST_PAGE, GRID_PAGE = 200, 60
# what is asked for a picture without being asked to; the page of any other file still says what it is
PICTURED = frozenset(
    {".mrc", ".mrcs", ".map", ".st", ".rec", ".tif", ".tiff", ".eer", ".dm3", ".dm4"}
    | {".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".cbf", ".edf", ".img", ".sfrm", ".mccd"}
)
_MOST_ITEMS = 400

First = Annotated[int, Query(ge=0, le=1 << 40)]


def address(prefix: str, name: str, what: str, path: str) -> str:
    """Return the address of something in an area. path: as views carry it."""
    return f"/{prefix}/{quote(name, safe='')}/{what}/{quote(path, safe='/')}"


def pages_of(kind: AreaKind) -> APIRouter:
    """Return the pages of an area's folders and files."""
    prefix = PREFIXES[kind]
    router = APIRouter(prefix=f"/{prefix}/{{name}}", include_in_schema=False)

    @router.get("/files")
    def top(name: str) -> Response:
        return RedirectResponse(address(prefix, name, "files", ""), status_code=303)

    @router.get("/files/{path:path}")
    def show(
        request: Request,
        name: str,
        path: str,
        actor: ActorOf,
        files: FilesOf,
        order: Order = Order.NAME,
        down: bool = False,
        first: First = 0,
        view: str = "",
    ) -> Response:
        """A folder as a list or a grid of thumbnails, or a file."""
        shared = {"kind": kind.value, "prefix": prefix, "name": name, "to": _addresses(prefix, name)}
        if not files.is_folder(actor, kind, name, path):
            return page(request, "file.html", shared | {"file": files.file(actor, kind, name, path)})
        if view not in ("grid", "list"):
            sample = files.folder(actor, kind, name, path, limit=20)
            view = "grid" if sum(map(pictured, sample.entries)) * 2 > len(sample.entries) else "list"
        limit = GRID_PAGE if view == "grid" else LIST_PAGE
        folder = files.folder(actor, kind, name, path, order=order, descending=down, first=first, limit=limit)
        return page(
            request,
            "folder.html",
            shared | {"folder": folder, "view": view, "limit": limit, "pictured": pictured, "inside": _inside(folder)},
        )

    @router.get("/looks/{path:path}")
    async def look(request: Request, name: str, path: str, actor: ActorOf, files: FilesOf) -> Response:
        """The part of a file's page that waits for the picture."""
        seen = await previewed(files, actor, kind, name, path)
        context = {"seen": seen, "within": path, "to": _addresses(prefix, name)}
        return page(request, "_look.html", context)

    _add_bytes(router, kind)
    return router


def api_of(kind: AreaKind) -> APIRouter:
    """Return the JSON of an area's folders and files, and their bytes."""
    router = APIRouter(prefix=f"/api/{PREFIXES[kind]}/{{name}}", tags=["files"])

    @router.get("/folders/{path:path}", response_model=LeafView, name=f"{kind}_folder")
    def folder(
        name: str,
        path: str,
        actor: ActorOf,
        files: FilesOf,
        order: Order = Order.NAME,
        down: bool = False,
        first: First = 0,
        limit: Annotated[int, Query(ge=1, le=1000)] = LIST_PAGE,
    ) -> Response:
        """A page of a sorted folder: names as later requests take them, sizes, paths, what the manifest says."""
        return Json(files.folder(actor, kind, name, path, order=order, descending=down, first=first, limit=limit))

    @router.get("/files/{path:path}", response_model=FileView, name=f"{kind}_file")
    def file(name: str, path: str, actor: ActorOf, files: FilesOf) -> Response:
        """A file: size, times, paths, what the manifest says, the first lines of a text."""
        return Json(files.file(actor, kind, name, path))

    @router.get("/previews/{path:path}", response_model=PreviewView, name=f"{kind}_preview")
    async def preview(name: str, path: str, actor: ActorOf, files: FilesOf) -> Response:
        """What a file shows, and what its header says; the picture itself lies at `pictures`."""
        seen = await previewed(files, actor, kind, name, path)
        return Json(PreviewView(kind=seen.kind, facts=dict(seen.facts), picture=seen.picture is not None, words=seen.words))

    _add_bytes(router, kind)
    return router


def _add_bytes(router: APIRouter, kind: AreaKind) -> None:
    @router.get("/pictures/{path:path}", response_class=Response, name=f"{kind}_picture")
    async def picture(
        name: str, path: str, actor: ActorOf, files: FilesOf, if_none_match: Annotated[str, Header()] = ""
    ) -> Response:
        """The small picture of a file: PNG or JPEG, 512 pixels at most."""
        seen = await previewed(files, actor, kind, name, path)
        if seen.picture is None:
            raise UnsupportedFile(f"There is no picture: the file {seen.words}")
        return picture_answer(seen.picture, seen.media_type, f'"{blake3(seen.picture).hexdigest(length=12)}"', if_none_match)

    @router.get("/download/{path:path}", response_class=StreamingResponse, name=f"{kind}_download")
    def download(
        name: str,
        path: str,
        actor: ActorOf,
        files: FilesOf,
        range: Annotated[str, Header(max_length=200)] = "",
        if_range: Annotated[str, Header(max_length=200)] = "",
    ) -> Response:
        """A file, to be saved. Ranges are understood, so that a download can be taken up again."""
        with ExitStack() as stack:
            descriptor = stack.enter_context(files.download(actor, kind, name, path))
            saved_as = from_text(path).name
            return _kept_open(
                stack, lambda close: DescriptorResponse(descriptor, saved_as, wanted=range, since=if_range, close=close)
            )

    @router.get("/bundle/{path:path}", response_class=StreamingResponse, name=f"{kind}_bundle")
    def bundle(
        name: str,
        path: str,
        actor: ActorOf,
        files: FilesOf,
        item: Annotated[list[str] | None, Query(max_length=_MOST_ITEMS)] = None,
    ) -> Response:
        """A folder, or some `item`s of it, as one ZIP file that is made while it is sent."""
        if "" in (item or ()):
            raise BadInput("The name of something in this folder is missing.", advice="Reload the page.")
        pieces = files.bundle(actor, kind, name, path, item or [])
        folder = from_text(path.strip("/")).name if path.strip("/") else name
        return ArchiveResponse(pieces, f"{folder}.zip")


def _kept_open(stack: ExitStack, make: Callable[[Callable[[], None]], Response]) -> Response:
    """Return a response that closes what `stack` holds; if it cannot be made, the stack closes it."""
    kept = stack.pop_all()
    try:
        return make(kept.close)
    except BaseException:
        kept.close()
        raise


async def previewed(files: Files, actor: Actor, kind: AreaKind, name: str, path: str) -> Preview:
    """Wait for a preview without holding a thread."""
    waited = await run_in_threadpool(files.preview, actor, kind, name, path)
    return await asyncio.wrap_future(waited)


def pictured(entry: Any) -> bool:
    """Say whether a file's name promises a picture."""
    return entry.kind == "file" and os.path.splitext(entry.name)[1].lower() in PICTURED  # noqa: PTH122 - a name, not a path


def _inside(folder: LeafView) -> Callable[[Any], str]:
    """Return what makes the path of an entry; not a macro of the template, which would escape names for HTML."""
    return lambda entry: f"{folder.path}/{entry.name}" if folder.path else entry.name


def _addresses(prefix: str, name: str) -> Callable[[str, str], str]:
    return lambda what, path: address(prefix, name, what, path)
