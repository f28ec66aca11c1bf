"""Every metric, setting and command is documented: the reference pages are what the code says."""

import importlib.util
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
_spec = importlib.util.spec_from_file_location("build_reference", DOCS / "build_reference.py")
assert _spec and _spec.loader
build_reference = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(build_reference)


@pytest.mark.parametrize("name", build_reference.PAGES)
def test_a_reference_page_is_what_the_code_says(name):
    written = (DOCS / "reference" / name).read_text(encoding="utf-8")
    assert written == build_reference.PAGES[name](), "run: python docs/build_reference.py"


@pytest.mark.parametrize("name", ["configuration.md", "commands.md"])
def test_every_setting_and_option_has_a_meaning(name):
    rows = [line for line in build_reference.PAGES[name]().splitlines() if line.startswith("| `")]
    unexplained = [row for row in rows if not row.split(" | ")[-1].strip("| ")]
    assert rows
    assert not unexplained
