"""One movie from its frames to a judged micrograph: run the steps in order, reuse what stands, judge, say what failed."""

from __future__ import annotations

import resource
import time

from passerelle.core.digest import fingerprint
from passerelle.core.errors import NotFound, PasserelleError, StorageError, Unreachable, printable
from passerelle.processing.metrics import BY_NAME
from passerelle.processing.quality import judge
from passerelle.processing.records import merged_values
from passerelle.processing.step import Step
from passerelle.processing.steps import STEPS
from passerelle.processing.task import MovieOutcome, MovieTask, StepRecord, TaskError
from passerelle.processing.workspace import Workspace

_CLAIM_SECONDS = 60.0  # a worker whose service was killed ends within seconds


def process_movie(task: MovieTask) -> MovieOutcome:
    """Process one movie; what its folder already holds from the same inputs is not done again.

    Errors that passerelle knows become `outcome.error`, in words; anything else is a fault of the program and is raised.
    """
    started_at = time.time()
    work = Workspace(task)
    error: TaskError | None = None
    current = STEPS[0]
    try:
        with work.records.claimed(_CLAIM_SECONDS):
            work.check_size()
            for current in STEPS:
                work.done[current.name] = _perform(current, work)
    except PasserelleError as problem:
        error = _described(problem, current, task)
    except MemoryError as problem:
        described = StorageError(
            "needs more memory than this machine has free.", advice="Use fewer workers.", path=task.movie
        ).with_traceback(problem.__traceback__)
        error = _described(described, current, task)
    records = tuple(work.done[step.name] for step in STEPS if step.name in work.done)
    values = merged_values(work.done)
    finished_at = time.time()
    if error is None:
        values["processing_seconds"] = sum(record.wall_seconds for record in records)
    metrics = {name: value for name, value in values.items() if name in BY_NAME}
    verdict, reasons = judge(metrics, task.thresholds) if error is None else (None, ())
    return MovieOutcome(
        movie_id=task.movie_id,
        fingerprint=fingerprint({record.step: record.fingerprint for record in records}),
        steps=records,
        metrics=metrics,
        verdict=verdict,
        reasons=reasons,
        alerts=tuple(warning for record in records for warning in record.warnings),
        error=error,
        started_at=started_at,
        finished_at=finished_at,
    )


def _perform(step: Step, work: Workspace) -> StepRecord:
    expected = step.fingerprint(work)
    if standing := work.records.reusable(step.name, expected):
        return standing
    work.records.begin(step.name)
    wall, cpu = time.monotonic(), _cpu_seconds()
    result = step.run(work)
    if step.reads_raw:
        work.check_unchanged()
    return work.records.keep(
        StepRecord(
            step=step.name,
            fingerprint=expected,
            values=result.values,
            outputs=result.outputs,
            warnings=tuple(result.warnings),
            device=result.device,
            cpu_seconds=round(_cpu_seconds() - cpu, 3),
            wall_seconds=round(time.monotonic() - wall, 3),
        )
    )


def _cpu_seconds() -> float:
    """Return the CPU time of this process and of the programs that it has run to their end."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _described(problem: PasserelleError, step: Step, task: MovieTask) -> TaskError:
    # what knows arrays only cannot name the file
    words = str(problem) if problem.path is not None else f"{printable(task.movie)}: {problem}"
    inputs = {task.movie, *task.frames, task.gain, task.defects} - {None}
    away = isinstance(problem, NotFound | Unreachable) and problem.path in inputs
    return TaskError(
        kind=type(problem).__name__,
        message=words,
        step=step.name,
        retry=problem.retry.value,
        absent=problem.path if away else None,
    )
