"""The verbs `simulate` and `replay`: let simulated microscopes, or a past session, write into a gateway folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from passerelle.compute.code_place import settle_code_place
from passerelle.core.config import read_config

if TYPE_CHECKING:
    from passerelle.simulation import Delivered, PastFile

# the simulation brings numba and scipy: it is imported when it is asked for, so that other commands start at once


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
    settle_code_place()
    from passerelle.simulation import Plan, demo_plan, simulate

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


def replay_session(
    source: Path,
    folder: Path,
    *,
    speed: float = 1.0,
    stop: Event | None = None,
    told: Callable[[PastFile], None] | None = None,
) -> int:
    """Write a past session's files into `folder` again, in their own order and time, `speed` times as fast (0: without pauses).

    Returns how many files were written.

    Raises:
        BadInput: a negative speed, or `folder` lies inside `source`. NotFound: `source` is no folder with files.
        StorageError: a file could not be read or written.
    """
    from passerelle.simulation import replay

    return replay(source, folder, speed=speed, stop=stop, told=told)
