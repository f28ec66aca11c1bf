"""What a stage of the processing is, and what it hands back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from passerelle.core.digest import fingerprint
from passerelle.processing.workspace import Workspace


@dataclass
class Result:
    """What a step hands back: numbers with the unit in the name, outputs by role, sentences for a person; device: where it worked
    on the frames, if it did."""

    values: dict[str, Any] = field(default_factory=dict[str, Any])
    outputs: dict[str, str] = field(default_factory=dict[str, str])
    warnings: list[str] = field(default_factory=list[str])
    device: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """A stage. `version` changes when its results would; `after` are the steps whose results it reads.

    reads_raw: it reads the movie or its references, which must be the same files when it has ended.
    """

    name: str
    version: int
    after: tuple[str, ...]
    depends: Callable[[Workspace], dict[str, Any]]
    run: Callable[[Workspace], Result]
    reads_raw: bool = False

    def fingerprint(self, work: Workspace) -> str:
        """Return what identifies this step's result: its version, what it depends on, and the steps before it."""
        before = {name: work.done[name].fingerprint for name in self.after}
        return fingerprint({"step": self.name, "version": self.version, "inputs": self.depends(work), "before": before})


def rounded(values: NDArray[Any], digits: int = 4) -> list[float]:
    """Return numbers as JSON holds them, `digits` after the point."""
    return [round(float(value), digits) for value in values]
