"""A service without its threads: real database, real arrivals, a quick task in this process."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from passerelle.compute import InlineExecutor
from passerelle.core.states import MovieState
from passerelle.formats import MovieHeader
from passerelle.gateway import Arrival, Bad, Change, Gone, Growing
from passerelle.pipeline import Policy, Runner
from passerelle.service.arrivals import Arrivals
from passerelle.service.ledger import MovieLedger
from passerelle.service.settings import InstrumentSettings, Settings, StateSettings
from passerelle.service.wiring import Parts, assemble
from passerelle.store import Movie, events, movies, sessions
from passerelle.testing.crash_service import QUICK


class Bench:
    """A service on the bench: told of files, stepped by hand, at a time that the test sets."""

    def __init__(self, root: Path, *, database: str | None = None, **instrument: Any) -> None:
        self.folder = root / "gateway"
        self.folder.mkdir()
        own = InstrumentSettings(folder=self.folder, **({"program": "epu", "voltage_kv": 300.0} | instrument))
        settings = Settings(state=StateSettings(folder=root / "state", database=database), instruments={"krios": own})
        self.now = 1000.0
        self.parts: Parts = assemble(settings)
        self.database = self.parts.database
        self.instrument = self.parts.instruments["krios"]
        self.arrivals = self._arrivals()
        self.ledger = MovieLedger(self.database, self.parts.instruments, self.parts.places)
        self.executor = InlineExecutor(QUICK)
        self.runner = Runner(
            self.ledger, self.executor, self.parts.places.outcomes, policy=Policy(max_attempts=2, retry_seconds=10.0)
        )

    def _arrivals(self) -> Arrivals:
        settings = self.parts.settings
        return Arrivals(
            self.database,
            self.parts.instruments,
            recipe=settings.processing,
            thresholds=settings.thresholds,
            clock=lambda: self.now,
        )

    def restart(self) -> None:
        self.arrivals = self._arrivals()
        self.arrivals.resume()

    # -- what the watch would say --

    def _told(self, path: str, content: bytes | None, generation: int) -> dict[str, Any]:
        real = self.folder / path
        real.parent.mkdir(parents=True, exist_ok=True)
        if content is not None:
            real.write_bytes(content)
        place = self.instrument.program.place(PurePosixPath(path))
        assert place is not None, path
        size = real.stat().st_size if real.exists() else 0
        return {
            "instrument": "krios",
            "path": PurePosixPath(path),
            "place": place,
            "size": size,
            "mtime_ns": real.stat().st_mtime_ns if real.exists() else 1,
            "inode": 1,
            "generation": generation,
            "seen_at": self.now,
        }

    def whole(self, path: str, content: bytes = b"movie", generation: int = 0, frames: int = 40, **header: Any) -> Arrival:
        told = self._told(path, content, generation)
        made = None
        if told["place"].role in {"movie", "frame"}:
            values = {"format": "mrc", "frames": frames, "height": 64, "width": 64, "dtype": None} | header
            made = MovieHeader(**values)
        return Arrival(**told, header=made, expected_frames=None, closed_at=self.now, whole_at=self.now)

    def growing(self, path: str, generation: int = 0) -> Growing:
        return Growing(**self._told(path, b"mo", generation))

    def bad(self, path: str, problem: str) -> Bad:
        return Bad(**self._told(path, b"??", 0), problem=problem)

    def gone(self, path: str) -> Gone:
        return Gone(instrument="krios", path=PurePosixPath(path))

    def take(self, *changes: Change) -> None:
        self.arrivals.take(changes)

    def later(self, seconds: float) -> None:
        self.now += seconds
        self.arrivals.look_again(self.now)

    # -- what came of it --

    def movies(self) -> list[Movie]:
        with self.database.read() as connection:
            return [movie for session in sessions.every(connection) for movie in movies.of_session(connection, session.id)]

    def movie(self) -> Movie:
        (movie,) = self.movies()
        return movie

    def state(self) -> MovieState:
        return self.movie().state

    def kinds(self) -> list[str]:
        with self.database.read() as connection:
            return [event.kind for event in events.after(connection, 0, limit=10_000) if event.kind.startswith("movie_")]

    def work(self) -> None:
        """Run what is queued until nothing is left that may start now."""
        while not self.runner.step(self.now).idle:
            self.now += 0.1


SESSION = "s1/Images-Disc1/GridSquare_1/Data"
MOVIE = f"{SESSION}/FoilHole_11_Data_12_13_20261122_101010_Fractions.mrc"
SIDECAR = f"{SESSION}/FoilHole_11_Data_12_13_20261122_101010.xml"


def sidecar(**values: Any) -> bytes:
    """Return an EPU sidecar with a pixel size (m), a dose and an acceleration voltage."""
    said = {"pixel": 8e-11, "volt": 300000, "dose": 40e20, "stage": 0.0} | values
    return (
        '<MicroscopeImage xmlns="http://schemas.datacontract.org/2004/07/Fei.SharedObjects">'
        "<CustomData xmlns:a='http://schemas.microsoft.com/2003/10/Serialization/Arrays'><a:KeyValueOfstringanyType>"
        f"<a:Key>Dose</a:Key><a:Value>{said['dose']}</a:Value></a:KeyValueOfstringanyType></CustomData>"
        f"<microscopeData><gun><AccelerationVoltage>{said['volt']}</AccelerationVoltage></gun>"
        f"<stage><Position><X>{said['stage']}</X><Y>0</Y></Position></stage></microscopeData>"
        f"<SpatialScale><pixelSize><x><numericValue>{said['pixel']}</numericValue></x></pixelSize></SpatialScale>"
        "</MicroscopeImage>"
    ).encode()
