"""The verdict on a micrograph: its metrics against thresholds, each reason a sentence that a person understands."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping
from typing import Literal

from passerelle.processing.metrics import BY_NAME, Metric
from passerelle.processing.recipe import Threshold

Verdict = Literal["accept", "warn", "reject"]

# Why a value outside of its limits is bad, where the number alone does not say so.
_BECAUSE: dict[tuple[str, str], str] = {
    ("contamination_percent", "above"): "ice crystals, carbon or other objects cover too much of the picture",
    ("ice_ring_score", "above"): "the ice is crystalline",
    ("ctf_resolution_angstrom", "above"): "the Thon rings fade early: drift, thick ice, contamination or a failed fit",
    ("ctf_score", "below"): "the fitted rings hardly agree with the spectrum",
    ("residual_gain_sd", "above"): "the gain reference does not fit the movie",
    ("residual_gain_ratio", "above"): "the gain reference does not fit the movie",
    ("total_motion_angstrom", "above"): "the stage or the ice drifted",
}
# What another reason of the same micrograph may explain as well: then no innocent gain reference is looked for.
_MAYBE: dict[str, tuple[str, str]] = {
    "residual_gain_sd": ("contamination_percent", "contamination alone may do this"),
    "residual_gain_ratio": ("contamination_percent", "contamination alone may do this"),
}
_MOST_DIGITS = 6


def judge(metrics: Mapping[str, float | None], thresholds: Mapping[str, Threshold]) -> tuple[Verdict, tuple[str, ...]]:
    """Return the verdict on a micrograph and the reasons for it, the gravest first.

    metrics: values by name (processing.metrics), in their stored units. A metric that was not measured (absent) is not judged;
    one that is not a number (None, as databases keep it) marks the micrograph. A value exactly on a limit is inside.
    """
    rejected: dict[str, tuple[str, str]] = {}
    marked: dict[str, tuple[str, str]] = {}
    for name, threshold in thresholds.items():
        if name not in metrics:
            continue
        value = metrics[name]
        if value is None or math.isnan(value):
            marked[name] = (f"{_label(name)} could not be measured", "")
        elif found := _outside(name, value, threshold.reject_min, threshold.reject_max):
            rejected[name] = found
        elif found := _outside(name, value, threshold.warn_min, threshold.warn_max):
            marked[name] = found
    verdict: Verdict = "reject" if rejected else "warn" if marked else "accept"
    reasons = rejected | marked
    outside = {name for name, (_, side) in reasons.items() if side}
    return verdict, tuple(sentence + _because(name, side, outside) for name, (sentence, side) in reasons.items())


def _outside(name: str, value: float, low: float | None, high: float | None) -> tuple[str, str] | None:
    """Say on which side of its limits a value lies, in a sentence and a word."""
    if high is not None and value > high:
        word = "worse than" if name == "ctf_resolution_angstrom" else "above"
        return _sentence(name, value, word, high), "above"
    if low is not None and value < low:
        return _sentence(name, value, "below", low), "below"
    return None


def _sentence(name: str, value: float, word: str, limit: float) -> str:
    metric = BY_NAME.get(name) or Metric(name, name, "", "", digits=3)
    unit = metric.shown_unit or metric.unit
    shown, bound = value * metric.scale, limit * metric.scale
    limit_text = f"{bound:.10g}"
    # enough digits that the two numbers of the sentence differ
    for digits in range(metric.digits, _MOST_DIGITS + 1):
        value_text = f"{shown:.{digits}f}"
        if float(value_text) != float(limit_text):
            break
    else:
        value_text = f"{shown:.10g}"
    space = f" {unit}" if unit and unit != "°" else unit
    return f"{metric.label} {value_text}{space} is {word} {limit_text}{space}"


def _because(name: str, side: str, outside: Container[str]) -> str:
    other, maybe = _MAYBE.get(name, ("", ""))
    reason = maybe if other in outside else _BECAUSE.get((name, side))
    return f": {reason}" if reason else ""


def _label(name: str) -> str:
    metric = BY_NAME.get(name)
    return metric.label if metric else name
