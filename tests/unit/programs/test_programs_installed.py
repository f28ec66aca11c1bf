"""A program is found by path or name and asked for its version once; what is not here is said in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from passerelle.core.errors import BadConfiguration
from passerelle.programs import find_program, program_file


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("name", "says", "version"),
    [
        ("relion", "RELION version: 3.1.3 ", "3.1.3"),
        ("relion", "RELION version: 5.0.0-commit-12cf15", "5.0.0-commit-12cf15"),
        ("motioncor2", "MotionCor2 version 1.6.4\nBuilt on Oct  5 2023", "1.6.4"),
        ("motioncor3", "MotionCor3 version 1.2.1\nBuilt on May 14 2025", "1.2.1"),
    ],
)
def test_it_is_asked_for_its_version(tmp_path, name, says, version):
    path = script(tmp_path / "a program", f'[ "$1" = --version ] && printf "%s\\n" "{says}"')
    found = find_program(name, path)
    assert (found.executable, found.version) == (path, version)


def test_one_that_does_not_tell_is_known_by_its_file(tmp_path):
    path = script(tmp_path / "old", "exit 3")
    before = find_program("motioncor2", path).version
    assert "bytes" in before
    script(tmp_path / "old", "exit 4 # another")
    assert find_program("motioncor2", path).version != before
    assert program_file(path) != program_file("/nowhere/old")


def test_ctffind_is_never_started_to_ask(tmp_path):
    path = script(tmp_path / "ctffind", f"touch {tmp_path}/started")
    assert "bytes" in find_program("ctffind5", path).version
    assert not (tmp_path / "started").exists()


def test_one_that_is_missing_is_named_with_the_setting():
    with pytest.raises(BadConfiguration, match=r"MotionCor3 .*'no-such-program' is not installed.*programs\.motioncor3"):
        find_program("motioncor3", "no-such-program")


def test_one_that_cannot_start_is_quoted(tmp_path):
    text = "echo 'error while loading shared libraries: libcufft.so.11: cannot open' >&2; exit 127"
    with pytest.raises(BadConfiguration, match=r"MotionCor2 does not start: .*libcufft"):
        find_program("motioncor2", script(tmp_path / "mc2", text))


def test_a_file_of_another_kind_of_machine_does_not_start(tmp_path):
    (tmp_path / "relion").write_bytes(b"\x7fELF of another machine")
    (tmp_path / "relion").chmod(0o755)
    with pytest.raises(BadConfiguration, match=r"does not start: cannot be run: Exec format error"):
        find_program("relion", str(tmp_path / "relion"))


def test_what_is_no_program_is_refused(tmp_path):
    (tmp_path / "text").write_text("hello")
    with pytest.raises(BadConfiguration, match="not installed"):
        find_program("relion", str(tmp_path / "text"))
    with pytest.raises(BadConfiguration, match="not installed"):
        find_program("relion", str(tmp_path))
