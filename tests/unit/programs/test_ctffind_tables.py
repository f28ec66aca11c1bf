"""The answers that CTFFIND reads, and its tables as versions 4.1.14 and 5.0.2 wrote them; damaged ones are refused in words."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from passerelle.core.errors import ProgramFailed
from passerelle.programs import ctffind
from passerelle.programs.ctffind import CtfRequest

RECORDED = Path(__file__).parent / "recorded"
REQUEST = CtfRequest(
    micrograph="micrograph.mrc", pixel_size_angstrom=0.93, voltage_kv=300.0, spherical_aberration_mm=2.7, amplitude_contrast=0.07
)


@pytest.fixture
def left(tmp_path: Path) -> Path:
    shutil.copy(RECORDED / "ctffind-4.1.14.txt", tmp_path / "diagnostic.txt")
    shutil.copy(RECORDED / "ctffind-4.1.14_avrot.txt", tmp_path / "diagnostic_avrot.txt")
    return tmp_path


def test_a_table_of_version_4(left):
    found = ctffind.read(left)
    assert found.version == "4.1.14"
    assert (found.defocus_1_angstrom, found.defocus_2_angstrom, found.angle_deg) == (5881.591797, 5851.229004, -21.575969)
    assert (found.phase_shift_deg, found.score, found.resolution_angstrom) == (0.0, 0.242603, 4.598205)
    assert found.spacing_per_angstrom[2] == pytest.approx(0.055763)
    assert found.spectrum[2] == pytest.approx(-0.247962)  # the average along the rings, not that of the third line
    assert found.model[2] == pytest.approx(0.930143)
    assert found.agreement[2] == pytest.approx(0.334830)


def test_a_table_of_version_5_has_three_columns_more(left):
    shutil.copy(RECORDED / "ctffind-5.0.2.txt", left / "diagnostic.txt")
    found = ctffind.read(left)
    assert (found.version, found.defocus_1_angstrom, found.resolution_angstrom) == ("5.0.2", 8984.742188, 3.72)


@pytest.mark.parametrize("said", ["inf", "nan", "-nan", "0.000000"])
def test_rings_that_fit_nowhere_have_no_resolution(left, said):
    path = left / "diagnostic.txt"
    path.write_text(path.read_text().replace("4.598205", said))
    assert math.isnan(ctffind.read(left).resolution_angstrom)


def test_a_phase_shift_is_told_in_degrees(left):
    path = left / "diagnostic.txt"
    path.write_text(path.read_text().replace(" 0.000000 0.242603", " 1.570796 0.242603"))
    assert ctffind.read(left).phase_shift_deg == pytest.approx(90, abs=1e-3)


def test_what_is_no_number_in_a_curve_is_zero(left):
    path = left / "diagnostic_avrot.txt"
    path.write_text(path.read_text().replace("0.334830", "-nan"))
    found = ctffind.read(left)
    assert np.isfinite(found.agreement).all() and found.agreement[2] == 0


@pytest.mark.parametrize(
    ("name", "damage", "words"),
    [
        ("diagnostic.txt", lambda text: "", "0 lines of numbers"),
        ("diagnostic.txt", lambda text: text[: text.index("1.000000")], "0 lines of numbers"),
        ("diagnostic.txt", lambda text: text[: text.index(" 0.242603")], "5 numbers"),
        ("diagnostic.txt", lambda text: text.replace("5881.591797", "nan"), "found no CTF"),
        ("diagnostic.txt", lambda text: text.replace("5881.591797", "58.81.5"), "not of numbers"),
        ("diagnostic_avrot.txt", lambda text: "", "lines of no numbers"),
        ("diagnostic_avrot.txt", lambda text: text[: len(text) * 9 // 10], "numbers; six of one length"),
        ("diagnostic_avrot.txt", lambda text: text.replace("0.982985", ""), "numbers; six of one length"),
    ],
)
def test_a_damaged_table_is_named_with_what_is_wrong(left, name, damage, words):
    path = left / name
    path.write_text(damage(path.read_text()))
    with pytest.raises(ProgramFailed, match=words) as error:
        ctffind.read(left)
    assert error.value.path == str(path)


@pytest.mark.parametrize("name", ["diagnostic.txt", "diagnostic_avrot.txt"])
def test_a_missing_table_says_so(left, name):
    (left / name).unlink()
    with pytest.raises(ProgramFailed, match=r"was not written: CTFFIND left no"):
        ctffind.read(left)


def test_the_questions_of_version_4_are_answered_in_their_order():
    request = replace(REQUEST, resolution_high_angstrom=1.0, resolution_low_angstrom=60.0, box_px=64)
    assert ctffind.answers(request, generation=4).splitlines() == [
        "micrograph.mrc",
        "diagnostic.mrc",
        "0.93",
        "300",
        "2.7",
        "0.07",
        "128",  # its least
        "50",  # its coarsest
        "1.86",  # never beyond what the pixels allow
        "5000",
        "50000",
        "500",
        "no",  # known astigmatism
        "yes",  # slower search
        "no",  # restraint
        "no",  # phase shift
        "no",  # tilt, of 4.1.15
        "no",  # expert options
        "no",
    ]


def test_a_phase_shift_is_searched_in_radians():
    lines = ctffind.answers(replace(REQUEST, phase_shift=True), generation=5).splitlines()
    assert lines[12:] == ["no", "no", "no", "yes", "0", "3.141593", "0.2", "no", "no", "no"]
