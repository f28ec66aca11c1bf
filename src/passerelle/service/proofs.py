"""What the manifest of a dataset says of the files in a folder: verified, when, by which leg; or changed since."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath

from passerelle.core.errors import BadFile, NotFound, PasserelleError
from passerelle.transfer import Manifest
from passerelle.transfer.manifest import MANIFEST, read_lines
from passerelle.transfer.tree import OWN_FOLDER
from passerelle.zones import Entry, open_file

_MOST_BYTES = 48 << 20  # of a manifest, some 150,000 files: read in a second, once
_KEPT = 8


class ProofState(StrEnum):
    """How a file stands to the manifest."""

    VERIFIED = "verified"  # as it was when it was read back from the medium
    CHANGED = "changed"  # of another size or time than then
    UNLISTED = "unlisted"  # came later, or is not verified yet


@dataclass(frozen=True, slots=True)
class Proof:
    """What is known of one file. at: UTC seconds when it was read back from the medium. leg: what brought it."""

    state: ProofState
    at: float | None = None
    leg: str = ""
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Dataset:
    """The dataset that a folder belongs to. within: its folder. trouble: why its manifest cannot be used."""

    within: PurePosixPath
    files: int = 0
    bytes: int = 0
    digest: str = ""
    legs: tuple[str, ...] = ()
    trouble: str = ""


class Proofs:
    """Reads manifests beneath roots, and keeps the last few."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[int, ...], Manifest] = OrderedDict()

    def of(self, root: Path, folder: PurePosixPath, entries: Iterable[Entry]) -> tuple[Dataset | None, dict[str, Proof]]:
        """Return the dataset that a folder belongs to, and what its manifest says of the folder's files, by their names."""
        within = folder
        while True:
            try:
                manifest = self._manifest(root, within / OWN_FOLDER / MANIFEST)
                break
            except NotFound:
                if within == within.parent:
                    return None, {}
                within = within.parent
            except PasserelleError as problem:
                return Dataset(within, trouble=problem.message), {}
        start = folder.relative_to(within)
        proofs = {entry.name: _proof(manifest, start / entry.name, entry) for entry in entries if entry.kind == "file"}
        legs = tuple(manifest.legs)
        return Dataset(within, len(manifest.rows), manifest.bytes, manifest.digest, legs), proofs

    def _manifest(self, root: Path, place: PurePosixPath) -> Manifest:
        with open_file(root, place) as descriptor:
            status = os.fstat(descriptor)
            mark = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
            with self._lock:
                if mark in self._kept:
                    self._kept.move_to_end(mark)
                    return self._kept[mark]
            if status.st_size > _MOST_BYTES:
                raise BadFile(f"The manifest is too large to be read for a page ({status.st_size >> 20} MiB).")
            with os.fdopen(os.dup(descriptor), "rb") as stream:
                manifest = read_lines(stream, str(place))
        with self._lock:
            self._kept[mark] = manifest
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return manifest


def _proof(manifest: Manifest, path: PurePosixPath, entry: Entry) -> Proof:
    row = manifest.rows.get(str(path))
    if row is None or row.link_to:
        return Proof(ProofState.UNLISTED)
    same = (row.size, row.mtime_ns) == (entry.size, entry.mtime_ns)
    return Proof(ProofState.VERIFIED if same else ProofState.CHANGED, row.at, row.leg, row.digest)
