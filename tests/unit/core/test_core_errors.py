"""Errors say what happened, where, and what to do; foreign ones are mapped at the edge."""

import errno

import pytest

from passerelle.core.errors import (
    BadFile,
    IncompleteFile,
    NotAllowed,
    NotFound,
    OutOfSpace,
    PasserelleError,
    Retry,
    StorageError,
    printable,
    storage_errors,
)


def _all_errors(kind: type[PasserelleError]) -> list[type[PasserelleError]]:
    return [kind, *(deeper for child in kind.__subclasses__() for deeper in _all_errors(child))]


def test_the_sentence_names_the_file_and_says_what_to_do():
    error = BadFile("has 3 bytes, expected 1024.", advice="Copy it again.", path="/data/a.mrc")
    assert str(error) == "/data/a.mrc: has 3 bytes, expected 1024. Copy it again."


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOENT, NotFound),
        (errno.EACCES, NotAllowed),
        (errno.ENOSPC, OutOfSpace),
        (errno.EDQUOT, OutOfSpace),
        (errno.EIO, StorageError),
    ],
)
def test_errors_of_the_operating_system_become_ours(number, expected):
    with pytest.raises(expected) as caught, storage_errors("/data/x"):
        raise OSError(number, "as the kernel says")
    assert type(caught.value) is expected
    assert "/data/x" in str(caught.value)


def test_a_file_that_may_still_grow_is_worth_a_later_try_and_a_corrupt_one_is_not():
    assert IncompleteFile("x").retry is Retry.LATER
    assert BadFile("x").retry is Retry.NEVER


def test_every_error_has_an_exit_code_and_a_status_of_its_kind():
    for kind in _all_errors(PasserelleError):
        assert 1 <= kind.exit_code < 126
        assert 400 <= kind.http_status < 600


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [("a\nb", "a\\nb"), ("\x1b[31mred", "\\x1b[31mred"), ("bad\udcffbyte", "bad\\xffbyte"), ("Å µ ×", "Å µ ×")],
)
def test_a_hostile_name_is_shown_without_control_characters(hostile, shown):
    assert printable(hostile) == shown


def test_a_long_name_is_cut():
    assert len(printable("x" * 5000)) == 300
