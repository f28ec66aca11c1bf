"""A program is run without a shell, bounded in time, and its failure is told in words."""

import subprocess
import sys

import pytest

from passerelle.core.errors import Busy, NotFound, ProgramFailed
from passerelle.programs import run
from passerelle.testing.executors import alive, until


def test_what_it_writes_comes_back():
    assert run(["printf", "%s", "a b"], seconds=60) == "a b"


def test_words_are_never_read_by_a_shell(tmp_path):
    hostile = "; touch owned $(touch owned)"
    assert run(["printf", "%s", hostile], seconds=60, folder=tmp_path) == hostile
    assert list(tmp_path.iterdir()) == []


def test_a_missing_program_is_named():
    with pytest.raises(NotFound, match="no-such-program-here"):
        run(["no-such-program-here"], seconds=60)


def test_its_last_word_is_in_the_message():
    with pytest.raises(ProgramFailed, match=r"code 2: .*no-such-file"):
        run(["ls", "no-such-file"], seconds=60)


def test_one_that_hangs_is_ended():
    with pytest.raises(Busy, match=r"0\.2 s"):
        run(["sleep", "30"], seconds=0.2)


def test_it_is_answered_on_standard_input():
    assert run(["cat"], seconds=60, answers="a\nb\n") == "a\nb\n"


def test_one_that_reads_no_answers_is_no_fault():
    assert run(["true"], seconds=60, answers="x\n" * 100_000) == ""


def test_its_environment_is_ours_and_what_is_given(monkeypatch):
    monkeypatch.setenv("OF_OURS", "1")
    assert run(["sh", "-c", 'printf "%s" "$OF_OURS$GIVEN"'], seconds=60, environment={"GIVEN": "2"}) == "12"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("in: motioncorr.cpp, line 12\\nERROR:\\nNo such file movie.mrcs\\n=== Backtrace ===\\n", "No such file movie.mrcs"),
        ("Iteration 1\\nError: All GPUs are in use, quit.\\n\\n", "All GPUs are in use"),
        ("one\\ntwo\\n------\\n", "two"),
    ],
)
def test_the_line_that_tells_what_is_wrong_is_quoted(said, words):
    with pytest.raises(ProgramFailed, match=words):
        run(["sh", "-c", f"printf '{said}'; exit 1"], seconds=60)


def test_a_program_that_crashes_is_told_by_its_signal():
    with pytest.raises(ProgramFailed, match="signal 11: it gave no reason"):
        run(["sh", "-c", "kill -SEGV $$"], seconds=60)


def test_what_a_wrapper_has_started_ends_with_it(tmp_path):
    child = tmp_path / "child"
    for seconds in (0.3, 3, 30):  # until it has had the time to start something
        with pytest.raises(Busy):
            run(["sh", "-c", "sleep 300 & echo $! >child; wait"], seconds=seconds, folder=tmp_path)
        if child.exists() and child.read_text():
            break
    number = int(child.read_text())
    until(lambda: not alive(number))


def test_a_program_dies_with_the_process_that_started_it(tmp_path):
    code = "import sys; from passerelle.programs import run; run(['sh', '-c', 'echo $$ >child; exec sleep 300'], seconds=300)"
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path)
    child = tmp_path / "child"
    until(lambda: child.exists() and child.read_text().strip() != "")
    number = int(child.read_text())
    assert alive(number)
    parent.kill()
    parent.wait()
    until(lambda: not alive(number))


def test_a_folder_that_is_not_there_is_not_taken_for_the_program(tmp_path):
    with pytest.raises(NotFound, match="no folder"):
        run(["true"], seconds=60, folder=tmp_path / "gone")
