"""The curve of a disk that fills: what it was, and what it will be at this rate; lines of a picture, made without a script."""

from __future__ import annotations

import time
from dataclasses import dataclass

from passerelle.service.buffer_view import BufferView

WIDTH, HEIGHT = 720, 150
_EDGE = 20  # words would be cut off
_DAY = 86400.0
_LONGEST_BACK, _SHORTEST_BACK = 7 * _DAY, 6 * 3600.0


@dataclass(frozen=True, slots=True)
class Curve:
    """Points as SVG takes them. days: where a day begins, as (x, days from now)."""

    past: str
    ahead: str
    stop_y: float
    now_x: float
    days: tuple[tuple[float, int], ...]


def curve(view: BufferView, now: float | None = None) -> Curve:
    """Return the curve of a view: the fill over the last days, and as long again ahead."""
    now = time.time() if now is None else now
    oldest = view.samples[0][0] if view.samples else now
    back = min(max(now - oldest, _SHORTEST_BACK), _LONGEST_BACK)
    ahead = back

    def x(at: float) -> float:
        return WIDTH * (at - (now - back)) / (back + ahead)

    def y(free_bytes: float) -> float:
        share = 1.0 - free_bytes / view.total_bytes if view.total_bytes else 0.0
        return HEIGHT * (1.0 - min(max(share, 0.0), 1.0))

    seen = [(at, free) for at, free in view.samples if at >= now - back]
    past = " ".join(f"{x(at):.1f},{y(free):.1f}" for at, free in seen)
    line = ""
    if view.bytes_per_hour:
        hours = min(ahead / 3600.0, view.free_bytes / view.bytes_per_hour)
        end = y(view.free_bytes - hours * view.bytes_per_hour)
        line = f"{x(now):.1f},{y(view.free_bytes):.1f} {x(now + hours * 3600.0):.1f},{end:.1f}"
    days = tuple(
        (round(x(now + day * _DAY), 1), day)
        for day in range(-int(back // _DAY), int(ahead // _DAY) + 1)
        if day and _EDGE < x(now + day * _DAY) < WIDTH - _EDGE
    )
    return Curve(past, line, HEIGHT * (1.0 - view.stop_percent / 100.0), round(x(now), 1), days)
