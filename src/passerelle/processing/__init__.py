"""The on-the-fly stages of one movie: recipe, steps, quality."""

from passerelle.processing.metrics import BY_NAME, METRICS, Metric, default_thresholds
from passerelle.processing.recipe import Recipe, Threshold
from passerelle.processing.task import MovieOutcome, MovieTask, StepRecord, TaskError

__all__ = [
    "BY_NAME",
    "METRICS",
    "Metric",
    "MovieOutcome",
    "MovieTask",
    "Recipe",
    "StepRecord",
    "TaskError",
    "Threshold",
    "default_thresholds",
]
