"""The page about the house shows the rooms as they are built, on the floors that the import contract gives them."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/explanations/house.md").read_text(encoding="utf-8")
ROOMS = {folder.name for folder in (ROOT / "src/passerelle").iterdir() if (folder / "__init__.py").is_file()}


def layers():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (house,) = [contract for contract in contracts if contract["id"] == "house"]
    return [{room.strip() for room in floor.split("|")} for floor in house["layers"]]


def test_every_room_is_described_and_every_described_room_is_built():
    assert set(re.findall(r"^\| `(\w+)/` \|", PAGE, re.MULTILINE)) == ROOMS


def test_the_floors_are_those_of_the_import_contract():
    drawn = [set(line.split()[2:]) for line in PAGE.split("```")[1].strip().splitlines()]
    assert drawn == [{room for room in floor if not room.startswith("(")} for floor in layers()]


def test_rooms_that_are_not_built_are_named_as_such():
    for floor in layers():
        for room in floor:
            if room.startswith("("):
                assert room.strip("()") not in ROOMS
                assert f"`{room.strip('()')}`" in PAGE


def test_files_that_the_page_names_are_there():
    for name in re.findall(r"`(?:src/passerelle/)?(\w+/\w+\.py)`", PAGE):
        assert (ROOT / "src/passerelle" / name).is_file(), name
