"""The libraries of the page: what the lock file says, and a build that needs no network once they are there."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

import hatch_build

ROOT = Path(__file__).resolve().parents[3]
ASSETS = ROOT / "src/passerelle/web/assets"


def test_the_lock_file_pins_every_package_by_digest_and_names_no_address() -> None:
    lock = json.loads((ASSETS / "package-lock.json").read_text())
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert len(packages) == 3
    for package in packages.values():
        assert package["integrity"].startswith("sha512-")
        assert "resolved" not in package


def test_what_is_bundled_already_is_not_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(folder: Path) -> None:
        for source in hatch_build.FILES:
            file = folder / "node_modules" / source
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(source)

    said: list[str] = []
    monkeypatch.setattr(hatch_build, "_npm_ci", fetch)
    hatch_build.bundle(ASSETS, tmp_path / "vendor", say=said.append)
    assert sorted(p.name for p in (tmp_path / "vendor").iterdir()) == sorted([*hatch_build.FILES.values(), "versions"])
    monkeypatch.setattr(hatch_build, "_npm_ci", lambda folder: pytest.fail("fetched again"))
    hatch_build.bundle(ASSETS, tmp_path / "vendor", say=said.append)
    assert said == ["web assets: bundled", "web assets: already bundled"]


def test_a_bundle_that_lost_a_file_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched = []

    def fetch(folder: Path) -> None:
        fetched.append(folder)
        for source in hatch_build.FILES:
            file = folder / "node_modules" / source
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(source)

    monkeypatch.setattr(hatch_build, "_npm_ci", fetch)
    vendor = tmp_path / "vendor"
    hatch_build.bundle(ASSETS, vendor, say=str)
    (vendor / "htmx.min.js").unlink()
    hatch_build.bundle(ASSETS, vendor, say=str)
    assert len(fetched) == 2 and (vendor / "htmx.min.js").is_file()


def test_without_a_network_the_build_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = subprocess.CompletedProcess([], 1, stdout="", stderr="npm error network")
    monkeypatch.setattr(hatch_build.subprocess, "run", lambda *_args, **_kwargs: failed)
    with pytest.raises(RuntimeError, match="check the network"):
        hatch_build.bundle(ASSETS, tmp_path / "vendor", say=str)
    assert not (tmp_path / "vendor" / "versions").exists()
