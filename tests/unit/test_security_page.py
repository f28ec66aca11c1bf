"""docs/explanations/security.md names each requirement of ASVS 5.0, levels 1 and 2, once, and only tests that are there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "explanations" / "security.md"
STATES = ("held", "reason", "open")
# number and level of each requirement of levels 1 and 2
REQUIREMENTS = dict(line.split("\t") for line in (ROOT / "tests/unit/asvs_5_0.tsv").read_text().splitlines())

_NUMBER = r"\d+(?:\.\d+){0,2}"
_TEST = re.compile(r"`(test_\w+\.py)?(?:::(test_\w+))?`")


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table. numbers: the requirements that it speaks of."""

    text: str
    numbers: tuple[str, ...]
    state: str
    words: str


def _expanded(cell: str) -> list[str]:
    """`6.2.1, 6.2.3–6.2.5, 9` -> each requirement, of whole sections and chapters, too."""
    found: list[str] = []
    for part in re.findall(rf"(?:^|(?<=, )){_NUMBER}(?:–{_NUMBER})?", cell):
        first, _, last = part.partition("–")
        if last:
            stem, begin = first.rsplit(".", 1)
            assert last.startswith(f"{stem}."), part
            found += [f"{stem}.{number}" for number in range(int(begin), int(last.rsplit(".", 1)[1]) + 1)]
        elif first.count(".") == 2:
            found.append(first)
        else:
            found += [number for number in REQUIREMENTS if number.startswith(f"{first}.")]
    return found


def _rows() -> list[Row]:
    table = PAGE.read_text().split("## The table")[1].split("\n## ")[0]
    rows: list[Row] = []
    for line in table.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 4 and re.match(r"\d", cells[0]):
            rows.append(Row(cells[0], tuple(_expanded(cells[0])), cells[2], cells[3]))
    return rows


def _tests() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for path in ROOT.glob("tests/**/test_*.py"):
        found.setdefault(path.name, set()).update(re.findall(r"^(?:async )?def (test_\w+)", path.read_text(), re.M))
    return found


ROWS = _rows()


def test_each_requirement_stands_in_the_table_once() -> None:
    named = [number for row in ROWS for number in row.numbers]
    twice = sorted({number for number in named if named.count(number) > 1})
    missing = [number for number in REQUIREMENTS if number not in named]
    assert not missing and not twice, f"missing: {missing}; twice: {twice}"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.text[:40])
def test_what_holds_a_requirement_is_there(row: Row) -> None:
    assert row.state in STATES and row.numbers
    tests, file, named = _tests(), "", 0
    for found in _TEST.finditer(row.words):
        file = found.group(1) or file
        assert file in tests, f"{found.group(0)}: no such file of tests"
        named += 1
        if found.group(2):
            assert found.group(2) in tests[file], f"{file} has no {found.group(2)}"
    if row.state == "held":
        assert named or "this page" in row.words or "](" in row.words, "say which test, or which page, holds it"
    assert len(row.words) >= 8, "say why"
