"""The rule of the buffer: nothing goes before its time or without its copies; and when a disk is full."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passerelle.gateway.buffer import Rule, Sample, Stay, dataset_may_go, file_may_go, inflow, seconds_until

DAY = 86400.0
HOUR = 3600.0
INSTANT = st.floats(0, 2e9)
DAYS = st.floats(0, 400)
RULES = st.builds(Rule, age_days=DAYS, quiet_days=DAYS, copies=st.integers(1, 3))
STAYS = st.builds(
    Stay, changed_at=INSTANT, closed_at=st.none() | INSTANT, busy=st.sampled_from([(), ("A transfer is under way.",)])
)


@given(STAYS, RULES, INSTANT)
def test_nothing_goes_before_its_time(stay: Stay, rule: Rule, now: float) -> None:
    answer = dataset_may_go(stay, rule, now)
    assert answer.may_go is (not answer.reasons)
    if answer.may_go:
        assert not stay.busy
        assert now - stay.changed_at >= rule.age_days * DAY - 1e-3
        if stay.closed_at is None:
            assert now - stay.changed_at >= rule.quiet_days * DAY - 1e-3
        else:
            assert now - stay.closed_at >= rule.age_days * DAY - 1e-3


@given(STAYS, RULES, INSTANT)
def test_what_may_go_is_found_out_in_the_end_and_then_stays_so(stay: Stay, rule: Rule, now: float) -> None:
    answer = dataset_may_go(stay, rule, now)
    if answer.goes_at is not None and math.isfinite(answer.goes_at):
        assert dataset_may_go(stay, rule, max(answer.goes_at, stay.changed_at) + 1).may_go
    if answer.may_go:
        assert dataset_may_go(stay, rule, now + 1e6).may_go


@given(STAYS, RULES, INSTANT, st.floats(0, 1e6))
def test_a_later_change_never_makes_it_go_sooner(stay: Stay, rule: Rule, now: float, later: float) -> None:
    changed = Stay(stay.changed_at + later, stay.closed_at, stay.busy)
    assert dataset_may_go(stay, rule, now).may_go >= dataset_may_go(changed, rule, now).may_go


@given(STAYS, RULES)
def test_a_clock_that_is_wrong_lets_nothing_go(stay: Stay, rule: Rule) -> None:
    answer = dataset_may_go(stay, rule, stay.changed_at - 1000)
    assert not answer.may_go
    assert "clock" in answer.reasons[0]


@given(st.frozensets(st.sampled_from("abcd")), RULES, st.booleans())
def test_copies_count_by_zones(zones: frozenset[str], rule: Rule, changed: bool) -> None:
    answer = file_may_go(zones, rule, changed=changed)
    assert answer.may_go is (len(zones) >= rule.copies)
    assert bool(answer.reasons) is not answer.may_go


def test_the_reasons_are_sentences() -> None:
    rule = Rule(age_days=14, quiet_days=3, copies=2)
    assert dataset_may_go(Stay(0.0), rule, DAY).reasons == ("Its session is open, and files have changed lately.",)
    assert dataset_may_go(Stay(0.0), rule, 4 * DAY).reasons == ("Its age is not reached: 10.0 days to go.",)
    assert dataset_may_go(Stay(0.0, 13.9 * DAY), rule, 27.4 * DAY).reasons == ("Its age is not reached: 12 h to go.",)
    assert file_may_go(frozenset(), rule, changed=True).reasons == ("It has changed since it was copied.",)
    assert file_may_go(frozenset(), rule, changed=False).reasons == ("No verified copy of it is on record.",)
    assert "1 of 2 zones" in file_may_go(frozenset("a"), rule, changed=False).reasons[0]
    assert rule.words == "14 days after its end (closed, or quiet for 3 days), verified copies in 2 zones"


def _filling(per_second: float, *, hours: float = 6, total: int = 10**13, used: float = 5e12) -> list[Sample]:
    return [Sample(at, int(total - used - per_second * at), total) for at in (300.0 * n for n in range(int(hours * 12) + 1))]


@pytest.mark.parametrize("per_second", [1e6, 2e8])
def test_the_forecast_is_the_rate_at_which_data_come(per_second: float) -> None:
    samples = _filling(per_second)
    now = samples[-1].at
    for seconds in (HOUR, 6 * HOUR):
        assert inflow(samples, 0, now, seconds) == pytest.approx(per_second, rel=1e-6)
    expected = (10**13 * 0.95 - 5e12 - per_second * now) / per_second
    assert seconds_until(samples[-1], 95, per_second) == pytest.approx(expected, rel=1e-6)


def test_what_was_purged_does_not_hide_what_comes() -> None:
    samples = _filling(1e8)
    freed = 3 * 10**12
    after = [*samples[:-3], *(Sample(each.at, each.free_bytes + freed, each.total_bytes) for each in samples[-3:])]
    now = samples[-1].at
    assert inflow(after, 0, now, 6 * HOUR) == 0.0
    assert inflow(after, freed, now, 6 * HOUR) == pytest.approx(1e8, rel=1e-6)


def test_no_forecast_of_nothing() -> None:
    assert inflow([], 0, 1000.0, HOUR) is None
    assert inflow(_filling(1e6, hours=0.1), 0, 360.0, HOUR) is None
    assert seconds_until(Sample(0.0, 10**12, 10**13), 95, None) is None
    assert seconds_until(Sample(0.0, 10**12, 10**13), 95, 0.0) is None
    assert seconds_until(Sample(0.0, 10**11, 10**13), 95, None) == 0.0
    empty = [Sample(at, 10**12 + int(at), 10**13) for at in (0.0, 2000.0, 4000.0)]
    assert inflow(empty, 0, 4000.0, 2 * HOUR) == 0.0
