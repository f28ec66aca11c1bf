"""What each step did, kept beside its outputs: a step runs again only when something that it depends on has changed."""

from __future__ import annotations

import errno
import fcntl
import math
import os
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from passerelle.core.atomic import sync_folder, write_bytes
from passerelle.core.errors import BadFile, Busy, storage_errors
from passerelle.processing.task import StepRecord

_LOCK = ".lock"
_LOOK_SECONDS = 0.1
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL, errno.EBADF})


class Records:
    """The step records of one movie, one JSON file a step in the movie's folder, written by rename."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def reusable(self, step: str, fingerprint: str) -> StepRecord | None:
        """Return the record of `step` if it was made from the same inputs and its outputs are still whole."""
        path = self._path(step)
        try:
            record = StepRecord.model_validate_json(path.read_bytes())
        except (FileNotFoundError, ValidationError):
            return None  # never done, or a record of another version: do it
        if record.fingerprint != fingerprint:
            return None
        if any(self._size(name) != record.output_bytes.get(role) for role, name in record.outputs.items()):
            return None
        return record.model_copy(update={"reused": True})

    def begin(self, step: str) -> None:
        """Remove the record of `step` before its outputs are written: it must not vouch for what a run cut short has left."""
        with storage_errors(self._path(step)):
            try:
                self._path(step).unlink()
            except FileNotFoundError:
                return
            sync_folder(self.folder)

    @contextmanager
    def claimed(self, wait_seconds: float) -> Generator[None]:
        """Make the folder and let nobody else write into it until the block ends; a claim ends with its process.

        A worker that outlives its service for a moment, and the one that follows it, would leave a mix of files.

        Raises:
            Busy: another process works here for longer than `wait_seconds`.
            OutOfSpace, StorageError, NotAllowed: as the operating system says.
        """
        path = self.folder / _LOCK
        with storage_errors(path):
            self.folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            until = time.monotonic() + wait_seconds
            while not _locked(descriptor):
                if time.monotonic() >= until:
                    raise Busy("another process still works on this movie.", advice="It is tried again.", path=self.folder)
                time.sleep(_LOOK_SECONDS)
            yield
        finally:
            os.close(descriptor)

    def keep(self, record: StepRecord) -> StepRecord:
        """Write the record, with the sizes of its outputs; last, so that a record proves its outputs whole."""
        sizes = {role: self._size(name) for role, name in record.outputs.items()}
        for role, size in sizes.items():
            if size is None:
                raise BadFile("was written and is not there any more.", path=self.folder / record.outputs[role])
        complete = record.model_copy(update={"output_bytes": sizes})
        self.write(self._path(record.step).name, complete.model_dump_json(indent=1).encode())
        return complete

    def write(self, name: str, content: bytes) -> str:
        """Write a small output by rename; return its name.

        Raises:
            OutOfSpace, StorageError, NotAllowed: as the operating system says.
        """
        path = self.folder / name
        with storage_errors(path):
            write_bytes(path, content)
        return name

    def _path(self, step: str) -> Path:
        return self.folder / f"step-{step}.json"

    def _size(self, name: str) -> int | None:
        try:
            return (self.folder / name).stat().st_size
        except FileNotFoundError:
            return None


def _locked(descriptor: int) -> bool:
    """Try to take the lock; True also where the file system has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in _NO_LOCKS
    return True


def merged_values(records: Mapping[str, StepRecord]) -> dict[str, float]:
    """Return all numbers of all steps by name; a later step's value replaces an earlier one's.

    What a step could not measure is not a number, which JSON writes as null.
    """
    return {
        name: math.nan if value is None else float(value)
        for record in records.values()
        for name, value in record.values.items()
        if (value is None or isinstance(value, int | float)) and not isinstance(value, bool)
    }
