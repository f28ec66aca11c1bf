"""The units of docs/how-to/install.md: systemd takes them, and the service does its work with no more than they leave it."""

from __future__ import annotations

import configparser
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "how-to" / "install.md"
# every mount read-only but those of the kernel, as ProtectSystem=strict has it, and then what the unit names
STRICT = """
set -eu
mount --make-rprivate /
for place in "$@"; do mount --bind "$place" "$place"; done
awk '{print $5}' /proc/self/mountinfo | while read -r place; do
    case " $* " in *" $place "*) continue ;; esac
    case "$place" in /proc | /proc/* | /sys | /sys/*) ;; *) mount -o remount,bind,ro "$place" || true ;; esac
done
if touch /probe 2>/dev/null; then rm /probe; exit 3; fi
exec $COMMAND
"""
CONFIG = """
[state]
folder = "{folder}/srv/state"
[zones]
folder = "{folder}/zones"
[work]
executor = "processes"
[instruments.krios1-falcon]
folder = "{folder}/gateway/krios1-falcon"
camera = "Falcon"
spherical_aberration_mm = 2.7
[processing.motion]
patches_x = 2
patches_y = 2
[processing.ctf]
box_px = 256
"""


def units() -> dict[str, str]:
    """Return the units of the page, by the names that it gives them."""
    found = re.findall(r"`/etc/systemd/system/([\w-]+\.service)`:\n\n```ini\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return dict(found)


def service_of(text: str) -> configparser.SectionProxy:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign] - keys as they are written
    parser.read_string(text)
    return parser["Service"]


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("this machine has no systemd")
    assert set(units()) == {"passerelle.service", "passerelle-hand.service"}
    for name, text in units().items():
        program = service_of(text)["ExecStart"].split()[0]
        (tmp_path / name).write_text(text.replace(program, sys.executable))
    done = subprocess.run(
        [analyze, "verify", "--man=no", *map(str, tmp_path.iterdir())], capture_output=True, text=True, check=False
    )
    ours = [line for line in done.stderr.splitlines() if "passerelle" in line]
    assert not ours
    assert done.returncode == 0, done.stderr


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that lies in no folder for temporary files: the unit has some of its own."""
    if os.geteuid():
        pytest.skip("only root may make a namespace of mounts")
    if not os.access("/dev/shm", os.W_OK):
        pytest.skip("there is no /dev/shm")
    if subprocess.run(["unshare", "--mount", "mount", "--make-rprivate", "/"], capture_output=True, check=False).returncode:
        pytest.skip("no namespace of mounts can be made here, as in a chroot")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        made = Path(name)
        for inner in ("srv/state", "gateway/krios1-falcon", "zones"):
            (made / inner).mkdir(parents=True)
        (made / "srv" / "passerelle.toml").write_text(CONFIG.format(folder=name))
        yield made


def strictly(service: configparser.SectionProxy, place: Path) -> subprocess.Popen[bytes]:
    """Start the service where it can write to what its unit names, and nowhere else."""
    assert service["ProtectSystem"] == "strict"
    named = [each.lstrip("-") for each in service["ReadWritePaths"].split()]
    there = {"/srv/passerelle": place / "srv", "/gateway": place / "gateway", "/zones": place / "zones"}
    assert there.keys() <= set(named)
    writable = list(map(str, there.values()))
    if service.get("PrivateTmp") == "yes":
        writable += ["/tmp", "/var/tmp"]
    words = service["ExecStart"].split()
    command = [sys.executable, "-m", "passerelle", *words[1:]]
    at = command.index("--config") + 1
    command[at] = str(place / "srv" / "passerelle.toml")
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT / "src"),
        "NUMBA_CACHE_DIR": str(place / "srv" / "cache"),
        "COMMAND": " ".join([*command, "--port", "0"]),
    }
    assert service["Environment"] == "NUMBA_CACHE_DIR=/srv/passerelle/cache"
    with (place / "log").open("wb") as log:
        outer = ["unshare", "--mount", "sh", "-c", STRICT, "sh", *writable]
        return subprocess.Popen(outer, cwd="/", env=environment, stdout=log, stderr=log)


def wait_for(place: Path, process: subprocess.Popen[bytes], pattern: str) -> str:
    ends = time.monotonic() + 240
    while not (found := re.search(pattern, said := (place / "log").read_text())):
        assert process.poll() is None and time.monotonic() < ends, said
        time.sleep(0.2)
    return found.group()


@pytest.mark.timeout(1200)
def test_the_service_processes_a_movie_with_what_its_unit_leaves_it(place: Path) -> None:
    process = strictly(service_of(units()["passerelle.service"]), place)
    try:
        address = wait_for(place, process, r"http://[\d.:]+")
        simulate = [sys.executable, "-m", "passerelle", "simulate", str(place / "gateway"), "--offline", "--movies", "1"]
        subprocess.run([*simulate, "--movies-per-hour", "0", "--size", "512"], check=True, capture_output=True)
        ends = time.monotonic() + 600
        done = 0
        while not done:
            assert process.poll() is None and time.monotonic() < ends, (place / "log").read_text()
            with urlopen(f"{address}/api/sessions", timeout=60) as answer:
                done = sum(each["counters"]["done"] for each in json.load(answer))
            time.sleep(0.5)
        with urlopen(f"{address}/api/alerts", timeout=60) as answer:
            assert "ead-only" not in answer.read().decode()
    finally:
        process.terminate()
        assert process.wait(180) == 0
    assert "Traceback" not in (place / "log").read_text()


def test_a_service_that_may_write_temporary_files_nowhere_says_so(place: Path) -> None:
    service = service_of(units()["passerelle.service"].replace("PrivateTmp=yes", ""))
    process = strictly(service, place)
    assert process.wait(240) == 74
    said = (place / "log").read_text()
    assert "no folder for temporary files" in said and "PrivateTmp=yes" in said and "Traceback" not in said
