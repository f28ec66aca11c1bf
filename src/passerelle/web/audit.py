"""The audit log's pages: who did what, when, from where, with what result; is it as it was written; all of it as a file."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Annotated, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from starlette.responses import Response, StreamingResponse

from passerelle.service.audit import AuditEntry
from passerelle.web.answers import page, plain
from passerelle.web.deps import ActorOf, AuditOf

router = APIRouter(include_in_schema=False)

_PAGE = 100
_PIECE = 500  # acts a piece of a download
_COLUMNS = ("id", "at", "person", "through", "address", "act", "subject", "result", "words", "data")
Word = Annotated[str, Query(max_length=300)]


@router.get("/audit")
def audit_page(
    request: Request,
    actor: ActorOf,
    log: AuditOf,
    person: Word = "",
    act: Word = "",
    subject: Word = "",
    before: Annotated[int | None, Query(ge=1, le=1 << 62)] = None,
) -> Response:
    """A hundred acts, newest first."""
    chosen = {"person": person.strip(), "act": act.strip(), "subject": subject.strip()}
    entries = log.read(actor, limit=_PAGE, before=before, **_given(chosen))
    query = {name: word for name, word in chosen.items() if word}
    context = {
        "entries": entries,
        "chosen": chosen,
        "filtered": bool(query),
        "query": urlencode(query, errors="replace"),
        "older": urlencode({**query, "before": entries[-1].id}, errors="replace") if len(entries) == _PAGE else "",
        "before": before,
    }
    return page(request, "audit.html", context)


@router.get("/parts/audit/check")
def check_part(request: Request, actor: ActorOf, log: AuditOf) -> Response:
    """Say whether the log is as it was written."""
    return page(request, "_audit_checked.html", {"broken": log.check(actor)})


@router.get("/audit/download")
def download(
    actor: ActorOf, log: AuditOf, format: Literal["csv", "json"] = "csv", person: Word = "", act: Word = "", subject: Word = ""
) -> Response:
    """All acts that the filters let through, as CSV or as lines of JSON."""
    found = log.every(actor, **_given({"person": person, "act": act, "subject": subject}))
    kind, lines = ("text/csv", as_csv(found)) if format == "csv" else ("application/x-ndjson", as_json_lines(found))
    headers = {"content-disposition": f'attachment; filename="audit.{"csv" if format == "csv" else "jsonl"}"'}
    return StreamingResponse(lines, media_type=f"{kind}; charset=utf-8", headers=headers)


def as_csv(entries: Iterable[AuditEntry]) -> Iterator[str]:
    """Write entries as CSV (RFC 4180), many a piece; what a spreadsheet takes for a formula is made text by an apostrophe."""
    yield _csv_lines([_COLUMNS])
    for piece in _pieces(entries):
        yield _csv_lines([_cell(plain(getattr(entry, name))) for name in _COLUMNS] for entry in piece)


def as_json_lines(entries: Iterable[AuditEntry]) -> Iterator[str]:
    """Write entries as JSON, one a line, many lines a piece."""
    for piece in _pieces(entries):
        yield "".join(json.dumps(plain(entry), ensure_ascii=True, allow_nan=False) + "\n" for entry in piece)


def _pieces(entries: Iterable[AuditEntry]) -> Iterator[list[AuditEntry]]:
    """Each piece of an answer goes through a thread and the compression: one a line costs ten times what the line does."""
    left = iter(entries)
    while piece := list(islice(left, _PIECE)):
        yield piece


def _csv_lines(rows: Iterable[Iterable[object]]) -> str:
    lines = io.StringIO()
    csv.writer(lines, lineterminator="\r\n").writerows(rows)
    return lines.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, dict):
        value = json.dumps(value, ensure_ascii=True) if value else ""
    if not isinstance(value, str):
        return value
    text = value.encode("utf-8", "backslashreplace").decode()
    return "'" + text if text.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else text


def _given(chosen: dict[str, str]) -> dict[str, str]:
    return {name: word for name, word in chosen.items() if word}
