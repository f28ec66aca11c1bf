"""A zoo of writers: all the ways in which programs were seen to put a file into a folder, each knowing what counts as whole.

A writer is a generator that yields the seconds until its next step, so that thousands run in a few threads (`run_writers`).
Pauses are multiplied by the job's `scale`. Files are small movies with random, nowhere empty content.
"""

from __future__ import annotations

import heapq
import itertools
import mmap
import os
import random
import shutil
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from threading import Event, Lock, Thread

import numpy as np
import tifffile
from blake3 import blake3

from passerelle.acquisition.metadata import Metadata
from passerelle.acquisition.program import Place, Role

_SIDE = 64  # frames of 4 KiB: smaller than a page, they could not be told from the page they end in
LONGEST_PAUSE_SECONDS = 120.0
_AT_ONCE_SECONDS = 0.25  # below the quiet time after which a whole file is handed on


class ZooProgram:
    """Names of the zoo: movies `*.mrc`, `*.tif`; frames `*-Frame7.mrc`; sidecars `*.xml`; the first folder is the session."""

    name = "zoo"

    def place(self, path: PurePosixPath) -> Place | None:
        session = PurePosixPath(path.parts[0]) if len(path.parts) > 1 else PurePosixPath()
        stem, suffix = path.stem, path.suffix.lower()
        if suffix == ".xml":
            return Place(session, Role.MOVIE_METADATA, movie=stem)
        if suffix == ".mrc" and "-Frame" in stem:
            key, _, number = stem.rpartition("-Frame")
            return Place(session, Role.FRAME, movie=key, frame=int(number))
        if suffix in {".mrc", ".tif"}:
            return Place(session, Role.MOVIE, movie=stem)
        return None

    def read_sidecar(self, path: PurePosixPath, content: bytes) -> Metadata:
        return Metadata(frames=int(content.split(b"frames='")[1].split(b"'")[0]))


@dataclass
class Job:
    """One writer's task and, when it has run, the truth about it.

    path: the file that counts. complete: digests of every content that is whole by the writer's own word, the last one the final.
    closed_at: when the last byte was written and closed (UTC). unfinished: it was killed; what it left must never be handed on.
    came_late: a whole file stood there for so long that it was rightly handed on, and what came then was another one.
    """

    kind: str
    folder: Path
    name: str
    random: random.Random
    scale: float = 0.05
    frames: int = 8
    longest_pauses: bool = False
    path: Path = field(default_factory=Path)
    complete: list[str] = field(default_factory=list)
    others: list[tuple[Path, str]] = field(default_factory=list)
    closed_at: float | None = None
    unfinished: bool = False
    came_late: bool = False

    def movie(self) -> bytes:
        """Return a whole MRC movie with new content."""
        return mrc_bytes(self.frames, self.random)

    def pause(self, longest: float = LONGEST_PAUSE_SECONDS) -> float:
        """Return seconds to wait, up to `longest` on the scale of the job; exactly that with `longest_pauses`."""
        if self.longest_pauses:
            return longest * self.scale
        return self.random.uniform(0.02, 1.0) * longest * self.scale

    def done(self, content: bytes | None = None, path: Path | None = None) -> None:
        """Note that the file is whole and closed now."""
        self.path = path or self.path
        self.complete.append(digest(self.path.read_bytes() if content is None else content))
        self.closed_at = time.time()


def digest(content: bytes) -> str:
    """Return the digest by which contents are compared."""
    return blake3(content).hexdigest()


def mrc_bytes(frames: int, rng: random.Random, side: int = _SIDE) -> bytes:
    """Return a whole MRC stack of 8-bit frames."""
    header = bytearray(1024)
    struct.pack_into("<4i", header, 0, side, side, frames, 0)
    struct.pack_into("<3i", header, 28, side, side, frames)
    struct.pack_into("<6f3i", header, 40, float(side), float(side), float(frames), 90.0, 90.0, 90.0, 1, 2, 3)
    header[208:216] = b"MAP \x44\x44\0\0"
    pixels = bytes(1 + byte % 100 for byte in rng.randbytes(side * side)) * frames
    marked = bytearray(pixels)
    for frame in range(frames):  # each frame differs from the others
        struct.pack_into("<I", marked, frame * side * side, 0x01010101 + rng.getrandbits(24))
    return bytes(header) + bytes(marked)


def _sidecar(frames: int) -> bytes:
    return f"<?xml version='1.0'?><image frames='{frames}'><pixel>1.0</pixel></image>\n".encode()


