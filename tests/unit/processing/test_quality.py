"""The verdict on a micrograph, and that its reasons read well."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passerelle.processing.metrics import BY_NAME, default_thresholds
from passerelle.processing.quality import judge
from passerelle.processing.recipe import Threshold

GOOD = {
    "ctf_resolution_angstrom": 4.1,
    "defocus_angstrom": 15000.0,
    "astigmatism_angstrom": 300.0,
    "ctf_score": 0.2,
    "ice_ring_score": 0.1,
    "total_motion_angstrom": 20.0,
    "contamination_percent": 2.0,
}


def test_a_good_micrograph_is_accepted_without_a_reason():
    assert judge(GOOD, default_thresholds()) == ("accept", ())


def test_a_value_beyond_the_first_limit_marks_the_micrograph():
    verdict, reasons = judge(GOOD | {"ctf_resolution_angstrom": 7.0}, default_thresholds())
    assert verdict == "warn"
    assert len(reasons) == 1


def test_a_value_beyond_the_second_limit_rejects_and_is_told_once():
    verdict, reasons = judge(GOOD | {"ctf_resolution_angstrom": 12.3}, default_thresholds())
    assert verdict == "reject"
    assert len(reasons) == 1
    assert reasons[0].startswith("CTF fit resolution 12.30 Å is worse than 10 Å")


def test_reasons_to_reject_come_before_reasons_to_mark():
    bad = {"ctf_score": 0.01, "contamination_percent": 71.0}
    verdict, reasons = judge(GOOD | bad, default_thresholds())
    assert verdict == "reject"
    assert reasons[0].startswith("Contamination 71 % is above 40 %: ice crystals")
    assert reasons[1].startswith("CTF score 0.010 is below 0.05")


@pytest.mark.parametrize(
    ("contamination", "cause"),
    [
        (22.0, "contamination alone may do this"),
        (2.0, "the gain reference does not fit the movie"),
        (None, "the gain reference does not fit the movie"),
    ],
)
def test_a_gain_reference_is_not_blamed_for_what_contamination_may_have_done(contamination: float | None, cause: str):
    _, reasons = judge({"residual_gain_sd": 0.119, "contamination_percent": contamination}, default_thresholds())
    assert f"Residual gain SD 0.119 is above 0.04: {cause}" in reasons


def test_a_reason_speaks_the_unit_that_pages_show():
    _, reasons = judge({"defocus_angstrom": 51234.0}, {"defocus_angstrom": Threshold(warn_max=40000.0)})
    assert reasons == ("Defocus 5.12 µm is above 4 µm",)


def test_the_two_numbers_of_a_reason_differ_however_close_they_are():
    _, reasons = judge({"defocus_angstrom": 40000.5}, {"defocus_angstrom": Threshold(warn_max=40000.0)})
    assert reasons == ("Defocus 4.00005 µm is above 4 µm",)


@pytest.mark.parametrize("value", [6.0, 1000.0])
def test_a_value_on_a_limit_is_inside(value: float):
    assert judge({"m": value}, {"m": Threshold(warn_min=value, warn_max=value, reject_max=value)}) == ("accept", ())


def test_a_metric_that_was_not_measured_is_not_judged():
    assert judge({}, default_thresholds()) == ("accept", ())


def test_a_metric_that_is_not_a_number_marks_the_micrograph():
    assert judge({"ctf_score": math.nan}, default_thresholds()) == ("warn", ("CTF score could not be measured",))


def test_a_metric_that_the_table_does_not_know_is_judged_by_its_name():
    verdict, reasons = judge({"blobs": 7.0}, {"blobs": Threshold(reject_max=5.0)})
    assert (verdict, reasons) == ("reject", ("blobs 7.000 is above 5",))


@given(st.sampled_from(sorted(BY_NAME)), st.floats(allow_nan=False), st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_an_infinite_or_tiny_value_never_breaks_the_sentence(name: str, value: float, low: float, high: float):
    verdict, reasons = judge({name: value}, {name: Threshold(warn_min=low, reject_max=high)})
    assert (verdict == "accept") == (not reasons)
    assert (verdict == "reject") == (value > high)


@pytest.mark.parametrize("value", [None, math.nan])
def test_what_could_not_be_measured_marks_the_micrograph_also_as_a_database_keeps_it(value: float | None):
    verdict, reasons = judge(GOOD | {"total_motion_angstrom": value}, default_thresholds())
    assert verdict == "warn"
    assert reasons == (f"{BY_NAME['total_motion_angstrom'].label} could not be measured",)
