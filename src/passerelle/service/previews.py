"""Small pictures of files: made by processes that have little time and memory, and kept in the state folder by what the file is.

A file that is written again is another one, so that nothing kept is ever wrong; what is kept longest goes when there is too much.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from blake3 import blake3

from passerelle.compute import PoolExecutor
from passerelle.core.atomic import write_bytes
from passerelle.core.errors import Busy, PasserelleError, StorageError, storage_errors
from passerelle.core.log import logger
from passerelle.service.preview_tasks import PREVIEW, REGISTRY, identity, outcome

_VERSION = 1  # of what a preview looks like: those of another are made anew
_MOST_WAITING = 400
_MOST_BYTES = 512 << 20
_LEAVE = 0.8  # of the most, once that is exceeded
_CHECK_EVERY = 200
_CRASHED = "cannot be shown: what reads it fell over. The file may be damaged."


@dataclass(frozen=True, slots=True)
class Preview:
    """What is shown of a file. picture: PNG or JPEG, None with the reason in words. facts: by names that end in their unit."""

    kind: str
    facts: Mapping[str, float | str]
    picture: bytes | None
    words: str

    @property
    def media_type(self) -> str:
        return "image/png" if (self.picture or b"").startswith(b"\x89PNG") else "image/jpeg"


@dataclass(frozen=True, slots=True)
class _Job:
    key: str
    spec: Mapping[str, Any]
    future: Future[Preview]


class Previews:
    """Makes previews, `workers` at a time, and keeps at most `most_bytes` in `folder`. Processes start at the first use."""

    def __init__(
        self,
        folder: Path,
        *,
        workers: int = 1,
        most_bytes: int = _MOST_BYTES,
        pool: Callable[[int], PoolExecutor] = lambda workers: PoolExecutor(REGISTRY, workers=workers),
    ) -> None:
        self._folder, self._workers, self._most_bytes, self._make_pool = folder, workers, most_bytes, pool
        self._lock = threading.RLock()
        self._pool: PoolExecutor | None = None
        self._waiting: deque[_Job] = deque()
        self._running: dict[str, _Job] = {}
        self._wanted: dict[str, Future[Preview]] = {}
        self._made = 0
        self._closed = False

    def of(self, root: Path, within: PurePosixPath, descriptor: int) -> Future[Preview]:
        """Return what will be the preview of a file beneath a root. descriptor: of the file, which may be closed at once.

        Nobody waits here: faces wait for what is returned. It never fails; why there is no picture is among its words.

        Raises:
            Busy: very many others are waited for.
        """
        with storage_errors(root / within):
            mark = identity(os.fstat(descriptor))
        key = blake3(json.dumps([_VERSION, *mark, within.suffix.lower()]).encode()).hexdigest(length=16)
        kept = self._kept(key)
        if kept is not None:
            ready: Future[Preview] = Future()
            ready.set_result(kept)
            return ready
        with self._lock:
            if key in self._wanted:
                return self._wanted[key]
            if len(self._waiting) >= _MOST_WAITING or self._closed:
                raise Busy("Too many previews are being made.", advice="Look again in a minute.")
            job = _Job(key, {"root": str(root), "within": str(within), "identity": mark}, Future())
            job.future.set_running_or_notify_cancel()  # several may wait for it: none of them can call it off
            self._wanted[key] = job.future
            self._waiting.append(job)
            self._start()
        return job.future

    def close(self) -> None:
        """End the processes. Who still waits is told that there is no picture."""
        with self._lock:
            self._closed = True
            pool, self._pool = self._pool, None
            left = [*self._waiting, *self._running.values()]
            self._waiting.clear()
            self._running.clear()
        if pool is not None:
            pool.close()
        for job in left:
            self._tell(job, _view(outcome(words="cannot be shown: the service is stopping.")))

    # -- within --

    def _start(self) -> None:
        """Give waiting jobs to free processes; the lock is held."""
        if self._pool is None:
            with storage_errors(self._folder):
                self._folder.mkdir(parents=True, exist_ok=True)
            self._pool = self._make_pool(self._workers)
            self._pool.on_ended(self._ended)
        while self._waiting and len(self._running) < self._workers:
            job = self._waiting.popleft()
            try:
                handle = self._pool.submit(PREVIEW, job.spec, self._place(job.key))
            except Busy as problem:
                self._tell(job, _view(outcome(words=f"cannot be shown: {problem.message}")))
                continue
            self._running[handle] = job

    def _ended(self) -> None:
        """Called by a thread of the pool when a process is done, or gone."""
        with self._lock:
            if self._pool is None:
                return
            for ended in self._pool.poll():
                job = self._running.pop(ended.handle, None)
                if job is not None:
                    self._finish(job, ended.lost, ended.unwritten)
            self._start()

    def _finish(self, job: _Job, lost: str | None, unwritten: str | None) -> None:
        if lost is not None:
            logger.warning("preview_lost", why=lost, path=job.spec["within"])
            self._keep(job.key, outcome(words=_CRASHED))  # the same file would do it again
        if unwritten is not None:
            logger.warning("preview_not_kept", why=unwritten)
        self._tell(job, self._kept(job.key) or _view(outcome(words=unwritten or _CRASHED)))
        self._made += 1
        if self._made % _CHECK_EVERY == 1:
            self._bound()

    def _tell(self, job: _Job, preview: Preview) -> None:
        with self._lock:
            self._wanted.pop(job.key, None)
        job.future.set_result(preview)

    def _place(self, key: str) -> Path:
        folder = self._folder / key[:2]
        with storage_errors(folder):
            folder.mkdir(exist_ok=True)
        return folder / f"{key}.json"

    def _kept(self, key: str) -> Preview | None:
        path = self._folder / key[:2] / f"{key}.json"
        try:
            content = json.loads(path.read_bytes())
            preview = _view(content)
            if content["passing"]:
                path.unlink(missing_ok=True)
            else:
                os.utime(path)  # what is looked at stays
        except (OSError, ValueError, KeyError, TypeError):  # not there, or cut off with the machine: it is made anew
            return None
        return preview

    def _keep(self, key: str, content: Mapping[str, Any]) -> None:
        with contextlib.suppress(StorageError, PasserelleError):
            write_bytes(self._place(key), json.dumps(content).encode("ascii"))

    def _bound(self) -> None:
        """Let go of what has not been looked at for longest, where more is kept than may be."""
        found: list[tuple[float, int, Path]] = []
        for path in self._folder.glob("??/*.json"):
            with contextlib.suppress(OSError):
                status = path.stat()
                found.append((status.st_mtime, status.st_size, path))
        total = sum(size for _, size, _ in found)
        if total <= self._most_bytes:
            return
        for _, size, path in sorted(found):
            with contextlib.suppress(OSError):
                path.unlink()
                total -= size
            if total <= self._most_bytes * _LEAVE:
                return


def _view(content: Mapping[str, Any]) -> Preview:
    picture = content["picture"]
    return Preview(content["kind"], content["facts"], None if picture is None else base64.b64decode(picture), content["words"])
