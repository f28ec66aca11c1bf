"""Which transfer runs next: fair between people, then the oldest. Decided from values, without database or clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple


class Waiting(NamedTuple):
    """A transfer that waits for its turn. number: the lower, the older. not_before: it must wait until then, if not None."""

    number: int
    person: str
    not_before: float | None = None


def next_ones(
    waiting: Collection[Waiting], running: Iterable[str], last_starts: Mapping[str, float], *, places: int, now: float
) -> list[int]:
    """Return the numbers of the transfers to start now, in order.

    running: the person of each transfer that runs. last_starts: when one of a person was started last. places: how many may run.
    A free place goes to who has the fewest running; among these to who was served longest ago; of that person's, to the oldest.
    So nobody waits for more than one transfer of each other person, however many somebody has asked for.
    """
    busy = Counter(running)
    served = dict(last_starts)
    ready: dict[str, list[int]] = {}
    for each in sorted(waiting):
        if each.not_before is None or each.not_before <= now:
            ready.setdefault(each.person, []).append(each.number)
    chosen: list[int] = []
    turn = now
    while ready and busy.total() < places:
        person = min(ready, key=lambda name: (busy[name], served.get(name, float("-inf")), ready[name][0]))
        chosen.append(ready[person].pop(0))
        if not ready[person]:
            del ready[person]
        busy[person] += 1
        turn += 1e-6  # who was served in this call was served later than all before
        served[person] = turn
    return chosen


def place_in_line(number: int, waiting: Collection[Waiting], running: Iterable[str], last_starts: Mapping[str, float]) -> int:
    """Return how many transfers are started before this one, if none comes and each takes equally long.

    Raises:
        ValueError: it does not wait.
    """
    ready = [each._replace(not_before=None) for each in waiting]
    now = max([0.0, *last_starts.values()]) + 1.0
    return next_ones(ready, (), last_starts, places=len(ready), now=now).index(number)
