"""Which files go where not all go: on the names of a real EPU session, and on frames of SerialEM."""

from __future__ import annotations

import dataclasses
from pathlib import Path, PurePosixPath
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from passerelle.acquisition import AcquisitionProgram, Role, program_at
from passerelle.core.errors import BadInput
from passerelle.core.states import MovieState, Verdict
from passerelle.service.selections import SelectionKind, left_out, root_text, selected, words
from passerelle.store import Movie

SESSION = "Supervisor_20230919_140141_84_bi23047-106_grid1"
DATA = "Images-Disc1/GridSquare_19493759/Data"


def program(name: str) -> AcquisitionProgram:
    return program_at(name, ZoneInfo("UTC"))


def movie(**changes: Any) -> Movie:
    values: dict[str, Any] = dict.fromkeys(Movie.__slots__)
    values |= {"id": 1, "key": "m", "state": MovieState.DONE, "verdict": Verdict.ACCEPT, "chosen": None, "grid_square": "7"}
    return Movie(**(values | changes))


def exposure(hole: int) -> list[str]:
    """The four files of an exposure as EPU writes them with a Falcon 4i."""
    stem = f"{DATA}/FoilHole_{hole}_Data_19508496_19508498_20230919_154056"
    return [f"{stem}_EER.eer", f"{stem}.xml", f"{stem}.jpg", f"{stem}.mrc"]


def real_names(real_data: Path) -> list[str]:
    root = real_data / "epu" / "emharvest" / "_repo_data" / SESSION
    if not root.is_dir():
        pytest.skip("the real EPU listing is not among the data")
    return [str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()]


def test_of_a_real_epu_session_what_is_no_movies_always_goes(real_data: Path) -> None:
    names = real_names(real_data)
    out = left_out(names, program("epu"), PurePosixPath(SESSION), [])
    place = program("epu").place
    for name in names:
        found = place(PurePosixPath(SESSION) / name)
        assert (name in out) == (found is not None and found.movie is not None), name
    assert any(name.endswith("EpuSession.dm") for name in set(names) - out)
    assert any("FoilHoles/" in name for name in set(names) - out)
    assert any("/GridSquare_2" in name for name in set(names) - out)
    assert any("/Data/" in name for name in out)


def test_of_a_real_epu_session_one_accepted_movie_goes_with_its_sidecar_and_preview(real_data: Path) -> None:
    names = real_names(real_data)
    place = program("epu").place
    keys = {found.movie for name in names if (found := place(PurePosixPath(SESSION) / name)) is not None and found.movie}
    assert keys
    kept = sorted(keys)[0]
    out = left_out(names, program("epu"), PurePosixPath(SESSION), [(SESSION, kept)])
    mine = {name for name in names if (found := place(PurePosixPath(SESSION) / name)) is not None and found.movie == kept}
    assert {Path(name).suffix for name in mine} >= {".xml", ".jpg"}
    assert not mine & out


def test_the_files_of_an_exposure_go_together_or_stay_together() -> None:
    good, bad = exposure(19513699), exposure(19513700)
    others = [
        "EpuSession.dm",
        "Images-Disc1/GridSquare_19493759/GridSquare_20230919_140816.jpg",
        "20230919_EER_GainReference.gain",
    ]
    found = program("epu").place(PurePosixPath(SESSION) / good[0])
    assert found is not None and found.movie is not None and found.role is Role.MOVIE
    out = left_out([*good, *bad, *others], program("epu"), PurePosixPath(SESSION), [(SESSION, found.movie)])
    assert out == set(bad)


def test_a_movie_that_came_after_the_verdicts_is_left_out() -> None:
    assert left_out(exposure(1), program("epu"), PurePosixPath(SESSION), [(SESSION, "another")]) == set(exposure(1))


def test_a_movie_of_the_same_name_in_another_session_is_another_movie() -> None:
    names = ["one/frames/a.tif", "two/frames/a.tif", "two/frames/a.tif.mdoc"]
    found = program("serialem").place(PurePosixPath("visit/one/frames/a.tif"))
    assert found is not None and found.movie is not None
    out = left_out(names, program("serialem"), PurePosixPath("visit"), [("visit/one", found.movie)])
    assert out == {"two/frames/a.tif", "two/frames/a.tif.mdoc"}


def test_marked_micrographs_go_and_a_persons_choice_counts_first() -> None:
    known = [
        movie(id=1),
        movie(id=2, verdict=Verdict.WARN),
        movie(id=3, verdict=Verdict.REJECT),
        movie(id=4, verdict=Verdict.REJECT, chosen=Verdict.ACCEPT),
        movie(id=5, chosen=Verdict.REJECT),
        movie(id=6, state=MovieState.QUEUED),
        movie(id=7, state=MovieState.FAILED, verdict=None),
    ]
    assert [each.id for each in selected(SelectionKind.ACCEPTED, (), known)] == [1, 2, 4]


def test_squares_are_chosen_whatever_the_verdict() -> None:
    known = [movie(id=1), dataclasses.replace(movie(id=2), grid_square="8"), movie(id=3, grid_square=None)]
    assert [each.id for each in selected(SelectionKind.SQUARES, ["8", "9"], known)] == [2]
    with pytest.raises(BadInput, match="No grid square"):
        selected(SelectionKind.SQUARES, [], known)


def test_the_whole_is_all_and_needs_no_words() -> None:
    assert selected(SelectionKind.WHOLE, (), [movie()]) == [movie()]
    assert words(SelectionKind.WHOLE, ()) == ""
    assert "accepted" in words(SelectionKind.ACCEPTED, ())
    assert "squares 7, 8" in words(SelectionKind.SQUARES, ["8", "7"])


@pytest.mark.parametrize(("session", "text"), [(".", ""), ("", ""), ("a/b", "a/b"), (PurePosixPath("."), "")])
def test_the_instruments_own_folder_is_the_empty_source(session: PurePosixPath | str, text: str) -> None:
    assert root_text(session) == text
