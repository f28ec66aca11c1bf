"""External programs of a facility: looked for once, refused in words where they are missing, told by the check of health."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from passerelle.core.errors import BadConfiguration
from passerelle.processing import Recipe
from passerelle.service.access import this_account
from passerelle.service.health import health
from passerelle.service.ledger import MovieLedger
from passerelle.service.live import Live
from passerelle.service.programs import Programs
from passerelle.service.settings import ProgramSettings, Settings, read_settings
from passerelle.service.wiring import dispatcher
from passerelle.testing.bench import MOVIE, SIDECAR, Bench, sidecar

RELION = Recipe.model_validate({"motion": {"program": "relion"}})


def script(path: Path, version: str) -> str:
    path.write_text(f'#!/bin/sh\necho x >>"$0.calls"\necho "RELION version: {version} "\n')
    path.chmod(0o755)
    return str(path)


def calls(path: str) -> int:
    return len(Path(f"{path}.calls").read_text().splitlines())


def test_a_program_is_asked_once_for_all_movies_and_again_when_it_was_replaced(tmp_path):
    path = script(tmp_path / "relion", "3.1.3")
    programs = Programs(ProgramSettings(relion=path, relion_arguments=("--skip_defect",), longest_seconds=5.0))
    uses = [programs.uses(RELION) for _ in range(100)]
    assert calls(path) == 1
    use = uses[0]["relion"]
    assert (use.executable, use.version, use.arguments, use.seconds) == (path, "3.1.3", ("--skip_defect",), 5.0)
    script(tmp_path / "relion", "5.0.0-beta")
    assert programs.uses(RELION)["relion"].version == "5.0.0-beta"
    assert programs.uses(Recipe()) == {}


def test_one_that_is_put_there_later_is_found(tmp_path):
    programs = Programs(ProgramSettings(relion=str(tmp_path / "relion")))
    with pytest.raises(BadConfiguration, match="not installed here"):
        programs.uses(RELION)
    script(tmp_path / "relion", "4.0.1")
    assert programs.uses(RELION)["relion"].version == "4.0.1"


def missing(bench: Bench) -> None:
    gone = ProgramSettings(motioncor3="/nowhere/MotionCor3", relion="/nowhere/relion")
    settings = bench.parts.settings.model_copy(update={"programs": gone})
    bench.parts = replace(bench.parts, settings=settings, programs=Programs(gone))


def test_a_service_does_not_start_without_the_program_that_it_is_to_use(bench):
    missing(bench)
    settings = bench.parts.settings.model_copy(update={"processing": RELION})
    parts = replace(bench.parts, settings=settings)
    with pytest.raises(BadConfiguration, match=r"'/nowhere/relion' is not installed here.*programs\.relion"):
        dispatcher(parts)
    (check,) = [check for check in health(parts) if check.name == "program relion"]
    assert not check.well and "programs.relion" in check.advice


def test_health_names_path_and_version(bench, tmp_path):
    path = script(tmp_path / "relion", "3.1.3")
    programs = ProgramSettings(relion=path)
    settings = bench.parts.settings.model_copy(update={"processing": RELION, "programs": programs})
    parts = replace(bench.parts, settings=settings, programs=Programs(programs))
    (check,) = [check for check in health(parts) if check.name.startswith("program")]
    assert check.well and check.words == f"{path}: 3.1.3."
    assert not [check for check in health(bench.parts) if check.name.startswith("program")]


def test_a_person_who_chooses_a_missing_program_is_told_at_once(bench):
    bench.take(bench.whole(SIDECAR, sidecar()), bench.whole(MOVIE))
    bench.work()
    movie = bench.movie()
    missing(bench)
    live = Live(bench.parts, this_account())
    with pytest.raises(BadConfiguration, match="MotionCor3"):
        live.process_again(movie.id, {"motion": {"program": "motioncor3"}})
    with pytest.raises(BadConfiguration, match="MotionCor3"):
        live.process_session_again(movie.session_id, {"motion": {"program": "motioncor3"}})
    with pytest.raises(BadConfiguration, match=r"motion\.program"):
        live.process_again(movie.id, {"motion": {"program": "motioncor4"}})
    assert bench.movie().state is movie.state
    live.process_again(movie.id, {"motion": {"program": "passerelle"}})


def test_a_program_that_goes_away_sets_a_movie_aside_with_the_words(bench):
    bench.take(bench.whole(SIDECAR, sidecar()), bench.whole(MOVIE))
    with bench.database.write() as connection:
        connection.exec_driver_sql("UPDATE sessions SET recipe = ?", (RELION.model_dump_json(),))
    missing(bench)
    bench.ledger = MovieLedger(bench.database, bench.parts.instruments, bench.parts.places, programs=bench.parts.programs)
    bench.runner.ledger = bench.ledger
    bench.work()
    movie = bench.movie()
    assert movie.state == "failed"
    assert "RELION" in str(movie.error) and "programs.relion" in f"{movie.error} {movie.advice}"


def test_paths_count_from_the_configuration_and_names_do_not(tmp_path):
    path = tmp_path / "passerelle.toml"
    path.write_text('[programs]\nmotioncor2 = "bin/MotionCor2"\nctffind5 = "ctffind-5"\n')
    read = read_settings(path).programs
    assert read.motioncor2 == str(tmp_path / "bin" / "MotionCor2")
    assert (read.ctffind5, read.relion) == ("ctffind-5", Settings().programs.relion)


def test_a_misspelt_program_is_answered_with_the_known_ones(tmp_path):
    path = tmp_path / "passerelle.toml"
    path.write_text('[processing.motion]\nprogram = "motioncorr2"\n')
    with pytest.raises(BadConfiguration, match="'passerelle', 'relion', 'motioncor2' or 'motioncor3'"):
        read_settings(path)
