"""The command as a person types it: real processes, real folders, exit codes and words."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil
import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
PASSERELLE = [sys.executable, "-m", "passerelle"]
SIZE = "1024"


def run(*words: object, cwd: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the command; its exit code must be `code`."""
    environment = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1"}
    done = subprocess.run(
        [*PASSERELLE, *map(str, words)], cwd=cwd, capture_output=True, text=True, timeout=540, check=False, env=environment
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def session(tmp_path_factory) -> Path:
    """A folder with a gateway of two small sessions."""
    folder = tmp_path_factory.mktemp("command")
    run("simulate", "gateway", "--movies", 2, "--movies-per-hour", 0, "--size", SIZE, "--offline", "--json", cwd=folder)
    return folder


def process(folder: Path, *words: object, camera: str = "krios1-falcon", code: int = 0) -> dict:
    done = run("process", f"gateway/{camera}", "--output", f"out-{camera}", "--json", *words, cwd=folder, code=code)
    return json.loads(done.stdout)


@pytest.mark.parametrize("camera", ["krios1-falcon", "krios1-k2"])
def test_a_folder_is_processed_to_judged_micrographs_and_again_at_no_cost(session, camera):
    first = process(session, "--voltage", 300, "--cs", 2.7, camera=camera)
    assert [movie["state"] for movie in first["movies"]] == ["done", "done"]
    for movie in first["movies"]:
        assert movie["verdict"] in ("accept", "warn", "reject")
        assert movie["metrics"]["frames"] == 40
        assert movie["metrics"].get("total_motion_angstrom", 0.0) < 200  # the small Falcon phantom is too weak to be followed
    written = {path: path.stat().st_mtime_ns for path in (session / f"out-{camera}").rglob("*.mrc")}
    assert len(written) == 8  # unweighted, weighted, even, odd of two movies
    again = process(session, "--voltage", 300, "--cs", 2.7, camera=camera)
    assert again["movies"] == first["movies"]
    assert {path: path.stat().st_mtime_ns for path in written} == written


def test_a_changed_parameter_redoes_only_what_depends_on_it(session):
    process(session, "--cs", 2.7, "--voltage", 300)
    before = {path: path.stat().st_mtime_ns for path in (session / "out-krios1-falcon").rglob("micrograph.mrc")}
    process(session, "--cs", 2.7, "--voltage", 300, "--set", "ctf.resolution_high_angstrom=6")
    records = [json.loads(path.read_text()) for path in (session / "out-krios1-falcon").rglob("step-ctf.json")]
    assert len(records) == 2
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_the_tables_fit_a_person_and_name_every_movie(session):
    number = process(session, "--cs", 2.7, "--voltage", 300)["sessions"][0]["id"]
    shown = run("movies", number, "--state", "out-krios1-falcon", cwd=session).stdout
    lines = [line for line in shown.splitlines() if "FoilHole_" in line]
    assert len([line for line in lines if ": " not in line]) == 2  # a line a movie
    assert all("Å" in line or "%" in line or "could not" in line for line in lines[2:])  # and below, why it was marked
    assert "defocus µm" in shown
    assert "krios1-falcon" in run("sessions", "--state", "out-krios1-falcon", cwd=session).stdout


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["process", "nowhere"], 66, "nowhere.*is no folder"),
        (["process", "gateway", "--set", "ctf.boxpx=512"], 78, "ctf.boxpx.*box_px"),
        (["process", "gateway", "--set", "nonsense"], 2, "nonsense.*GROUP.FIELD=VALUE"),
        (["process", "gateway", "--output", "gateway/inside"], 2, "inside.*folder that it reads"),
        (["serve", "--config", "none.toml"], 66, "none.toml"),
        (["sessions", "--state", "."], 66, "no state"),
        (["movies", "nowhere", "--state", "out-krios1-falcon"], 66, "no session `nowhere`.*krios1-falcon"),
        (["nonsense"], 2, "No such command"),
    ],
)
def test_a_mistake_ends_with_its_own_code_and_says_what_to_do(session, words, code, said):
    assert re.search(said, run(*words, cwd=session, code=code).stderr, re.DOTALL)


