"""A step is done again only when something that it depends on changed, or its outputs are not whole."""

import pytest

from passerelle.core.errors import BadFile
from passerelle.processing.records import Records, merged_values
from passerelle.processing.task import StepRecord


@pytest.fixture
def records(tmp_path):
    (tmp_path / "micrograph.mrc").write_bytes(b"x" * 100)
    kept = Records(tmp_path)
    kept.keep(StepRecord(step="sums", fingerprint="f1", values={"counts": 3.0}, outputs={"micrograph": "micrograph.mrc"}))
    return kept


def test_a_result_from_the_same_inputs_is_used_again_and_says_so(records):
    again = records.reusable("sums", "f1")
    assert again is not None
    assert again.reused
    assert again.values == {"counts": 3.0}


def test_another_fingerprint_means_work(records):
    assert records.reusable("sums", "f2") is None


def test_a_step_never_done_means_work(records):
    assert records.reusable("ctf", "f1") is None


@pytest.mark.parametrize("damage", [b"", b"x" * 99, b"x" * 101, None])
def test_an_output_that_is_gone_or_of_another_size_means_work(records, damage):
    path = records.folder / "micrograph.mrc"
    path.unlink() if damage is None else path.write_bytes(damage)
    assert records.reusable("sums", "f1") is None


def test_a_record_torn_by_hand_means_work(records):
    (records.folder / "step-sums.json").write_text('{"step": "su')
    assert records.reusable("sums", "f1") is None


def test_no_record_vouches_for_an_output_that_is_not_there(records):
    with pytest.raises(BadFile, match=r"even\.mrc"):
        records.keep(StepRecord(step="sums", fingerprint="f1", outputs={"even": "even.mrc"}))


def test_a_later_steps_number_replaces_an_earlier_ones():
    done = {
        "a": StepRecord(step="a", fingerprint="1", values={"x": 1, "word": "no number", "flag": True}),
        "b": StepRecord(step="b", fingerprint="2", values={"x": 2.5}),
    }
    assert merged_values(done) == {"x": 2.5}
