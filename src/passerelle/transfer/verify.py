"""Read a dataset back from the medium and hold it against its manifest; say what is missing, and which block is damaged."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from passerelle.core.errors import BadFile, NotFound, PasserelleError, storage_errors
from passerelle.transfer.beneath import Root
from passerelle.transfer.blocks import CutShort, NamedFile, block_words, pour
from passerelle.transfer.ledger import read_manifest
from passerelle.transfer.manifest import Manifest, Row
from passerelle.transfer.medium import Buffers, MediumFile
from passerelle.transfer.outcome import Problem, problem_of
from passerelle.transfer.progress import Cancelled, Control, Meter, Progress
from passerelle.transfer.tree import Entry, Kind, entry_of, look, walk_tree

_LANES = 4
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_MOST_NAMED = 20  # damaged blocks that a sentence names


@dataclass(frozen=True, slots=True)
class Verified:
    """What reading back has come to. files, bytes: as the manifest has them, byte by byte; problems: the rest of its rows.

    unknown: files that the manifest does not know; they came later, and nothing can be said of them.
    """

    files: int
    bytes: int
    problems: tuple[Problem, ...]
    unknown: tuple[str, ...]
    seconds: float
    manifest_digest: str
    cancelled: bool

    @property
    def whole(self) -> bool:
        """Everything that the manifest has is there and right."""
        return not self.problems and not self.cancelled


def verify_dataset(
    folder: Path,
    *,
    manifest_of: Path | None = None,
    control: Control | None = None,
    told: Callable[[Progress], None] = lambda progress: None,
) -> Verified:
    """Read every file of a dataset from the medium and compare it with the manifest.

    manifest_of: the folder whose manifest counts, where that is not `folder` itself: so a source is held against its verified
    copy before it may be deleted.

    Raises:
        NotFound: there is no such folder, or no manifest. BadFile: the manifest is damaged.
    """
    control = control or Control()
    meter = Meter(told, control)
    with Root(folder) as root:
        manifest = _manifest(folder if manifest_of is None else manifest_of)
        meter.add(known_files=len(manifest.rows), known_bytes=manifest.bytes)
        problems: list[Problem] = []
        unknown = [entry.path for entry in _strangers(root, manifest, problems)]
        meter.listed()
        _read_all(root, manifest.rows.values(), problems, control, meter)
    progress = meter.now()
    found = tuple(sorted(problems))
    return Verified(progress.files, progress.bytes, found, tuple(unknown), progress.seconds, manifest.digest, control.cancelled)


def _manifest(folder: Path) -> Manifest:
    with Root(folder) as root:
        manifest = read_manifest(root)
    if not manifest.rows and not manifest.digest:
        raise NotFound("has no manifest.", advice="Only what `passerelle copy` has brought can be verified.", path=folder)
    return manifest


def _strangers(root: Root, manifest: Manifest, problems: list[Problem]) -> Iterator[Entry]:
    """Yield what is there and not in the manifest."""

    def trouble(path: str, error: PasserelleError) -> None:
        problems.append(problem_of(path, error))

    for listing in walk_tree(root, trouble):
        for entry in listing.entries.values():
            if entry.kind in {Kind.FILE, Kind.LINK} and entry.path not in manifest.rows:
                yield entry


def _read_all(root: Root, rows: Iterable[Row], problems: list[Problem], control: Control, meter: Meter) -> None:
    """Read all files in a few lanes, in the order of their paths."""
    buffers = Buffers()
    waiting = iter(rows)
    turn = threading.Lock()

    def tick(size: int) -> None:
        meter.add(moved=size)
        control.wait()

    def lane() -> None:
        while True:
            with turn:
                row = next(waiting, None)
            if row is None:
                return
            try:
                verify_row(root, row, buffers, tick)
                meter.add(files=1, bytes=row.size)
            except PasserelleError as error:
                problems.append(problem_of(row.path, error))
                meter.add(problems=1)

    with ThreadPoolExecutor(_LANES, "verify") as pool:
        running = [pool.submit(lane) for _ in range(_LANES)]
    for each in running:
        error = each.exception()
        if error is not None and not isinstance(error, Cancelled):
            raise error


def verify_row(root: Root, row: Row, buffers: Buffers, tick: Callable[[int], None]) -> None:
    """Read one file of a manifest from the medium and compare it; a link by what it says.

    Raises:
        BadFile: it is another; the damaged blocks are named. NotFound, NotAllowed, StorageError: it cannot be read.
    """
    above, _, name = row.path.rpartition("/")
    with root.folder(above) as folder, storage_errors(root.named(row.path)):
        if row.link_to:
            _verify_link(look(folder, row.path), row, root)
            return
        reading = os.open(name, _READ, dir_fd=folder)
    try:
        with storage_errors(root.named(row.path)):
            entry = entry_of(row.path, os.fstat(reading))
        read_back(reading, entry, row, root.named(row.path), buffers, tick)
    finally:
        os.close(reading)


_ADVICE = "Copy it again from where it came, or from another copy."


def read_back(reading: int, entry: Entry, row: Row, name: str, buffers: Buffers, tick: Callable[[int], None]) -> None:
    """Read an open file past the page cache and compare it with its row; raises as `verify_row`."""
    if entry.kind is not Kind.FILE:
        raise BadFile("is no file any more.", advice=_ADVICE, path=name)
    if entry.size != row.size:
        raise BadFile(f"has {entry.size} bytes instead of {row.size}.", advice=_ADVICE, path=name)
    file = MediumFile(reading)
    with storage_errors(name):
        if not file.go_direct():
            file.forget(entry.size)
    _compare(NamedFile(file, name, entry.allocated < entry.size), row, buffers, tick)


def _compare(named: NamedFile, row: Row, buffers: Buffers, tick: Callable[[int], None]) -> None:
    try:
        found = pour(named, None, row.size, buffers, tick)
    except CutShort as error:
        raise BadFile("ends too early.", advice=_ADVICE, path=named.name) from error
    if found.whole == row.digest:
        return
    wrong = [number for number, each in enumerate(found.blocks) if row.blocks and row.block(number) != each.hex()] or [0]
    words = [block_words(number, row.size) for number in wrong[:_MOST_NAMED]]
    more = f" and {len(wrong) - _MOST_NAMED} more" if len(wrong) > _MOST_NAMED else ""
    raise BadFile(
        f"is not what was verified: {', '.join(words)}{more} differs "
        f"(BLAKE3 expected {row.digest[:16]}…, found {found.whole[:16]}…).",
        advice=_ADVICE,
        path=named.name,
    )


def _verify_link(entry: Entry, row: Row, root: Root) -> None:
    if entry.kind is not Kind.LINK or entry.link_to != row.link_to:
        found = f"a link to {entry.link_to}" if entry.kind is Kind.LINK else f"a {entry.kind}"
        raise BadFile(f"is {found} instead of a link to {row.link_to}.", advice=_ADVICE, path=root.named(row.path))