def test_a_typo_in_the_configuration_is_named(session):
    run("init", "typo", cwd=session)
    path = session / "typo" / "passerelle.toml"
    path.write_text(path.read_text().replace("# quiet_seconds", "quite_seconds"))
    said = run("serve", "--config", path, cwd=session, code=78).stderr
    assert "quite_seconds" in said
    assert "quiet_seconds" in said


def test_the_service_starts_shows_its_page_and_ends_by_sigterm(session):
    run("init", "facility", cwd=session)
    server = subprocess.Popen(
        [*PASSERELLE, "serve", "--config", "facility/passerelle.toml", "--port", "0"],
        cwd=session,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        address = re.search(r"http://\S+/", server.stdout.readline())
        assert address, server.communicate(timeout=10)
        with urllib.request.urlopen(address[0], timeout=60) as page:
            assert page.status == 200
            assert b"passerelle" in page.read()
        second = run("serve", "--config", "facility/passerelle.toml", "--port", "0", cwd=session, code=75)
        assert "another passerelle" in second.stderr
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=120) == 0
    finally:
        server.kill()
        server.communicate()


def tethered(service: int) -> set[str]:
    """Return which programs of Parsl run for a service in a group of their own, by the processes that tie them to it."""
    found: set[str] = set()
    for each in psutil.process_iter(["cmdline"]):
        words = each.info["cmdline"] or []
        if "passerelle.compute.tether" in words and str(service) in words:
            with contextlib.suppress(ProcessLookupError):
                if os.getpgid(each.pid) == each.pid:
                    found |= {Path(word).name for word in words if word.endswith(".py")}
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_in_a_terminal_reaches_all_its_processes_and_ends_the_service_in_peace(tmp_path, number):
    run("init", "facility", cwd=tmp_path)
    words = [*PASSERELLE, "serve", "--config", "facility/passerelle.toml", "--port", "0"]
    said = tmp_path / "said"
    with said.open("w") as log:
        server = subprocess.Popen(words, cwd=tmp_path, stdout=log, stderr=log, start_new_session=True)
    try:
        ends = time.monotonic() + 180
        while "http://" not in said.read_text():
            assert server.poll() is None and time.monotonic() < ends, said.read_text()
            time.sleep(0.1)
        while tethered(server.pid) != {"interchange.py", "process_worker_pool.py"}:
            assert server.poll() is None and time.monotonic() < ends, said.read_text()
            time.sleep(0.1)
        time.sleep(2)  # by then the workers have begun, too
        os.killpg(server.pid, number)
        assert server.wait(timeout=120) in {0, 130}
    finally:
        server.kill()
        server.wait()
    assert len(said.read_text().splitlines()) == 1, said.read_text()


def test_the_demo_ends_by_itself_after_the_movies_that_were_asked_for(tmp_path):
    words = ["demo", "--no-browser", "--offline", "--exit-after-movies", 2, "--size", SIZE, "--movies-per-hour", 0, "--movies", 2]
    done = run(*words, cwd=tmp_path)
    assert "http://127.0.0.1:" in done.stdout
    assert re.search(r"\d movies processed", done.stdout)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    refused = run("demo", "--folder", "mine", "--no-browser", cwd=tmp_path, code=2)
    assert "holds no earlier demo" in refused.stderr
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "years of work"


def test_every_command_of_the_tutorial_does_what_it_says(tmp_path):
    text = (DOCS / "tutorials" / "first-session.md").read_text()
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    commands = [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]
    assert len(commands) >= 6
    for command in commands:
        program, *words = shlex.split(command)
        assert program == "passerelle"
        run(*words, cwd=tmp_path)
    assert "data_optics" in (tmp_path / "accepted.star").read_text()
    assert (tmp_path / "krios" / "passerelle.toml").is_file()
