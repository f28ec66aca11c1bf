"""A share that is unmounted while its movies are queued and running: they wait, and are taken up when it is back."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from passerelle.core.states import MovieState
from passerelle.formats import write_mrc_stack
from passerelle.service.process_folder import Processed, Progress, folder_settings, process_folder
from passerelle.service.settings import InstrumentSettings, Settings, StateSettings, WorkSettings
from passerelle.service.wiring import assemble, dispatcher
from passerelle.store import events

MOVIES = 6
FAST = {"motion": {"patches_x": 1, "patches_y": 1}, "dose": {"half_sums": False}, "ctf": {"box_px": 128}}
KNOWN = {"voltage_kv": 300.0, "spherical_aberration_mm": 2.7, "dose_per_frame_e_per_angstrom2": 1.0, "quiet_seconds": 0.5}


def write_movies(folder: Path) -> None:
    for number in range(MOVIES):
        stack = np.random.default_rng(number).poisson(4, (4, 192, 192)).astype(np.uint16)
        write_mrc_stack(folder / f"movie_{number}.mrc", stack, 1.5, "uint16")


def renamed(real: Path, share: Path) -> Iterator[Callable[[bool], None]]:
    real.rename(share)

    def mount(there: bool) -> None:
        real.rename(share) if there else share.rename(real)

    yield mount


def bound(real: Path, share: Path) -> Iterator[Callable[[bool], None]]:
    share.mkdir()

    def mount(there: bool) -> None:
        command = ["mount", "--bind", str(real), str(share)] if there else ["umount", "--lazy", str(share)]
        made = subprocess.run(command, capture_output=True, text=True)
        if made.returncode:
            pytest.skip(f"nothing can be mounted by this account: {made.stderr.strip()}")

    mount(True)
    yield mount
    subprocess.run(["umount", "--lazy", str(share)], capture_output=True)


@pytest.fixture(params=[renamed, bound], ids=["renamed", "bind-mount"])
def mount(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[bool], None]]:
    """Take the share `tmp_path/share` away (False), and bring it back (True). At first it is there."""
    real = tmp_path / "real"
    real.mkdir()
    write_movies(real)
    yield from request.param(real, tmp_path / "share")


@pytest.mark.timeout(900)
def test_movies_of_a_share_that_is_unmounted_wait_and_are_taken_up_when_it_is_back(
    tmp_path: Path, mount: Callable[[bool], None]
) -> None:
    share = tmp_path / "share"
    settings = Settings(
        state=StateSettings(folder=tmp_path / "state"),
        work=WorkSettings(executor="processes", workers=2),
        processing=Settings.model_validate({"processing": FAST}).processing,
        instruments={"krios": InstrumentSettings(folder=share, program="generic", **KNOWN)},
    )
    parts = assemble(settings)
    loop = dispatcher(parts)
    seen: list[str] = []
    try:
        loop.start()
        wait(lambda: any(row.state is MovieState.RUNNING for row in rows(parts)), loop)
        mount(False)
        wait(lambda: folder_alerts(parts), loop)
        (alert,) = folder_alerts(parts)
        assert "krios" in alert.message and "wait" in alert.advice
        time.sleep(3.0)  # time for every movie to be tried in vain
        states = {row.state for row in rows(parts)}
        assert not states & {MovieState.FAILED, MovieState.GONE}, rows(parts)
        seen += loop.obstacles
        mount(True)
        wait(lambda: all(row.state is MovieState.DONE for row in rows(parts)), loop)
        wait(lambda: not folder_alerts(parts) and loop.obstacles == (), loop)
    finally:
        loop.stop()
        parts.close()
    assert any("cannot be read" in words for words in seen)


@pytest.mark.timeout(900)
def test_a_folder_being_processed_that_goes_away_is_waited_for(tmp_path: Path, mount: Callable[[bool], None]) -> None:
    own = InstrumentSettings(folder=tmp_path / "share", **KNOWN)
    base = Settings.model_validate({"processing": FAST, "work": {"executor": "processes", "workers": 1}})
    settings = folder_settings(tmp_path / "share", tmp_path / "state", base, own)
    told: list[Progress] = []
    away = threading.Event()

    def watch(progress: Progress) -> None:
        told.append(progress)
        if progress.running and not away.is_set():
            away.set()
            mount(False)
        elif away.is_set() and progress.waits_for and not any(each.waits_for for each in told[:-15]):
            return
        elif progress.waits_for and len([each for each in told if each.waits_for]) == 20:
            mount(True)

    processed: Processed = process_folder(settings, told=watch)
    assert [row.state for row in processed.movies] == [MovieState.DONE] * MOVIES
    said = {words for progress in told for words in progress.waits_for}
    assert any("share" in words or "folder" in words for words in said), said
    assert processed.waits_for == ()


@pytest.mark.timeout(900)
def test_a_movie_deleted_while_it_waits_is_said_to_be_gone(tmp_path: Path) -> None:
    share = tmp_path / "share"
    share.mkdir()
    write_movies(share)
    own = InstrumentSettings(folder=share, program="generic", **KNOWN)
    settings = Settings(
        state=StateSettings(folder=tmp_path / "state"), work=WorkSettings(executor="inline"), instruments={"k": own}
    )
    parts = assemble(settings)
    loop = dispatcher(parts)
    loop.runner.step = lambda now, start=True: None  # type: ignore[method-assign, assignment, return-value]
    try:
        loop.start()
        wait(lambda: [row.state for row in rows(parts)] == [MovieState.QUEUED] * MOVIES, loop)
        (share / "movie_3.mrc").unlink()
        wait(lambda: any(row.state is MovieState.GONE for row in rows(parts)), loop)
        (gone,) = [row for row in rows(parts) if row.state is MovieState.GONE]
        assert gone.name == "movie_3"
        assert "removed" in (gone.error or "") and "back" in (gone.advice or "")
        with parts.database.read() as connection:
            assert "movie_gone" in {event.kind for event in events.of_movie(connection, gone.id)}
    finally:
        loop.stop()
        parts.close()


def folder_alerts(parts):  # type: ignore[no-untyped-def]
    return [each for each in parts.status.alerts() if each.kind == "folder_krios"]


def rows(parts):  # type: ignore[no-untyped-def]
    return [row for view in parts.status.sessions() for row in parts.status.movies(view.id)]


def wait(condition: Callable[[], object], loop) -> None:  # type: ignore[no-untyped-def]
    ends = time.monotonic() + 240.0
    while not condition():
        assert loop.error is None, loop.error
        assert time.monotonic() < ends
        time.sleep(0.05)
