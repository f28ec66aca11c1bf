"""A service to be killed: real watch, real database, real workers.

`python -m passerelle.testing.crash_service STATE FOLDER EXECUTOR TASKS`. TASKS: `real` processes movies; `quick` reads, hashes,
sleeps a moment and writes, so that many kills fit into minutes. Once it watches it writes the ids of its workers to STATE/ready;
it runs until it is killed.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from passerelle.compute import PoolExecutor
from passerelle.core.atomic import write_text
from passerelle.processing import MovieOutcome, MovieTask, StepRecord
from passerelle.service.settings import InstrumentSettings, Settings, StateSettings, WorkSettings
from passerelle.service.tasks import REGISTRY as REAL
from passerelle.service.wiring import Claim, assemble, dispatcher, executor_of

QUICK = "passerelle.testing.crash_service"


def _quick_movie(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """Make a result that depends on every byte of the movie; step records by rename, as the real steps do it."""
    task = MovieTask.model_validate(spec)
    began = time.time()
    folder = Path(task.folder)
    folder.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(Path(task.movie).read_bytes()).hexdigest()
    time.sleep(0.02 + int(digest[:4], 16) / 0xFFFF * 0.03)
    write_text(folder / "sum.txt", digest)
    step = StepRecord(step="hash", fingerprint=digest[:32], values={"bytes": task.size}, outputs={"sum": "sum.txt"})
    write_text(folder / "step-hash.json", step.model_dump_json())
    outcome = MovieOutcome(
        movie_id=task.movie_id,
        fingerprint=digest[:32],
        steps=(step,),
        metrics={
            "defocus_angstrom": float(int(digest[:6], 16) % 40000),
            "ctf_resolution_angstrom": 3.0 + int(digest[6:8], 16) / 32,
        },
        verdict="accept",
        started_at=began,
        finished_at=time.time(),
    )
    return outcome.model_dump(mode="json")


TASKS = {"movie": _quick_movie}


def crash_settings(state: Path, folder: Path, executor: str) -> Settings:
    """Return the settings of the service that is killed: patient with movies whose worker is killed again and again."""
    return Settings(
        state=StateSettings(folder=state),
        work=WorkSettings.model_validate({"executor": executor, "workers": 2, "max_attempts": 50, "retry_seconds": 0.0}),
        instruments={
            "krios": InstrumentSettings(
                folder=folder,
                program="generic",
                quiet_seconds=0.5,
                voltage_kv=300.0,
                spherical_aberration_mm=2.7,
                pixel_size_angstrom=1.5,
                dose_per_frame_e_per_angstrom2=1.0,
            )
        },
    )


def main(state: Path, folder: Path, executor_name: str, tasks: str) -> None:
    """Serve until killed."""
    claim = Claim(state)
    settings = crash_settings(state, folder, executor_name)
    parts = assemble(settings)
    executor = PoolExecutor(QUICK, workers=2) if tasks == "quick" else executor_of(settings.work, 2, parts.places)
    loop = dispatcher(parts, executor=executor)
    loop.start()
    try:
        while loop.error is None:
            ids = executor.process_ids() if isinstance(executor, PoolExecutor) else []
            write_text(state / "ready", json.dumps(ids))
            time.sleep(0.05)
        raise loop.error
    finally:
        loop.stop()
        parts.close()
        claim.release()


if __name__ == "__main__":
    assert REAL
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4])
