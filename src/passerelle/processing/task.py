"""The work on one movie as it travels to a compute node and back: JSON in, JSON out, no database."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from passerelle.processing.recipe import Recipe, Threshold


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ProgramUse(_Message):
    """An external program that a task uses: where it lies, what its results depend on, how long it may take."""

    executable: str
    version: str
    arguments: tuple[str, ...] = ()
    seconds: float = 1800.0


class MovieTask(_Message):
    """Everything that processing one movie needs.

    movie: path of the movie file, or of the first of `frames` (single-frame files in order). metadata: reconciled values, by the
    names of acquisition.metadata.Metadata. folder: where outputs and step records go. generation: counts the times that the
    file was opened again; part of every fingerprint. programs: those that the recipe names, by name. threads: how many this task
    may use; no result depends on it. device: where its frames are worked on, see imaging.devices; results differ by less than
    0.02 px and 1e-3, and no fingerprint depends on it (docs/decisions/0007).
    """

    movie_id: int
    name: str
    movie: str
    frames: tuple[str, ...] = ()
    size: int
    mtime_ns: int
    generation: int = 0
    metadata: dict[str, Any]
    gain: str | None = None
    defects: str | None = None
    check_gain: bool = False
    recipe: Recipe = Recipe()
    programs: dict[str, ProgramUse] = {}
    thresholds: dict[str, Threshold]
    folder: str
    threads: int = 1
    device: str = "cpu"


class StepRecord(_Message):
    """What one step did. values: numbers with the unit in the name. outputs: role -> file name inside the task's folder. device:
    where it worked on the frames, for steps that do."""

    step: str
    fingerprint: str
    values: dict[str, Any] = {}
    outputs: dict[str, str] = {}
    output_bytes: dict[str, int] = {}  # role -> size: a record vouches for outputs of just this size
    warnings: tuple[str, ...] = ()
    device: str | None = None
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    reused: bool = False  # nothing that the step depends on had changed


class TaskError(_Message):
    """Why a task could not be done, in words; `retry` says whether a later try may succeed."""

    kind: str  # class name in core.errors
    message: str
    step: str
    retry: Literal["never", "later", "now"]
    absent: str | None = None  # the input that is not there (any more), or whose disk is away: the work itself is not at fault


class MovieOutcome(_Message):
    """The result of a MovieTask: every step that ran, the metrics by name (processing.metrics), the verdict with its reasons."""

    movie_id: int
    fingerprint: str
    steps: tuple[StepRecord, ...]
    metrics: dict[str, float] = {}
    verdict: Literal["accept", "warn", "reject"] | None = None
    reasons: tuple[str, ...] = ()
    alerts: tuple[str, ...] = ()
    error: TaskError | None = None
    started_at: float
    finished_at: float