def _append(path: Path, content: bytes) -> None:
    with path.open("ab") as stream:
        stream.write(content)


def _at(path: Path, offset: int, content: bytes) -> None:
    with path.open("r+b") as stream:
        stream.seek(offset)
        stream.write(content)


# --- the writers -------------------------------------------------------------------------------------------------------------


def at_once(job: Job) -> Iterator[float]:
    """Open, write, close."""
    content = job.movie()
    (job.folder / f"{job.name}.mrc").write_bytes(content)
    job.done(content, job.folder / f"{job.name}.mrc")
    yield 0.0


def append_and_reopen(job: Job) -> Iterator[float]:
    """Open, append a frame or two, close, come again."""
    content, job.path = job.movie(), job.folder / f"{job.name}.mrc"
    step = 1024 + _SIDE * _SIDE
    for start in range(0, len(content), step):
        _append(job.path, content[start : start + step])
        if start + step < len(content):
            yield job.random.uniform(0.0, 0.6)
    job.done(content)


def pause_while_open(job: Job) -> Iterator[float]:
    """Write half, pause with the file open, write the rest."""
    content, job.path = job.movie(), job.folder / f"{job.name}.mrc"
    cut = job.random.randrange(1, len(content))
    with job.path.open("wb", buffering=0) as stream:
        stream.write(content[:cut])
        yield job.pause()
        stream.write(content[cut:])
    job.done(content)


def pause_while_closed(job: Job) -> Iterator[float]:
    """Write half, close, pause, append the rest."""
    content, job.path = job.movie(), job.folder / f"{job.name}.mrc"
    cut = job.random.randrange(1, len(content))
    job.path.write_bytes(content[:cut])
    yield job.pause()
    _append(job.path, content[cut:])
    job.done(content)


def rename_into_place(job: Job) -> Iterator[float]:
    """Write under a temporary name, rename when done."""
    content = job.movie()
    temporary = job.folder / job.random.choice([f".p-{job.name}", f"{job.name}.mrc.tmp", f"{job.name}.mrc.filepart"])
    temporary.write_bytes(content[:3000])
    yield job.pause(20.0)
    _append(temporary, content[3000:])
    yield 0.01
    temporary.rename(job.folder / f"{job.name}.mrc")
    job.done(content, job.folder / f"{job.name}.mrc")


