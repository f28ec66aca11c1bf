"""`make test`: the checks of the code, then every test; ends with what was skipped and why."""

from __future__ import annotations

import argparse
import glob
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

CHECKS = {
    "style": [["ruff", "check", "."], ["ruff", "format", "--check", "."]],
    "types": [["pyright"]],
    "floors of the house": [["lint-imports", "--no-logo"]],
}

# The longest first: what is started last is short, and no processor waits for another.
SUITES = {
    "crash": "tests/crash",
    "system": "tests/system",
    "contract": "tests/contract",
    "agreement": "tests/agreement",
    "unit": "tests/unit",
}


# Kills and power cuts that fall at moments measured on a copy before: not beside other tests.
ALONE = "tests/crash/test_transfer_*.py"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suites", nargs="*", help=f"some of: {', '.join(SUITES)}; default: all, and the checks")
    chosen = parser.parse_args().suites
    began = time.monotonic()
    failed = []
    for name, commands in CHECKS.items() if not chosen else ():
        print(f"== {name}", flush=True)
        failed += [name for command in commands if subprocess.run(command, cwd=ROOT, check=False).returncode]
    folders = [SUITES[name] for name in chosen or SUITES if (ROOT / SUITES[name]).is_dir()]
    print("== tests", flush=True)
    workers = len(os.sched_getaffinity(0)) + 1  # many tests wait for servers, disks and clocks
    spread = [f"--numprocesses={workers}", "--dist=loadfile", "--no-loadscope-reorder"]
    pytest = [sys.executable, "-m", "pytest", "-q", "--durations=25"]
    if subprocess.run([*pytest, *spread, f"--ignore-glob={ALONE}", *folders], cwd=ROOT, check=False).returncode:
        failed.append("tests")
    if SUITES["crash"] in folders:
        print("== tests that want the machine for themselves", flush=True)
        if subprocess.run([*pytest, *sorted(glob.glob(ALONE, root_dir=ROOT))], cwd=ROOT, check=False).returncode:
            failed.append("tests that want the machine for themselves")
    print(f"== {time.monotonic() - began:.0f} s; {'failed: ' + ', '.join(failed) if failed else 'all passed'}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
