"""What scripts of the pages keep in a browser, and what they may not do at all."""

from __future__ import annotations

import re
from pathlib import Path

import passerelle

SCRIPTS = sorted((Path(passerelle.__file__).parent / "web" / "static" / "js").glob("*.js"))
KEPT = {"passerelle-theme", "MEMORY"}  # light or dark; limits that are being tried, until the window is closed


def test_scripts_keep_nothing_but_looks_and_limits() -> None:
    kept: set[str] = set()
    for script in SCRIPTS:
        text = script.read_text()
        kept |= {name.strip("\"'") for name in re.findall(r"(?:local|session)Storage\.setItem\(([^,]+),", text)}
        assert "indexedDB" not in text and "document.cookie" not in text, script.name
    assert kept <= KEPT, f"say in docs/explanations/security.md what {kept - KEPT} is"


def test_scripts_make_no_markup_and_no_code_of_texts() -> None:
    for script in SCRIPTS:
        text = script.read_text()
        for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "postMessage"):
            assert word not in text, (script.name, word)
