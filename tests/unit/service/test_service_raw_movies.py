"""A movie whose raw file was purged keeps its result, says where its copy lies, and is not done again from nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from passerelle.core.errors import Conflict
from passerelle.core.states import FileState, MovieState
from passerelle.service import movies as verbs
from passerelle.service import sessions as session_verbs
from passerelle.service.raw_movies import gone_raw
from passerelle.store import files, purges, sessions
from passerelle.store.purges import Intent, PurgeState
from passerelle.testing.bench import MOVIE, SIDECAR, Bench, sidecar


@pytest.fixture
def purged(bench: Bench, tmp_path: Path) -> Bench:
    """A bench whose one movie is done, was copied to a zone, and is purged."""
    bench.take(bench.whole(MOVIE), bench.whole(SIDECAR, sidecar()))
    bench.work()
    assert bench.state() is MovieState.DONE
    copy = tmp_path / "zones" / "anna" / "s1"
    target = copy / MOVIE.removeprefix("s1/")
    target.parent.mkdir(parents=True)
    (bench.folder / MOVIE).rename(target)
    (bench.folder / SIDECAR).unlink()
    where = {"transfer": 7, "zone": "anna", "folder": str(copy), "within": "", "manifest": "0" * 64}
    with bench.database.write() as connection:
        intent = Intent("krios", "s1", MOVIE, "file", 5, "0" * 64, 1, ".p-purge-1", [where], "a rule", "mara")
        (row,) = purges.intend(connection, [intent], at=bench.now)
        purges.end(connection, row, PurgeState.DELETED, at=1795000000.0)
    bench.take(bench.gone(MOVIE), bench.gone(SIDECAR))
    return bench


def test_its_result_stays(purged: Bench) -> None:
    movie = purged.movie()
    assert movie.state is MovieState.DONE
    assert movie.metrics
    assert movie.error is None
    with purged.database.read() as connection:
        found = files.of_movies(connection, movie.session_id, [movie.key])[movie.key]
        assert {file.state for file in found} == {FileState.GONE}
        assert gone_raw(connection, sessions.get(connection, movie.session_id), [movie]) == {movie.id}


def test_its_page_says_where_the_copy_lies(purged: Bench, tmp_path: Path) -> None:
    (note,) = purged.parts.status.movie(purged.movie().id).notes
    path = tmp_path / "zones" / "anna" / MOVIE
    assert note == (
        f"Its raw movie was purged from the gateway on 2026-11-18, by rule. A verified copy lies in zone anna: {path}."
    )
    path.unlink()
    (note,) = purged.parts.status.movie(purged.movie().id).notes
    assert "cannot be seen from here now" in note


def test_to_do_it_again_is_refused_in_words_and_a_session_passes_it_over(purged: Bench) -> None:
    movie = purged.movie()
    with pytest.raises(Conflict, match="purged from the gateway on 2026-11-18"):
        verbs.process_again(purged.database, movie.id, {"ctf": {"box_px": 256}})
    before = purged.movie()
    queued = session_verbs.process_session_again(purged.database, movie.session_id, {}, also={movie.id})
    assert queued == 0
    assert purged.movie() == before


def test_removed_by_somebody_else_it_is_said_otherwise(bench: Bench) -> None:
    bench.take(bench.whole(MOVIE), bench.whole(SIDECAR, sidecar()))
    bench.work()
    (bench.folder / MOVIE).unlink()
    bench.take(bench.gone(MOVIE))
    assert bench.parts.status.movie(bench.movie().id).notes == ("Its raw movie is gone: it was removed from the gateway.",)
    with pytest.raises(Conflict, match="removed from the gateway"):
        verbs.process_again(bench.database, bench.movie().id, {})
    bench.take(bench.whole(MOVIE, generation=1))
    assert bench.parts.status.movie(bench.movie().id).notes == ()
