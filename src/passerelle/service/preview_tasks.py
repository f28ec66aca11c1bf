"""What a process that makes previews imports: one task, JSON in, JSON out. It has little memory and little time, because files
are hostile, and codecs are large programs: where one of them falls over, a process that has nothing else to do is gone.

The process opens the file itself, beneath its root, and makes a picture only of the very file that was asked about.
"""

from __future__ import annotations

import base64
import os
import resource
import signal
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from types import FrameType
from typing import Any

REGISTRY = "passerelle.service.preview_tasks"
PREVIEW = "preview"

MEMORY_BYTES = 2 << 30  # of addresses: libraries claim a quarter of it before they do anything
FILE_BYTES = 8 << 20  # what it may write: outcomes
CPU_SECONDS = 2.0
WALL_SECONDS = 6.0  # a disk that is far away
_HARD_SECONDS = 9.0  # in a codec that does not come back
_BROKEN_OFF = "cannot be shown in time: it is too large for a preview, or its disk is slow."


class TooLong(BaseException):
    """The time for one preview is over. No library may catch it."""


def WARM() -> None:  # noqa: N802 - a name of the registry
    """Load the libraries and compile what is compiled, then give up what a preview has no use for."""
    from passerelle.processing.code_cache import guard_code_cache
    from passerelle.service.preview_drawing import rehearse

    guard_code_cache()
    rehearse()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES, FILE_BYTES))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


def preview(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """Look at a file and draw it.

    spec: root, within, and identity as (device, inode, size, mtime_ns). Returns kind, facts, picture (PNG or JPEG in base64, or
    None), words (why there is no picture), passing (whether that may be otherwise the next time).
    """
    from passerelle.core.errors import Busy, NotAllowed, NotFound, PasserelleError, StorageError
    from passerelle.formats.source import Source
    from passerelle.service.preview_drawing import draw
    from passerelle.zones import open_file

    root, within = Path(spec["root"]), PurePosixPath(spec["within"])
    try:
        with open_file(root, within) as descriptor, _in_time():
            if identity(os.fstat(descriptor)) != list(spec["identity"]):
                return outcome(words="is not the file any more that it was.", passing=True)
            source = Source.of_descriptor(descriptor, Path(within.name))
            try:
                drawn = draw(source)
            finally:
                source.close()
    except TooLong:
        return outcome(words=_BROKEN_OFF)
    except MemoryError:
        return outcome(words="takes more memory than a preview may have.")
    except PasserelleError as problem:
        passing = isinstance(problem, StorageError | NotFound | NotAllowed | Busy)
        return outcome(words=f"{problem.message} {problem.advice}".strip(), passing=passing)
    return outcome(kind=drawn.kind, facts=drawn.facts, picture=drawn.picture)


def identity(status: os.stat_result) -> list[int]:
    """Return what tells a file, in the state that it is in, from all others."""
    return [status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns]


def outcome(
    *,
    kind: str = "",
    facts: Mapping[str, Any] | None = None,
    picture: bytes | None = None,
    words: str = "",
    passing: bool = False,
) -> dict[str, Any]:
    """Return a preview as it is kept."""
    encoded = None if picture is None else base64.b64encode(picture).decode("ascii")
    return {"kind": kind, "facts": dict(facts or {}), "picture": encoded, "words": words, "passing": passing}


@contextmanager
def _in_time() -> Generator[None]:
    def end(signum: int, frame: FrameType | None) -> None:
        # should this not get through, because a library does not come back: the next one ends the process
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, _HARD_SECONDS - WALL_SECONDS)
        raise TooLong

    former = {number: signal.signal(number, end) for number in (signal.SIGPROF, signal.SIGALRM)}
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
    signal.setitimer(signal.ITIMER_REAL, WALL_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in former.items():
            signal.signal(number, handler)


TASKS: dict[str, Callable[[Mapping[str, Any]], Mapping[str, Any]]] = {PREVIEW: preview}
