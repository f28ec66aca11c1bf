"""What must hold of every answer, whatever was asked, by whomever."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import passerelle
from tests.attack.drive import Answer, Request
from tests.attack.nasty import MARK, UNESCAPED

WORK_SECONDS, SLOW_SECONDS = 1.5, 10.0  # of this process, and in all: other tests run beside it
MOST_BYTES = 6 << 20  # beside four times the body: a whole page with its templates
MOST_BYTES_OF_LARGE = 24 << 20  # Python's parsers of forms and JSON take up to 80 times a body; it has 256 KiB at most
_SMALL_BODY = 1 << 14
OPEN_TO_NOBODY = ("/log-in", "/alive", "/healthz", "/static/")  # what answers before a log-in
_PLAIN_PEOPLE = ("nobody", "carl", "small token")
_OUR_HEADERS = {
    "content-security-policy": "default-src 'self'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "",
}
_INNER_WORDS = (b"Traceback (most", b"site-packages", b"sqlalchemy", b"sqlite3.", b"pydantic_core", b"$argon2", b'.py", line')


class Rules:
    """folder: of the facility, which people without rights never read; secrets: words that only some may read."""

    def __init__(self, folder: Path, secrets: Sequence[str]) -> None:
        self._folder = str(folder).encode()
        self._own = re.compile(re.escape(self._folder) + rb"/zones/(?!oona|daemon)[\w.-]+")  # where one's own zones lie
        self._sources = str(Path(passerelle.__file__).parent).encode()
        self._secrets = [each.encode() for each in secrets]

    def broken(self, request: Request, answer: Answer) -> list[str]:
        """Return what does not hold, in words."""
        return [
            *self._whole(request, answer),
            *self._nothing_comes_back(answer),
            *self._nothing_is_told(request, answer),
            *self._headers(answer),
        ]

    def _whole(self, request: Request, answer: Answer) -> list[str]:
        said: list[str] = []
        if answer.failure is not None:
            said.append(f"raised {type(answer.failure).__name__}: {str(answer.failure)[:200]}")
        elif answer.status >= 500 and answer.status not in (503, 507):
            said.append(f"answered {answer.status}: {answer.body[:200]!r}")
        elif not answer.status:
            said.append("no answer")
        most = MOST_BYTES + 4 * sum(map(len, request.body)) if sum(map(len, request.body)) < _SMALL_BODY else MOST_BYTES_OF_LARGE
        if answer.peak_bytes > most:
            said.append(f"took {answer.peak_bytes / 2**20:.1f} MiB of memory")
        if answer.cpu_seconds > WORK_SECONDS or answer.seconds > SLOW_SECONDS:
            said.append(f"took {answer.seconds:.1f} s, {answer.cpu_seconds:.1f} s of them at work")
        length = answer.header("content-length")
        if length and answer.whole and request.method != "HEAD" and answer.status != 304 and int(length) != len(answer.body):
            said.append(f"says {length} bytes, sent {len(answer.body)}")
        return said

    def _nothing_comes_back(self, answer: Answer) -> list[str]:
        body = answer.body if answer.is_page or not answer.header("content-type") else b""
        said = [f"reflects {each!r}" for each in UNESCAPED if each in body]
        for name, value in answer.headers:
            if any(c in name + value for c in (b"\r", b"\n", b"\x00")):
                said.append(f"a header is split: {name!r}: {value!r}")
            if any(each in value for each in UNESCAPED):
                said.append(f"a header reflects: {name!r}: {value!r}")
            if name == b"location" and (value.startswith((b"//", b"/\\")) or b"evil.example" in value.partition(b"?")[0]):
                said.append(f"leads elsewhere: {value!r}")
        if any(name.lower() == f"x-injected-{MARK}".encode() or name.lower() == b"x-injected" for name, _ in answer.headers):
            said.append("a header was put in")
        return said

    def _nothing_is_told(self, request: Request, answer: Answer) -> list[str]:
        everything = b"\n".join([answer.body, *(value for _, value in answer.headers)])
        said = [f"tells {word!r}" for word in (*_INNER_WORDS, self._sources) if word in everything]
        if request.who in _PLAIN_PEOPLE:
            said += ["tells where files lie"] if self._folder in self._own.sub(b"", everything) else []
            said += [f"tells {word!r}" for word in self._secrets if word in everything]
        if request.who == "nobody" and answer.status < 300 and not request.path.startswith(OPEN_TO_NOBODY):
            said.append(f"lets nobody in: {answer.status}")
        return said

    def _headers(self, answer: Answer) -> list[str]:
        said = [
            f"header {name} is {answer.header(name)!r}"
            for name, begin in _OUR_HEADERS.items()
            if answer.status and not (answer.header(name) and answer.header(name).startswith(begin))
        ]
        if answer.body and not answer.header("content-type"):
            said.append("does not say what it is")
        return said
