"""A stand-in for the service with generated sessions: what the pages are developed and tested against.

`python -m tests.web_demo --port 8000` serves it, with a new movie every few seconds.
"""

from __future__ import annotations

import argparse
import math
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from passerelle.core.config import parse_config
from passerelle.core.errors import NotFound
from passerelle.core.states import MovieState, SessionState, Verdict
from passerelle.processing import quality
from passerelle.processing.metrics import default_thresholds
from passerelle.processing.recipe import Recipe, Threshold
from passerelle.service.access import Actor, Through, this_account
from passerelle.service.attempts import Attempt
from passerelle.service.view import (
    AlertView,
    Counters,
    Disk,
    EventView,
    Flow,
    GridHole,
    GridSquare,
    GridView,
    MovieRow,
    MovieView,
    SessionView,
)
from tests.web_pictures import draw_pictures

HOSTILE = '<img src=x onerror="document.title=\'owned\'">&"\u202egnp.\n\udcff movie'
_HOLES_A_SQUARE = 12


def judge(metrics: Mapping[str, float], thresholds: Mapping[str, Threshold]) -> tuple[Verdict, tuple[str, ...]]:
    verdict, reasons = quality.judge(metrics, thresholds)
    return Verdict(verdict), reasons


class DemoDoor:
    """Asks nobody, as `people.log_in = false` does."""

    asks = False
    proxies: Sequence[str] = ()

    def who(self, *, cookie: str = "", authorization: str = "", address: str = "") -> Actor:
        return this_account(Through.PAGE, address=address)


class DemoKeeping:
    """What the page of alerts asks of the facility's care: nothing is muted."""

    parts = SimpleNamespace(instruments=("krios1-falcon", "krios1-k2"))
    mutes = SimpleNamespace(standing=lambda _: [], open_sessions=lambda _: [(1, "Supervisor_20261129_apoferritin")])