def mapped(job: Job) -> Iterator[float]:
    """Give the file its size, map it, close it, fill the map in any order, unmap."""
    content, job.path = job.movie(), job.folder / f"{job.name}.mrc"
    with job.path.open("w+b") as stream:
        stream.truncate(len(content))
        view = mmap.mmap(stream.fileno(), len(content))
    pieces = list(range(0, len(content), 4096))
    for turn, start in enumerate(pieces):
        view[start : start + 4096] = content[start : start + 4096]
        if turn in {0, len(pieces) // 2}:
            yield job.pause(30.0)
    view.close()
    job.done(content)


def sidecar_first(job: Job) -> Iterator[float]:
    """The sidecar comes long before its movie."""
    sidecar = job.folder / f"{job.name}.xml"
    sidecar.write_bytes(_sidecar(job.frames))
    job.others.append((sidecar, digest(_sidecar(job.frames))))
    yield job.pause(60.0)
    yield from append_and_reopen(job)


def sidecar_late(job: Job) -> Iterator[float]:
    """The sidecar comes after its movie, itself in two halves."""
    yield from append_and_reopen(job)
    yield job.pause(60.0)
    sidecar, content = job.folder / f"{job.name}.xml", _sidecar(job.frames)
    sidecar.write_bytes(content[:30])
    yield job.random.uniform(0.1, 1.0)
    _append(sidecar, content[30:])
    job.others.append((sidecar, digest(content)))


def preallocated(job: Job) -> Iterator[float]:
    """Write the header, give the file its full size, close; fill it later, from front to back, with pauses."""
    content, job.path = job.movie(), job.folder / f"{job.name}.mrc"
    with job.path.open("wb") as stream:
        stream.write(content[:1024])
        stream.flush()
        if job.random.random() < 0.5:
            os.posix_fallocate(stream.fileno(), 0, len(content))
        else:
            stream.truncate(len(content))
    yield job.pause()
    cuts = sorted(job.random.randrange(1025, len(content) - 200) for _ in range(3))
    for first, last in itertools.pairwise([1024, *cuts, len(content)]):
        _at(job.path, first, content[first:last])
        if last < len(content):
            yield job.pause(20.0)
    job.done(content)


def zero_filled(job: Job) -> Iterator[float]:
    """Write the header and zeros up to the full size, close; overwrite the zeros later."""
    content, job.path = job.movie(), job.folder / f"{job.name}.mrc"
    job.path.write_bytes(content[:1024] + bytes(len(content) - 1024))
    yield job.pause(100.0)
    half = job.random.randrange(1500, len(content) - 500)
    _at(job.path, 1024, content[1024:half])
    yield job.pause(100.0)
    _at(job.path, half, content[half:])
    job.done(content)


def backwards(job: Job) -> Iterator[float]:
    """Write from the end to the start, the header last, closing in between."""
    content, job.path = job.movie(), job.folder / f"{job.name}.mrc"
    job.path.touch()
    pieces = list(range(0, len(content), 5000))
    for start in reversed(pieces):
        _at(job.path, start, content[start : start + 5000])
        if start:
            yield job.pause(10.0)
    job.done(content)


def any_order(job: Job) -> Iterator[float]:
    """Hold the file open and write its blocks in random order."""
    content, job.path = job.movie(), job.folder / f"{job.name}.mrc"
    pieces = list(range(0, len(content), 2000))
    job.random.shuffle(pieces)
    with job.path.open("wb", buffering=0) as stream:
        for start in pieces:
            stream.seek(start)
            stream.write(content[start : start + 2000])
            yield job.random.uniform(0.0, 0.3)
    job.done(content)


def killed(job: Job) -> Iterator[float]:
    """Be killed half-way: in the plain manner, or with the full size given before."""
    content, job.path = job.movie(), job.folder / f"{job.name}.mrc"
    cut = job.random.randrange(1, len(content) - 200)
    job.unfinished = True
    with job.path.open("wb") as stream:
        stream.write(content[:cut])
        if cut > 1024 and job.random.random() < 0.5:
            stream.truncate(len(content))
    yield 0.0


def rewritten(job: Job) -> Iterator[float]:
    """Write a whole movie, then at once truncate the file and write another."""
    first, content, job.path = job.movie(), job.movie(), job.folder / f"{job.name}.mrc"
    job.path.write_bytes(first)
    job.done(first)
    stood_since = time.monotonic()
    yield job.random.uniform(0.0, 0.15)
    with job.path.open("wb", buffering=0) as stream:
        job.came_late = time.monotonic() - stood_since > _AT_ONCE_SECONDS
        stream.write(content[:4000])
        yield job.pause(10.0)
        stream.write(content[4000:])
    job.done(content)


def rewritten_later(job: Job) -> Iterator[float]:
    """Write a whole movie; when it was handed on long ago, write another one over it. It must be taken up twice."""
    first, content, job.path = job.movie(), job.movie(), job.folder / f"{job.name}.mrc"
    job.path.write_bytes(first)
    job.done(first)
    yield 20.0
    with job.path.open("wb", buffering=0) as stream:
        stream.write(content[:4000])
        yield job.pause(20.0)
        stream.write(content[4000:])
    job.done(content)


def linked(job: Job) -> Iterator[float]:
    """Write under a hidden name, link the file to its name, remove the hidden one."""
    content, hidden = job.movie(), job.folder / f".{job.name}"
    hidden.write_bytes(content)
    yield job.random.uniform(0.0, 0.5)
    job.path = job.folder / f"{job.name}.mrc"
    job.path.hardlink_to(hidden)
    job.done(content)
    yield job.random.uniform(0.0, 0.2)
    hidden.unlink()


def copied(job: Job) -> Iterator[float]:
    """Copy a file that was made an hour ago, then set its old time (`cp -p`, robocopy)."""
    content, source = job.movie(), job.folder.parent / f".source-{job.name}"
    source.write_bytes(content)
    hour_ago = time.time() - 3600
    os.utime(source, (hour_ago, hour_ago))
    yield 0.0
    job.path = job.folder / f"{job.name}.mrc"
    shutil.copy2(source, job.path)
    job.done(content)
    source.unlink()


def time_set_early(job: Job) -> Iterator[float]:
    """Set an old time while still writing, as some copiers do on a share."""
    content, job.path = job.movie(), job.folder / f"{job.name}.mrc"
    cut = job.random.randrange(1, len(content))
    with job.path.open("wb", buffering=0) as stream:
        stream.write(content[:cut])
        os.utime(job.path, (1e9, 1e9))
        yield job.pause(20.0)
        stream.write(content[cut:])
        os.utime(job.path, (1e9, 1e9))
    job.done(content)


def time_set_later(job: Job) -> Iterator[float]:
    """Write and close; some time later another program sets the file's time."""
    yield from at_once(job)
    yield job.pause(60.0)
    moment = 1_700_000_000 + job.random.random()
    os.utime(job.path, (moment, moment))


def small_appends(job: Job) -> Iterator[float]:
    """Hold the file open and append a little at a time, as a camera program does on a share."""
    content, job.path = job.movie(), job.folder / f"{job.name}.mrc"
    with job.path.open("wb", buffering=0) as stream:
        for start in range(0, len(content), 512):
            stream.write(content[start : start + 512])
            if start % 4096 == 0:
                yield job.random.uniform(0.0, 0.2)
    job.done(content)


def tiff_pages(job: Job) -> Iterator[float]:
    """Append page after page to a TIFF, opening and closing it each time: it is valid after each. Its sidecar comes first."""
    sidecar, text = job.folder / f"{job.name}.xml", _sidecar(job.frames)
    sidecar.write_bytes(text)
    job.others.append((sidecar, digest(text)))
    yield 0.5
    job.path = job.folder / f"{job.name}.tif"
    for page in range(job.frames):
        pixels = np.frombuffer(job.random.randbytes(_SIDE * _SIDE), np.uint8).reshape(_SIDE, _SIDE)
        tifffile.imwrite(job.path, pixels, append=page > 0, metadata=None)
        job.done()
        if page < job.frames - 1:
            yield job.pause(20.0)


def single_frames(job: Job) -> Iterator[float]:
    """Write one file a frame, not in order (Falcon frames copied in bulk)."""
    order = list(range(job.frames))
    job.random.shuffle(order)
    for k in order:
        content, path = mrc_bytes(1, job.random), job.folder / f"{job.name}-Frame{k}.mrc"
        path.write_bytes(content)
        job.others.append((path, digest(content)))
        yield job.random.uniform(0.0, 0.2)
    last, seen = job.others.pop()
    job.path, job.complete = last, [seen]
    job.closed_at = time.time()


def folder_moved_in(job: Job) -> Iterator[float]:
    """Write a whole folder elsewhere on the same disk, then rename it into the watched tree."""
    content, outside = job.movie(), job.folder.parent / f".moving-{job.name}"
    outside.mkdir()
    (outside / f"{job.name}.mrc").write_bytes(content)
    yield job.random.uniform(0.0, 0.5)
    outside.rename(job.folder / job.name)
    job.done(content, job.folder / job.name / f"{job.name}.mrc")


KINDS: dict[str, Callable[[Job], Iterator[float]]] = {
    writer.__name__: writer
    for writer in (
        at_once,
        append_and_reopen,
        pause_while_open,
        pause_while_closed,
        rename_into_place,
        mapped,
        sidecar_first,
        sidecar_late,
        preallocated,
        zero_filled,
        backwards,
        any_order,
        killed,
        rewritten,
        rewritten_later,
        linked,
        copied,
        time_set_early,
        time_set_later,
        small_appends,
        tiff_pages,
        single_frames,
        folder_moved_in,
    )
}


def run_writers(jobs: Sequence[Job], *, over_seconds: float, threads: int = 2, stop: Event | None = None) -> None:
    """Run all jobs, their starts spread evenly over `over_seconds`, in a few threads; return when the last has ended.

    Raises:
        OSError: what the first writer that failed has met.
    """
    lock, failures, number = Lock(), list[OSError](), itertools.count()
    begun = time.monotonic()
    heap = [(begun + over_seconds * k / max(1, len(jobs)), next(number), KINDS[job.kind](job)) for k, job in enumerate(jobs)]
    heapq.heapify(heap)
    running = len(heap)

    def work() -> None:
        nonlocal running
        while True:
            with lock:
                if not running or failures or (stop is not None and stop.is_set()):
                    return
                now = time.monotonic()
                entry = heapq.heappop(heap) if heap and heap[0][0] <= now else None
                wait = min(0.02, max(0.0, heap[0][0] - now)) if heap else 0.02
            if entry is None:
                time.sleep(wait)
                continue
            try:
                pause = next(entry[2], None)
            except OSError as error:
                failures.append(error)
                return
            with lock:
                if pause is None:
                    running -= 1
                else:
                    heapq.heappush(heap, (time.monotonic() + pause, next(number), entry[2]))

    workers = [Thread(target=work, name=f"writer-{k}") for k in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if failures:
        raise failures[0]
