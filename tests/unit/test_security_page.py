"""The page about security names tests that are there, and powers as the code has them."""

import re
from pathlib import Path

from passerelle.service.access import POWERS, PersonRole, Power
from passerelle.zones import Relation, ZoneAct

ROOT = Path(__file__).resolve().parents[2]
SECURITY = (ROOT / "docs/explanations/security.md").read_text(encoding="utf-8")
ZONES = (ROOT / "docs/explanations/zones.md").read_text(encoding="utf-8")
TESTS = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
FILES = {path.name for path in (ROOT / "tests").rglob("test_*.py")}


def test_every_requirement_that_is_held_names_what_holds_it() -> None:
    rows = [row.split("|") for row in SECURITY.splitlines() if re.match(r"\| \d", row)]
    assert len(rows) > 40
    assert {row[3].strip() for row in rows} == {"held", "open", "reason"}
    assert all(row[4].strip() for row in rows)


def test_the_tests_that_the_page_names_are_there() -> None:
    for name in re.findall(r"::(test_\w+)(?!\w|…)", SECURITY):
        assert f"def {name}" in TESTS, name
    assert set(re.findall(r"`(test_\w+\.py)", SECURITY)) <= FILES


def test_the_pages_name_all_powers_roles_acts_and_relations() -> None:
    for power in Power:
        assert power.replace("_", " ") in SECURITY.replace("read the audit log", "audit")
    for role in PersonRole:
        assert f"*{role}*" in SECURITY
    assert set(POWERS) == set(PersonRole)
    header = next(line for line in ZONES.splitlines() if line.startswith("| relation |"))
    assert [word.strip() for word in header.split("|")[2:-1]] == list(ZoneAct)
    for relation in Relation:
        assert f"*{relation}*" in ZONES
