"""Movies as columns: what the plots, the table and the map of a page are drawn from, compact for 10,000 movies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from passerelle.core.errors import printable
from passerelle.processing.metrics import METRICS
from passerelle.service.view import MovieRow


def movie_columns(rows: Sequence[MovieRow]) -> dict[str, Any]:
    """Return one list a column, all of the same length, and one list a metric that any of the movies has."""
    measured = [m.name for m in METRICS if any(m.name in row.metrics for row in rows)]
    return {
        "id": [row.id for row in rows],
        "name": [printable(row.name) for row in rows],
        "state": [row.state.value for row in rows],
        "verdict": [row.verdict and row.verdict.value for row in rows],
        "chosen": [row.chosen and row.chosen.value for row in rows],
        "found_at": [_short(row.found_at, 3) for row in rows],
        "finished_at": [_short(row.finished_at, 3) for row in rows],
        "acquired_at": [_short(row.acquired_at, 3) for row in rows],
        "square": [row.grid_square and printable(row.grid_square) for row in rows],
        "hole": [row.foil_hole and printable(row.foil_hole) for row in rows],
        "metrics": {name: [_digits(row.metrics.get(name)) for row in rows] for name in measured},
    }


def metric_table() -> list[dict[str, Any]]:
    """Return what a page must know to show a metric: values are stored in `unit`, shown as value × scale in `shown_unit`."""
    return [
        {
            "name": m.name,
            "label": m.label,
            "unit": m.unit,
            "meaning": m.meaning,
            "digits": m.digits,
            "scale": m.scale,
            "shown_unit": m.shown_unit or m.unit,
        }
        for m in METRICS
    ]


def _short(value: float | None, digits: int) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, digits)


def _digits(value: float | None) -> float | None:
    """Six significant digits: 40 % of the bytes, and more than any plot shows."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.6g}")
