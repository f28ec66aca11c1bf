"""The values that faces show: pages, command and API alike. Read only; `service.status` makes them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from passerelle.core.states import MovieState, SessionState, Verdict
from passerelle.processing.recipe import Threshold


class _View(BaseModel):
    model_config = ConfigDict(frozen=True)


class Counters(_View):
    """How many movies are where. found counts all that were ever seen; accepted/warned/rejected are of those done."""

    found: int = 0
    waiting: int = 0  # known, file not whole yet
    queued: int = 0
    running: int = 0
    done: int = 0
    accepted: int = 0
    warned: int = 0
    rejected: int = 0
    failed: int = 0


class Flow(_View):
    """How fast it goes. Rates are over the last hour (or the session's age when it is younger)."""

    found_per_hour: float = 0.0
    processed_per_hour: float = 0.0
    last_movie_age_seconds: float | None = None
    oldest_waiting_age_seconds: float | None = None
    backlog_seconds: float | None = None  # at the present rate
    latency_p50_seconds: float | None = None  # file whole -> picture shown
    latency_p95_seconds: float | None = None
    start_p95_seconds: float | None = None  # file closed -> processing started
    running_seconds: float | None = None  # since the session's first file


class Disk(_View):
    path: str
    free_bytes: int
    total_bytes: int
    hours_until_full: float | None = None


class AlertView(_View):
    id: int
    session_id: int | None
    kind: str
    level: str  # info, warning, error
    message: str
    advice: str
    opened_at: float
    closed_at: float | None = None


class SessionView(_View):
    id: int
    name: str
    instrument: str
    camera: str
    program: str
    root: str
    state: SessionState
    opened_at: float
    last_file_at: float | None
    counters: Counters
    flow: Flow
    disks: tuple[Disk, ...] = ()
    values: dict[str, Any] = {}  # voltage, pixel size, dose … as reconciled on the latest movie
    conflicts: tuple[dict[str, Any], ...] = ()
    thresholds: dict[str, Threshold] = {}
    alerts: tuple[AlertView, ...] = ()
    has_grid: bool = False


class MovieRow(_View):
    """One movie in lists, plots and strips. metrics by processing.metrics name; absent where not measured."""

    id: int
    name: str
    state: MovieState
    verdict: Verdict | None
    chosen: Verdict | None  # a person's choice; it overrules the verdict
    found_at: float
    finished_at: float | None
    acquired_at: float | None
    metrics: dict[str, float]
    grid_square: str | None = None
    foil_hole: str | None = None
    error: str | None = None  # why it has no result, or waits; and what to do
    advice: str | None = None
    reasons: tuple[str, ...] = ()  # of the verdict, the gravest first


class EventView(_View):
    id: int
    at: float
    kind: str
    session_id: int | None
    movie_id: int | None
    data: dict[str, Any]


class MovieView(_View):
    """All that is known of one movie. outputs: role -> path under /files/. curves: data of the plots, see below.

    curves["drift"]: {"frame": […], "dy_angstrom": […], "dx_angstrom": […]}.
    curves["local"]: {"y": […], "x": […], "dy_px": [[…] a patch], "dx_px": [[…] a patch]}.
    curves["ctf"]: {"spacing_per_angstrom": […], "spectrum": […], "model": […], "agreement": […]}.
    """

    row: MovieRow
    session_id: int
    session_name: str
    path: str
    attempts: int
    generation: int
    reasons: tuple[str, ...]
    error: str | None
    advice: str | None
    values: dict[str, Any]
    sources: dict[str, str]
    conflicts: tuple[dict[str, Any], ...]
    notes: tuple[str, ...] = ()  # what a person should know of how it was made
    steps: tuple[dict[str, Any], ...]
    outputs: dict[str, str]
    curves: dict[str, Any]
    recipe: dict[str, Any]
    history: tuple[EventView, ...]
    previous_id: int | None = None
    next_id: int | None = None


class GridHole(_View):
    """A foil hole or exposure on the map. x, y: pixels in its square's picture, None where the metadata does not tell."""

    id: str
    square: str
    x: float | None
    y: float | None
    movies: tuple[int, ...]


class GridSquare(_View):
    """A grid square. x, y: pixels in the atlas picture."""

    id: str
    x: float | None
    y: float | None
    picture: str | None
    width_px: float | None
    height_px: float | None
    holes: tuple[GridHole, ...]


class GridView(_View):
    """Atlas -> squares -> holes, from EPU's metadata. picture: URL path of the atlas image."""

    picture: str | None
    width_px: float | None
    height_px: float | None
    squares: tuple[GridSquare, ...]
