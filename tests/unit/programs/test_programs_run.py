"""A program is run without a shell, bounded in time, and its failure is told in words."""

import pytest

from passerelle.core.errors import Busy, NotFound, ProgramFailed
from passerelle.programs import run


def test_what_it_writes_comes_back():
    assert run(["printf", "%s", "a b"], seconds=10) == "a b"


def test_words_are_never_read_by_a_shell(tmp_path):
    hostile = "; touch owned $(touch owned)"
    assert run(["printf", "%s", hostile], seconds=10, folder=tmp_path) == hostile
    assert list(tmp_path.iterdir()) == []


def test_a_missing_program_is_named():
    with pytest.raises(NotFound, match="no-such-program-here"):
        run(["no-such-program-here"], seconds=10)


def test_its_last_word_is_in_the_message():
    with pytest.raises(ProgramFailed, match=r"code 2: .*no-such-file"):
        run(["ls", "no-such-file"], seconds=10)


def test_one_that_hangs_is_ended():
    with pytest.raises(Busy, match=r"0\.2 s"):
        run(["sleep", "30"], seconds=0.2)
