"""Who is next: fair between people, whatever they ask for."""

from __future__ import annotations

import heapq
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passerelle.service.transfer_queue import Waiting, next_ones, place_in_line


def test_the_oldest_of_one_person_comes_first() -> None:
    waiting = [Waiting(3, "anna"), Waiting(1, "anna"), Waiting(2, "anna")]
    assert next_ones(waiting, [], {}, places=2, now=0.0) == [1, 2]


def test_who_has_nothing_running_comes_before_who_has() -> None:
    waiting = [Waiting(1, "anna"), Waiting(2, "anna"), Waiting(9, "bob")]
    assert next_ones(waiting, ["anna"], {"anna": 5.0}, places=2, now=9.0) == [9]


def test_who_was_served_longest_ago_comes_first() -> None:
    waiting = [Waiting(1, "anna"), Waiting(2, "bob"), Waiting(3, "carl")]
    assert next_ones(waiting, [], {"anna": 8.0, "bob": 3.0, "carl": 5.0}, places=3, now=9.0) == [2, 3, 1]


def test_who_was_never_served_comes_before_all() -> None:
    assert next_ones([Waiting(1, "anna"), Waiting(2, "bob")], [], {"anna": 0.0}, places=1, now=9.0) == [2]


def test_what_must_wait_leaves_its_place_to_others() -> None:
    waiting = [Waiting(1, "anna", 20.0), Waiting(2, "anna"), Waiting(3, "bob", 5.0)]
    assert next_ones(waiting, [], {}, places=5, now=10.0) == [2, 3]


def test_nothing_starts_where_all_places_are_taken() -> None:
    assert next_ones([Waiting(1, "anna")], ["bob", "carl"], {}, places=2, now=0.0) == []


@given(
    st.lists(st.sampled_from("abcdef"), max_size=40),
    st.lists(st.sampled_from("abcdef"), max_size=5),
    st.integers(min_value=1, max_value=8),
)
def test_no_place_stays_free_while_somebody_waits_and_none_is_given_twice(
    people: list[str], running: list[str], places: int
) -> None:
    waiting = [Waiting(number, person) for number, person in enumerate(people)]
    chosen = next_ones(waiting, running, {}, places=places, now=0.0)
    assert len(chosen) == len(set(chosen)) == max(0, min(len(waiting), places - len(running)))
    busy = Counter(running)
    for number in chosen:
        person = people[number]
        behind = {each.person for each in waiting if each.number not in chosen}
        assert all(busy[person] <= busy[other] + 1 for other in behind)
        busy[person] += 1


def test_the_place_in_line_is_the_order_in_which_they_start() -> None:
    waiting = [Waiting(number, person) for number, person in enumerate(["anna"] * 5 + ["bob"])]
    assert [place_in_line(number, waiting, ["anna"], {"anna": 1.0}) for number in range(6)] == [1, 2, 3, 4, 5, 0]


@pytest.mark.parametrize("places", [1, 2, 5])
@pytest.mark.parametrize("seed", range(5))
def test_of_200_transfers_of_20_people_nobody_waits_longer_than_the_others_shares(places: int, seed: int) -> None:
    """One has asked for 105 transfers at once, the others for 5 each, at random times; transfers take unequally long."""
    dice = random.Random(seed)
    people = [f"person {number}" for number in range(20)]
    asked = [(0.0, "person 0")] * 105 + [(dice.uniform(0, 200), name) for name in people[1:] for _ in range(5)]
    arrivals = sorted((at, number, person) for number, (at, person) in enumerate(asked))
    assert len(arrivals) == 200
    waiting: dict[int, Waiting] = {}
    came: dict[int, float] = {}
    running: list[tuple[float, int, str]] = []
    starts: dict[str, float] = {}
    history: list[tuple[float, int, str]] = []
    now, longest = 0.0, 4.0
    while arrivals or waiting or running:
        while arrivals and arrivals[0][0] <= now:
            at, number, person = arrivals.pop(0)
            waiting[number], came[number] = Waiting(number, person), at
        for number in next_ones(waiting.values(), [person for _, _, person in running], starts, places=places, now=now):
            person = waiting.pop(number).person
            starts[person] = now
            history.append((now, number, person))
            heapq.heappush(running, (now + dice.uniform(1.0, longest), number, person))
        upcoming = [running[0][0]] if running else []
        upcoming += [arrivals[0][0]] if arrivals else []
        if upcoming:
            now = min(upcoming)
        while running and running[0][0] <= now:
            heapq.heappop(running)
    assert len(history) == 200
    for index, (at, number, person) in enumerate(history):
        mine = [other for other, _, each in history[:index] if each == person]
        since = max([came[number], *mine])  # from when on it was this person's turn at all
        between = Counter(each for other, _, each in history[:index] if since < other <= at and each != person)
        own_place = Counter(each for _, _, each in history[:index])[person]
        assert all(count <= 2 for count in between.values()), (at, person, between, own_place)
        assert at - since <= 2 * longest * 20 / places + longest, "waited longer than everybody's share"
    assert max(at for at, _, person in history if person != "person 0") < 200 + 20 * longest / places + longest * 3
