"""One way of a dataset, from a folder to a folder: what every step of a copy on it shares."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import TracebackType

from passerelle.core.errors import storage_errors
from passerelle.transfer import kernel
from passerelle.transfer.attributes import Keep
from passerelle.transfer.beneath import Root
from passerelle.transfer.blocks import Tick
from passerelle.transfer.medium import Buffers

TEMPORARY_PREFIX = ".p-"  # short and fixed: a prefix before a name of 255 bytes would be too long for the file system
CLOCK_TICK_NS = 20_000_000  # longer than the kernel's clock takes from one time stamp to the next
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC  # NONBLOCK: a FIFO must not hold us
CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
AHEAD = 32  # sources that are open before their turn, so that the kernel reads the next ones while we copy this one
_MANY_FOLDERS = 8


@dataclass(slots=True)
class Leg:
    """One way of a dataset from a folder to a folder.

    run: names this run's temporary files. also: further digests that are wanted. lanes: how many blocks are copied at a time.
    """

    source: Root
    target: Root
    name: str
    run: str
    keep: Keep
    also: tuple[str, ...] = ()
    lanes: int = 1
    tick: Tick = lambda size: None
    buffers: Buffers = field(default_factory=Buffers)
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    def temporary(self) -> str:
        return f"{TEMPORARY_PREFIX}{self.run}-{next(self.numbers):x}"

    @property
    def creation_mode(self) -> int:
        """The mode of a temporary file: nobody else's to read before it has its own, or what the folder gives."""
        return 0o600 if self.keep.mode else 0o666


class Folders:
    """The folders that a batch works in, each opened once."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self._open: dict[str, int] = {}

    def of(self, folder: str) -> int:
        """Return the descriptor of a folder. Raises as `Root.open_folder`."""
        descriptor = self._open.get(folder)
        if descriptor is None:
            descriptor = self._open[folder] = self._root.open_folder(folder)
        return descriptor

    def __enter__(self) -> Folders:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for descriptor in self._open.values():
            os.close(descriptor)


def settle(leg: Leg, folders: Iterable[int]) -> None:
    """Make new names in open folders last through a power cut.

    Raises:
        StorageError and kin: they may be lost.
    """
    folders = set(folders)
    with storage_errors(leg.target.path):
        if len(folders) >= _MANY_FOLDERS and kernel.can_sync_whole(leg.target.descriptor):
            kernel.syncfs(leg.target.descriptor)
            return
        for folder in folders:
            os.fsync(folder)
