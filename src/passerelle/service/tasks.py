"""What a compute node imports: the registered tasks, JSON in, JSON out, idempotent. No database, no configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

REGISTRY = "passerelle.service.tasks"
MOVIE = "movie"


def run_movie(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """Process one movie: a `processing.MovieTask` in, a `processing.MovieOutcome` out."""
    # here, and not above: the service itself names these tasks without loading numba and the rest
    from passerelle.processing.code_cache import guard_code_cache
    from passerelle.processing.movie import process_movie
    from passerelle.processing.task import MovieTask

    guard_code_cache()

    return process_movie(MovieTask.model_validate(spec)).model_dump(mode="json")


def WARM() -> None:  # noqa: N802 - a name of the registry, as TASKS is
    """Load the libraries, so that the first movie need not wait for them."""
    import passerelle.processing.movie  # noqa: F401


def REHEARSE() -> list[str]:  # noqa: N802 - a name of the registry, as TASKS is
    """Compile all kernels ahead of the first movie; return what went wrong."""
    from passerelle.processing.code_cache import guard_code_cache
    from passerelle.processing.rehearsal import rehearse

    guard_code_cache()
    return rehearse()


TASKS: dict[str, Callable[[Mapping[str, Any]], Mapping[str, Any]]] = {MOVIE: run_movie}
