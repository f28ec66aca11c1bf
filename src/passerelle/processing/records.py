"""What each step did, kept beside its outputs: a step runs again only when something that it depends on has changed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from passerelle.core.atomic import write_bytes
from passerelle.core.errors import BadFile, storage_errors
from passerelle.processing.task import StepRecord


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


def merged_values(records: Mapping[str, StepRecord]) -> dict[str, float]:
    """Return all numbers of all steps by name; a later step's value replaces an earlier one's."""
    return {
        name: float(value)
        for record in records.values()
        for name, value in record.values.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
