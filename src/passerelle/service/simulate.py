"""The verb `simulate`: let simulated microscopes write sessions into a gateway folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Event

from passerelle.core.config import read_config
from passerelle.simulation import Delivered, Plan, demo_plan, simulate


def simulate_session(
    folder: Path,
    *,
    plan_file: Path | None = None,
    movies: int | None = None,
    movies_per_hour: float = 120.0,
    size_px: int | None = 2048,
    offline: bool = False,
    truth: Path | None = None,
    stop: Event | None = None,
    told: Callable[[Delivered], None] | None = None,
) -> int:
    """Run the microscopes of a plan, by default the demo's Falcon and K2, until they are done or `stop` is set.

    plan_file: a TOML file with a table `[[instruments]]` a microscope; it decides alone; the options after it are for the
    demo's plan. movies: of each instrument. Returns how many movies were written.

    Raises:
        BadConfiguration: the plan has an unknown key or an impossible value. StorageError: a file could not be written.
    """
    if plan_file is not None:
        plan = read_config(plan_file, Plan)
    else:
        plan = demo_plan(movies=movies, size_px=size_px, movies_per_hour=movies_per_hour, offline=offline)
    count = 0

    def tell(delivered: Delivered) -> None:
        nonlocal count
        count += 1
        if told is not None:
            told(delivered)

    simulate(plan, folder, stop, truth=truth, told=tell)
    return count