class DemoStatus:
    """Implements passerelle.web.ports.Status and Facility in memory, the same for everybody."""

    doorkeeper = DemoDoor()
    keeping = DemoKeeping()

    @property
    def attempts(self) -> DemoStatus:
        return self

    def note(self, attempt: Attempt, *, address: str, path: str, person: str = "", through: str = "page") -> None:
        """Nothing is written down."""

    def live(self, actor: Actor) -> DemoStatus:
        return self

    def __init__(self, folder: Path, movies: int = 240, *, pictures: int = 6, hostile: bool = False, empty: bool = False) -> None:
        self.folder = folder
        self.kinds = pictures
        draw_pictures(folder, pictures)
        self._lock = threading.RLock()
        self._events: list[EventView] = []
        self._rows: dict[int, MovieRow] = {}
        self._of_session: dict[int, list[int]] = {1: [], 2: [], 3: [], 4: []}
        self._errors: dict[int, tuple[str, str]] = {}
        self._reasons: dict[int, tuple[str, ...]] = {}
        self._thresholds = {number: default_thresholds() for number in self._of_session}
        self._state = dict.fromkeys(self._of_session, SessionState.OPEN) | {3: SessionState.CLOSED}
        self._alerts: list[AlertView] = []
        self.calls: list[tuple[Any, ...]] = []
        self._rng = np.random.default_rng(7)
        if empty:
            self._of_session = {}
            return
        now = time.time()
        for session_id, count in ((1, movies), (2, movies // 3), (3, movies // 2)):
            for number in range(count):
                age = (count - number) * 11.0 + (86_400 if session_id == 3 else 0)
                self._add(session_id, found_at=now - age, state=MovieState.DONE)
        if hostile:
            self._add(2, found_at=now, state=MovieState.DONE, name=HOSTILE)
        self._set_aside(self._of_session[1][movies // 2], now)
        for state in (MovieState.RUNNING, MovieState.RUNNING, MovieState.QUEUED, MovieState.QUEUED, MovieState.QUEUED):
            self._add(1, found_at=now - 4, state=state)
        self._alerts.append(
            AlertView(
                id=1,
                session_id=1,
                kind="gain_orientation",
                level="warning",
                message="The gain fits better when it is flipped along x (residual pattern 0.011 instead of 0.058).",
                advice="Check the gain's orientation; set gain.orientation = flip_x and process the session again.",
                opened_at=now - 900,
            )
        )
        self._alerts.append(
            AlertView(
                id=2,
                session_id=2,
                kind="no_new_movie",
                level="error",
                message="No new movie for 26 minutes.",
                advice="Look at the microscope: is the acquisition paused, or the share not mounted on the camera's computer?",
                opened_at=now - 120,
            )
        )

    # what the tests do
    def arrive(self, session_id: int = 1, **metrics: float) -> int:
        """Let a movie come in and be processed at once."""
        with self._lock:
            movie_id = self._add(session_id, found_at=time.time() - 20, state=MovieState.DONE, metrics=metrics)
            self._event("movie_found", session_id, movie_id)
            self._event("movie_done", session_id, movie_id)
            return movie_id

    def _event(self, kind: str, session_id: int | None, movie_id: int | None, **data: Any) -> None:
        number = self._events[-1].id + 1 if self._events else 1
        self._events.append(EventView(id=number, at=time.time(), kind=kind, session_id=session_id, movie_id=movie_id, data=data))

    def _add(
        self,
        session_id: int,
        *,
        found_at: float,
        state: MovieState,
        name: str | None = None,
        metrics: Mapping[str, float] | None = None,
    ) -> int:
        movie_id = len(self._rows) + 1
        number = len(self._of_session[session_id])
        hole = number // 2
        done = state is MovieState.DONE
        values = {**self._metrics(number), **(metrics or {})} if done else {}
        verdict, self._reasons[movie_id] = judge(values, self._thresholds[session_id]) if done else (None, ())
        self._rows[movie_id] = MovieRow(
            id=movie_id,
            name=name or f"FoilHole_{21_400_000 + hole * 37}_Data_{2_150_000 + number}_20261122_{number:06d}_fractions",
            state=state,
            verdict=verdict,
            chosen=None,
            found_at=found_at,
            finished_at=found_at + 18 if done else None,
            acquired_at=found_at - 3,
            metrics=values,
            grid_square=f"{15_000 + hole // _HOLES_A_SQUARE}",
            foil_hole=f"{21_400_000 + hole * 37}",
        )
        self._of_session[session_id].append(movie_id)
        return movie_id

    def _metrics(self, number: int) -> dict[str, float]:
        rng = self._rng
        bad = rng.uniform() < 0.05
        defocus = float(rng.choice([12000, 15000, 18000, 21000, 24000]) + rng.normal(0, 700))
        total = float(rng.lognormal(2.9, 0.45) * (3 if bad and rng.uniform() < 0.4 else 1))
        resolution = 3.1 + 0.5 * rng.gamma(2.0, 0.4) + (rng.uniform(3, 9) if bad else 0) + 0.4 * math.sin(number / 30)
        return {
            "ctf_resolution_angstrom": float(resolution),
            "defocus_angstrom": defocus,
            "astigmatism_angstrom": float(rng.gamma(2, 110)),
            "astigmatism_angle_deg": float(rng.uniform(-90, 90)),
            "ctf_score": float(np.clip(rng.normal(0.21, 0.03) - (0.12 if bad else 0), 0.0, 1)),
            "ice_ring_score": float(rng.gamma(2, 0.06) + (0.5 if bad else 0)),
            "total_motion_angstrom": total,
            "early_motion_angstrom": 0.45 * total,
            "late_motion_angstrom": 0.55 * total,
            "max_frame_motion_angstrom": 0.22 * total,
            "local_motion_px": float(rng.gamma(3, 0.3)),
            "contamination_percent": float(rng.gamma(1.2, 2.0) + (rng.uniform(0, 60) if bad else 0)),
            "dose_e_per_angstrom2": 41.0 + float(rng.normal(0, 0.3)),
            "counts_per_pixel": 18.2 + float(rng.normal(0, 0.4)),
            "residual_gain_sd": float(rng.normal(0.012, 0.001)),
            "residual_gain_ratio": float(rng.normal(1.05, 0.005)),
            "frames": 40.0,
            "pixel_size_angstrom": 0.6666,
            "processing_seconds": float(rng.normal(13, 1.2)),
        }

    def _set_aside(self, movie_id: int, now: float) -> None:
        row = self._rows[movie_id]
        self._rows[movie_id] = row.model_copy(update={"state": MovieState.FAILED, "verdict": None, "metrics": {}})
        self._errors[movie_id] = (
            "ends after frame 17 of 40: expected 1,342,177,280 bytes, found 570,425,344.",
            "Copy the movie again from the camera's computer; it is then taken up by itself.",
        )
        self._event("movie_failed", 1, movie_id, error=self._errors[movie_id][0])

    # the port
    def sessions(self) -> Sequence[SessionView]:
        return [self.session(number) for number in self._of_session]

    def session(self, session_id: int) -> SessionView:
        if session_id not in self._of_session:
            raise NotFound(f"There is no session {session_id}.", advice="The list of sessions shows those there are.")
        with self._lock:
            rows = [self._rows[number] for number in self._of_session[session_id]]
        now = time.time()
        states = [row.state for row in rows]
        verdicts = [row.chosen or row.verdict for row in rows if row.state is MovieState.DONE]
        names = {
            1: ("26nov22_apoferritin_g3", "Krios 1", "Falcon 4i", "EPU", "sessions/26nov22_apoferritin_g3"),
            2: ("ribosome_screen_7", "Krios 1", "K2 Summit", "SerialEM", "k2/ribosome_screen_7"),
            3: ("26nov21_bgal_overnight", "Krios 2", "Falcon 4i", "EPU", "sessions/26nov21_bgal_overnight"),
            4: ("26nov22_just_opened", "Krios 2", "Falcon 2", "EPU", "sessions/26nov22_just_opened"),
        }
        name, instrument, camera, program, root = names[session_id]
        last = max((row.found_at for row in rows), default=None)
        is_open = self._state[session_id] is SessionState.OPEN
        return SessionView(
            id=session_id,
            name=name,
            instrument=instrument,
            camera=camera,
            program=program,
            root=root,
            state=self._state[session_id],
            opened_at=min((row.found_at for row in rows), default=now - 60),
            last_file_at=last,
            counters=Counters(
                found=len(rows),
                waiting=0,
                queued=states.count(MovieState.QUEUED),
                running=states.count(MovieState.RUNNING),
                done=states.count(MovieState.DONE),
                accepted=verdicts.count(Verdict.ACCEPT),
                warned=verdicts.count(Verdict.WARN),
                rejected=verdicts.count(Verdict.REJECT),
                failed=states.count(MovieState.FAILED),
            ),
            flow=Flow(
                found_per_hour=318.0 if rows and is_open else 0,
                processed_per_hour=311.0 if rows and is_open else 0,
                last_movie_age_seconds=None if last is None else now - last,
                oldest_waiting_age_seconds=4.0 if MovieState.QUEUED in states else None,
                backlog_seconds=58.0 if MovieState.QUEUED in states else None,
                latency_p50_seconds=17.2 if rows else None,
                latency_p95_seconds=23.9 if rows else None,
                start_p95_seconds=0.7 if rows else None,
                running_seconds=None if last is None else last - min(row.found_at for row in rows),
            ),
            disks=(Disk(path="/gateway", free_bytes=int(11.3e12), total_bytes=int(30e12), hours_until_full=67.0),),
            values={
                "voltage_kv": 300.0,
                "spherical_aberration_mm": 2.7,
                "pixel_size_angstrom": 0.6666,
                "dose_e_per_angstrom2": 41.0,
                "exposure_seconds": 3.42,
                "frames": 40,
                "width_px": 4096,
                "height_px": 4096,
                "magnification": 130000.0,
                "microscope": "TITAN-KRIOS-3619",
                "gain_reference": "20261120_EER_gain.gain",
            }
            if rows
            else {},
            conflicts=({"name": "pixel_size_angstrom", "said": {"EPU XML": 0.6666, "MRC header": 0.667}, "used": "EPU XML"},)
            if session_id == 1
            else (),
            thresholds=self._thresholds[session_id],
            alerts=tuple(a for a in self._alerts if a.session_id == session_id and a.closed_at is None),
            has_grid=session_id == 1,
        )

    def movies(self, session_id: int, *, ids: Sequence[int] | None = None) -> Sequence[MovieRow]:
        self.session(session_id)
        with self._lock:
            wanted = None if ids is None else set(ids)
            return [self._rows[n] for n in self._of_session[session_id] if wanted is None or n in wanted]

    def latest_movies(self, session_id: int, limit: int) -> Sequence[MovieRow]:
        rows = [row for row in self.movies(session_id) if row.state in {MovieState.DONE, MovieState.FAILED}]
        return sorted(rows, key=lambda row: row.finished_at or 0, reverse=True)[:limit]

    def _session_of(self, movie_id: int) -> int:
        for session_id, numbers in self._of_session.items():
            if movie_id in numbers:
                return session_id
        raise NotFound(f"There is no movie {movie_id}.")

    def movie(self, movie_id: int) -> MovieView:
        session_id = self._session_of(movie_id)
        row = self._rows[movie_id]
        numbers = self._of_session[session_id]
        place = numbers.index(movie_id)
        session = self.session(session_id)
        error, advice = self._errors.get(movie_id, (None, None))
        done = row.state is MovieState.DONE
        return MovieView(
            row=row,
            session_id=session_id,
            session_name=session.name,
            path=f"{session.root}/Images-Disc1/GridSquare_{row.grid_square}/Data/{row.name}.eer",
            attempts=3 if error else 1,
            generation=0,
            reasons=self._reasons.get(movie_id, ()),
            error=error,
            advice=advice,
            values={**session.values, "applied_defocus_angstrom": 18000.0, "stage_x_um": 213.4, "stage_y_um": -82.1},
            sources=dict.fromkeys(session.values, "EPU XML"),
            conflicts=session.conflicts,
            steps=(
                {"step": "gain", "wall_seconds": 0.9, "cpu_seconds": 1.6, "reused": False, "warnings": []},
                {"step": "motion", "wall_seconds": 6.1, "cpu_seconds": 11.9, "reused": False, "warnings": []},
                {"step": "sums", "wall_seconds": 3.4, "cpu_seconds": 6.2, "reused": False, "warnings": []},
                {"step": "ctf", "wall_seconds": 1.7, "cpu_seconds": 3.1, "reused": True, "warnings": ["few rings"]},
            )
            if done
            else (),
            outputs=dict.fromkeys(("thumbnail", "zoom", "spectrum", "micrograph"), "") if done else {},
            curves=_curves(row) if done else {},
            recipe=Recipe().model_dump(mode="json"),
            history=tuple(e for e in self._events if e.movie_id == movie_id)
            or (
                EventView(id=0, at=row.found_at, kind="movie_found", session_id=session_id, movie_id=movie_id, data={}),
                EventView(id=0, at=row.found_at + 1, kind="movie_whole", session_id=session_id, movie_id=movie_id, data={}),
            ),
            previous_id=numbers[place - 1] if place else None,
            next_id=numbers[place + 1] if place + 1 < len(numbers) else None,
        )

    def grid(self, session_id: int) -> GridView | None:
        if not self.session(session_id).has_grid:
            return None
        squares: dict[str, dict[str, list[int]]] = {}
        for row in self.movies(session_id):
            squares.setdefault(row.grid_square or "", {}).setdefault(row.foil_hole or "", []).append(row.id)
        made = []
        for index, (square, holes) in enumerate(squares.items()):
            made.append(
                GridSquare(
                    id=square,
                    x=330.0 + (index % 5) * 124,
                    y=360.0 + (index // 5) * 118,
                    picture="square.png",
                    width_px=900,
                    height_px=900,
                    holes=tuple(
                        GridHole(
                            id=hole,
                            square=square,
                            x=180.0 + 120 * (i % 4) + 60 * (index % 3),
                            y=240.0 + 120 * (i // 4),
                            movies=tuple(numbers),
                        )
                        for i, (hole, numbers) in enumerate(holes.items())
                    ),
                )
            )
        return GridView(picture="atlas.png", width_px=1200, height_px=1200, squares=tuple(made))

    def alerts(self, *, closed: int = 0) -> Sequence[AlertView]:
        old = [alert for alert in self._alerts if alert.closed_at is not None]
        return [alert for alert in self._alerts if alert.closed_at is None] + old[:closed]

    def last_event_id(self) -> int:
        return self._events[-1].id if self._events else 0

    def events_after(self, event_id: int, session_id: int | None, limit: int) -> Sequence[EventView]:
        with self._lock:
            found = [e for e in self._events if e.id > event_id and session_id in (None, e.session_id)]
        return found[:limit]

    def session_recipe(self, session_id: int) -> Recipe:
        self.session(session_id)
        return Recipe()

    def set_thresholds(self, session_id: int, thresholds: Mapping[str, Threshold]) -> None:
        self.session(session_id)
        with self._lock:
            self.calls.append(("set_thresholds", session_id, dict(thresholds)))
            self._thresholds[session_id] = dict(thresholds)
            for number in self._of_session[session_id]:
                row = self._rows[number]
                if row.state is MovieState.DONE:
                    verdict, self._reasons[number] = judge(row.metrics, thresholds)
                    self._rows[number] = row.model_copy(update={"verdict": verdict})
            self._event("thresholds_set", session_id, None)

    def choose(self, movie_id: int, verdict: Verdict | None) -> None:
        session_id = self._session_of(movie_id)
        with self._lock:
            self.calls.append(("choose", movie_id, verdict))
            self._rows[movie_id] = self._rows[movie_id].model_copy(update={"chosen": verdict})
            self._event("movie_chosen", session_id, movie_id, verdict=verdict)

    def process_again(self, movie_id: int, changes: Mapping[str, Mapping[str, Any]]) -> None:
        session_id = self._session_of(movie_id)
        parse_config({key: dict(value) for key, value in changes.items()}, Recipe, source="the form")
        self.calls.append(("process_again", movie_id, changes))
        self._event("movie_queued", session_id, movie_id)

    def process_session_again(self, session_id: int, changes: Mapping[str, Mapping[str, Any]]) -> None:
        self.session(session_id)
        parse_config({key: dict(value) for key, value in changes.items()}, Recipe, source="the form")
        self.calls.append(("process_session_again", session_id, changes))

    def close_session(self, session_id: int) -> None:
        self.session(session_id)
        self.calls.append(("close_session", session_id))
        self._state[session_id] = SessionState.CLOSED
        self._event("session_closed", session_id, None)

    def export_star(self, session_id: int) -> bytes:
        names = [row.name for row in self.movies(session_id) if (row.chosen or row.verdict) is Verdict.ACCEPT]
        lines = ["data_micrographs", "", "loop_", "_rlnMicrographName #1", *(ascii(name) for name in names), ""]
        return "\n".join(lines).encode()

    def output_path(self, movie_id: int, role: str) -> Path:
        self._session_of(movie_id)
        kind = movie_id % self.kinds
        names = {
            "thumbnail": f"thumbnail{kind}.jpg",
            "zoom": f"micrograph{kind}.png",
            "spectrum": f"spectrum{kind}.png",
            "micrograph": f"micrograph{kind}.png",
            "escaped": "../../../../etc/passwd",
        }
        if role not in names:
            raise NotFound(f"Movie {movie_id} has no output {role!r}.")
        return self.folder / names[role]

    def grid_picture(self, session_id: int, square_id: str | None) -> Path:
        self.session(session_id)
        return self.folder / ("atlas.png" if square_id is None else "square.png")

    def mute_alert(self, alert_id: int) -> None:
        self.close_alert(alert_id)

    def close_alert(self, alert_id: int) -> None:
        self.calls.append(("close_alert", alert_id))
        for index, alert in enumerate(self._alerts):
            if alert.id == alert_id:
                self._alerts[index] = alert.model_copy(update={"closed_at": time.time()})
                self._event("alert_closed", alert.session_id, None)
                return
        raise NotFound(f"There is no alert {alert_id}.")


def _curves(row: MovieRow) -> dict[str, Any]:
    rng = np.random.default_rng(row.id)
    frames = np.arange(40)
    scale = row.metrics["total_motion_angstrom"] / 2
    dy = scale * (1 - np.exp(-frames / 6)) + np.cumsum(rng.normal(0, 0.12, 40))
    dx = -0.6 * scale * (1 - np.exp(-frames / 9)) + np.cumsum(rng.normal(0, 0.12, 40))
    dy, dx = dy - dy[20], dx - dx[20]
    centres = [(y, x) for y in np.linspace(410, 3686, 5) for x in np.linspace(410, 3686, 5)]
    ramp = (frames - 20) / 20
    local_y = [(1.6 * math.sin(x / 1300) * ramp + rng.normal(0, 0.05, 40)).tolist() for y, x in centres]
    local_x = [(1.3 * math.cos(y / 1100) * ramp + rng.normal(0, 0.05, 40)).tolist() for y, x in centres]
    s = np.sqrt((np.arange(500) + 0.5) / 500) * 0.75
    chi = np.pi * 0.019687 * s**2 * row.metrics["defocus_angstrom"] - np.pi / 2 * 2.7e7 * 0.019687**3 * s**4 + 0.1
    model = np.sin(chi) ** 2
    limit = 1 / row.metrics["ctf_resolution_angstrom"]
    spectrum = model * np.exp(-40 * s**2) * 0.9 + 0.02 + rng.normal(0, 0.02, s.size)
    agreement = np.clip(1 / (1 + np.exp((s - limit) * 60)) + rng.normal(0, 0.03, s.size), -0.2, 1)
    return {
        "drift": {"frame": (frames + 1).tolist(), "dy_angstrom": dy.tolist(), "dx_angstrom": dx.tolist()},
        "local": {"y": [c[0] for c in centres], "x": [c[1] for c in centres], "dy_px": local_y, "dx_px": local_x},
        "ctf": {
            "spacing_per_angstrom": s.tolist(),
            "spectrum": spectrum.tolist(),
            "model": model.tolist(),
            "agreement": agreement.tolist(),
        },
    }


def main() -> None:
    import uvicorn

    from passerelle.web import create_app

    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--port", type=int, default=8000)
    arguments.add_argument("--folder", type=Path, default=Path("/tmp/passerelle-web-demo"))
    arguments.add_argument("--movies", type=int, default=240)
    arguments.add_argument("--every", type=float, default=6.0, help="seconds between new movies; 0: none")
    arguments.add_argument("--empty", action="store_true")
    chosen = arguments.parse_args()
    status = DemoStatus(chosen.folder, chosen.movies, empty=chosen.empty)
    if chosen.every and not chosen.empty:

        def live() -> None:
            while True:
                time.sleep(chosen.every)
                status.arrive(1)

        threading.Thread(target=live, daemon=True).start()
    uvicorn.run(create_app(status, files_beneath=(chosen.folder,)), host="127.0.0.1", port=chosen.port, log_level="warning")


if __name__ == "__main__":
    main()
