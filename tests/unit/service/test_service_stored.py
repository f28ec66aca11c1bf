"""Parameters that another version stored: told in words, and replaced when a person asks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from passerelle.acquisition import Metadata
from passerelle.core.states import MovieState
from passerelle.processing import Recipe
from passerelle.service.export import export_star
from passerelle.service.sessions import process_session_again
from passerelle.service.stored import readable
from passerelle.store import sessions
from passerelle.testing.bench import SESSION, Bench


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path, program="generic")
    yield made
    made.parts.close()


def store(bench: Bench, **values: Any) -> None:
    """Let another version have written this of the first session."""
    with bench.database.write() as connection:
        session = min(sessions.every(connection), key=lambda each: each.id)
        before = {"recipe": dict(session.recipe), "thresholds": dict(session.thresholds)}
        sessions.change(connection, session.id, "recipe", at=1.0, **{name: before[name] | each for name, each in values.items()})


def test_a_stored_recipe_that_cannot_be_read_is_told_and_the_rest_goes_on(plain: Bench) -> None:
    plain.take(plain.whole(f"{SESSION}/movie_0.mrc"), plain.whole("other/movie_1.mrc"))
    store(plain, recipe={"motion": {"patches_x": "many"}, "quantum": {"entangled": True}})
    plain.work()
    here, other = sorted(plain.movies(), key=lambda movie: movie.session_id)
    assert (here.state, other.state) == (MovieState.FAILED, MovieState.DONE)
    for word in ("motion.patches_x", "quantum", "session"):
        assert word in (here.error or ""), here.error
    assert "Process the session again" in (here.advice or "")


def test_processing_the_session_again_mends_it_and_keeps_what_can_be_read(plain: Bench) -> None:
    plain.take(plain.whole(f"{SESSION}/movie_0.mrc"))
    store(plain, recipe={"motion": {"patches_x": "many", "patches_y": 3}, "quantum": {"entangled": True}})
    plain.work()
    shown = plain.parts.status.session_recipe(1)
    assert (shown.motion.patches_x, shown.motion.patches_y) == (Recipe().motion.patches_x, 3)
    process_session_again(plain.database, 1, {})
    plain.work()
    assert plain.state() is MovieState.DONE
    with plain.database.read() as connection:
        assert Recipe.model_validate(sessions.get(connection, 1).recipe) == shown


def test_a_stored_threshold_that_cannot_be_read_is_told_and_pages_still_show_the_session(plain: Bench) -> None:
    plain.take(plain.whole(f"{SESSION}/movie_0.mrc"))
    store(plain, thresholds={"defocus_angstrom": {"reject_min": "low", "reject_max": 3.0, "mood": "bad"}})
    plain.work()
    assert plain.state() is MovieState.FAILED
    assert "reject_min" in (plain.movie().error or "") and "defocus_angstrom" in (plain.movie().error or "")
    shown = plain.parts.status.session(1).thresholds["defocus_angstrom"]
    assert (shown.reject_min, shown.reject_max) == (None, 3.0)


def test_an_export_of_micrographs_made_with_an_older_recipe_still_works(plain: Bench) -> None:
    plain.take(plain.whole(f"{SESSION}/movie_0.mrc"))
    plain.work()
    store(plain, recipe={"quantum": {"entangled": True}})
    with plain.database.write() as connection:
        from passerelle.store import movies

        (movie,) = movies.of_session(connection, 1)
        steps = [dict(movie.steps[0]) | {"step": "sums", "outputs": {"micrograph": "sum.txt"}}]
        movies.change_all(connection, [(movie, {"steps": steps})])
    assert "sum.txt" in export_star(plain.database, plain.parts.places, 1).read_text()


def test_what_can_be_read_of_stored_values_is_kept() -> None:
    assert readable(Metadata, {"voltage_kv": 300.0, "a value of tomorrow": 1}).voltage_kv == 300.0
    assert readable(Recipe, {"motion": "all", "ctf": {"box_px": 256, "box": 1}}).ctf.box_px == 256
    assert readable(Recipe, {"ctf": {"resolution_low_angstrom": 1.0, "resolution_high_angstrom": 5.0}}) is not None
