"""How many frames a movie should have is learnt from sidecars and earlier movies."""

from __future__ import annotations

from pathlib import PurePosixPath

from passerelle.acquisition.program import Place, Role
from passerelle.gateway import Expectations, ExpectedFrames


def movie(key: str, session: str = "s", role: Role = Role.MOVIE) -> Place:
    return Place(PurePosixPath(session), role, movie=key)


def test_nothing_is_expected_before_anything_was_learnt() -> None:
    assert Expectations()(movie("a")) is None


def test_a_movies_own_sidecar_is_certain_and_a_hint_for_the_others_of_its_session() -> None:
    expect = Expectations()
    expect.sidecar_says(movie("a", role=Role.MOVIE_METADATA), 40)
    assert expect(movie("a")) == ExpectedFrames(40, certain=True)
    assert expect(movie("b")) == ExpectedFrames(40, certain=False)
    assert expect(movie("a", session="other")) is None


def test_earlier_movies_teach_and_more_frames_are_believed_at_once() -> None:
    expect = Expectations()
    expect.movie_had(movie("a"), 30)
    expect.movie_had(movie("b"), 40)
    assert expect(movie("c")) == ExpectedFrames(40)


def test_fewer_frames_are_believed_only_when_two_movies_in_a_row_agree() -> None:
    expect = Expectations()
    expect.movie_had(movie("a"), 40)
    expect.movie_had(movie("b"), 30)
    assert expect(movie("c")) == ExpectedFrames(40)
    expect.movie_had(movie("c"), 20)
    assert expect(movie("d")) == ExpectedFrames(40)
    expect.movie_had(movie("d"), 20)
    assert expect(movie("e")) == ExpectedFrames(20)


def test_nothing_is_expected_of_gains_and_frames() -> None:
    expect = Expectations()
    expect.movie_had(movie("a"), 40)
    expect.movie_had(movie("g", role=Role.GAIN), 1)
    assert expect(movie("g", role=Role.GAIN)) is None
    assert expect(movie("b")) == ExpectedFrames(40)


def test_sidecars_that_count_something_else_are_not_asked_any_more_in_their_session() -> None:
    expect = Expectations()
    for key in ("a", "b"):
        expect.sidecar_says(movie(key, role=Role.MOVIE_METADATA), 40)
        expect.sidecar_says(movie(key, "other", Role.MOVIE_METADATA), 40)
    expect.movie_had(movie("a"), 30)
    assert expect(movie("b")) == ExpectedFrames(30)
    assert expect(movie("b", "other")) == ExpectedFrames(40, certain=True)
