"""The verb `recompress`: raw MRC movies become compressed TIFF beside them, proven; originals go only where that is asked for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event
from typing import Any, Literal

from passerelle.core.atomic import sync_folder
from passerelle.core.errors import NotFound, PasserelleError, UnsupportedFile, storage_errors
from passerelle.formats import recompress_movie
from passerelle.gateway.admit import ignored
from passerelle.gateway.leases import users_of
from passerelle.gateway.settle import Writers

_SUFFIXES = (".mrc", ".mrcs")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one movie. words: why it was passed over, failed, or why its original stays."""

    path: str
    state: Literal["recompressed", "skipped", "failed"]
    target: str | None = None
    original_bytes: int = 0
    target_bytes: int = 0
    removed: bool = False
    words: str = ""
    error: PasserelleError | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the outcome as JSON holds it."""
        return {name: value for name, value in asdict(self).items() if name != "error"}


def recompress(
    place: Path,
    *,
    method: Literal["lzw", "deflate"] = "deflate",
    remove_original: bool = False,
    stop: Event | None = None,
    told: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Recompress a movie, or all of a folder; what an earlier run has done is proven again and not written again.

    remove_original: an original is removed after its copy was read back from the disk and found equal, and only if no process
    of this machine has it open. stop: ends after the movie in hand.

    Raises:
        NotFound: there is no such file or folder.
    """
    if not place.exists():
        raise NotFound("is not there.", path=place)
    outcomes: list[Outcome] = []
    for path in _movies(place):
        if stop is not None and stop.is_set():
            break
        outcome = recompress_one(path, method=method, remove_original=remove_original)
        outcomes.append(outcome)
        told(outcome)
    return outcomes


def recompress_one(path: Path, *, method: Literal["lzw", "deflate"], remove_original: bool) -> Outcome:
    """Recompress one movie; an error is an answer, too."""
    try:
        done = recompress_movie(path, method=method)
        words = _remove(path, done.identity) if remove_original else ""
    except UnsupportedFile as error:
        return Outcome(str(path), "skipped", words=str(error))
    except PasserelleError as error:
        return Outcome(str(path), "failed", words=str(error), error=error)
    return Outcome(
        str(path),
        "recompressed",
        str(done.target),
        done.original_bytes,
        done.target_bytes,
        removed=remove_original and not words,
        words=words,
    )


def _movies(place: Path) -> Iterator[Path]:
    if not place.is_dir():
        yield place
        return
    for root, folders, names in os.walk(place):
        folders[:] = sorted(name for name in folders if not ignored(name))
        for name in sorted(names):
            path = Path(root) / name
            if path.suffix.lower() in _SUFFIXES and not ignored(name) and not path.is_symlink():
                yield path


def _remove(path: Path, identity: tuple[int, int, int]) -> str:
    """Remove an original of which a proven copy is on the disk; return why it stays, or nothing.

    The only place in the product that removes a file that it has not made.
    """
    with storage_errors(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            status = os.fstat(descriptor)
            if (status.st_size, status.st_mtime_ns, status.st_ino) != identity:
                return "The original stays: it has changed since its copy was proven."
            users = users_of(descriptor)
            if users is Writers.SOME:
                return "The original stays: another process has it open; run it again later."
            if users is Writers.UNKNOWN:
                return "The original stays: this file system or account cannot tell whether another process has it open."
            path.unlink()
            sync_folder(path.parent)
        finally:
            os.close(descriptor)
    return ""
