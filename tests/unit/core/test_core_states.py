"""States are closed, and only the moves of the table are made."""

import itertools

import pytest

from passerelle.core.errors import IllegalMove
from passerelle.core.states import FileState, MovieState, SessionState, TransferState, move, moves


@pytest.mark.parametrize("kind", [FileState, MovieState, SessionState, TransferState])
def test_every_state_has_a_row_and_leads_only_to_its_own_kind(kind):
    for state in kind:
        assert all(type(target) is kind for target in moves(state))


def test_a_permitted_move_gives_the_new_state():
    assert move(MovieState.QUEUED, MovieState.RUNNING, what="movie 7") is MovieState.RUNNING


def test_every_other_move_is_refused_with_the_whole_story():
    for current, target in itertools.product(MovieState, MovieState):
        if target in moves(current):
            continue
        with pytest.raises(IllegalMove, match=rf"movie 7 is {current.value} and cannot become {target.value}"):
            move(current, target, what="movie 7")


def test_no_state_is_a_trap():
    """From every state a movie can still come to an end: done, failed or gone."""
    ends = {MovieState.DONE, MovieState.FAILED, MovieState.GONE}
    for start in MovieState:
        seen, pending = set(), [start]
        while pending:
            state = pending.pop()
            if state not in seen:
                seen.add(state)
                pending.extend(moves(state))
        assert seen & ends


def test_what_is_done_with_a_transfer_stays_done():
    """The rule by which a buffer is cleared, and the certificate, rest on it."""
    assert moves(TransferState.DONE) == frozenset()


@pytest.mark.parametrize("state", [state for state in TransferState if state is not TransferState.DONE])
def test_a_transfer_that_is_not_done_can_still_be(state):
    seen, pending = set(), [state]
    while pending:
        for target in moves(pending.pop()) - seen:
            seen.add(target)
            pending.append(target)
    assert TransferState.DONE in seen
