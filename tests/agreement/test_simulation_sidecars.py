"""The sidecar files of simulated sessions have no element, key or namespace that real sessions have not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from passerelle.simulation import InstrumentPlan, Plan, simulate

_QUICK = {"size_px": 128, "frames": 3, "movies": 1, "movies_per_hour": 0, "append_seconds": 0, "bad_every": 0}


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated") / "gateway"
    instruments = (
        InstrumentPlan(name="falcon", program="epu", format="mrc", **_QUICK),
        InstrumentPlan(name="k2", program="serialem", format="tiff", **_QUICK),
    )
    simulate(Plan(instruments=instruments), folder)
    return folder


def _elements(path: Path) -> set[str]:
    """Every path of tags, with namespaces, and every key of a dictionary."""
    return set(_walk(ElementTree.fromstring(path.read_bytes().decode("utf-8-sig")), ""))


def _walk(element: ElementTree.Element, above: str) -> Iterator[str]:
    here = f"{above}/{element.tag}"
    yield here
    key = next((child.text for child in element if child.tag.endswith("}Key")), None)
    if key:
        yield f"{here}[{key.split('[')[0]}]"
    for child in element:
        yield from _walk(child, here)


def _unknown(simulated: Iterable[Path], real: Iterable[Path]) -> set[str]:
    known = set().union(*(_elements(path) for path in real))
    assert known
    return set().union(*(_elements(path) for path in simulated)) - known


def test_exposures_squares_holes_and_atlases_tell_what_real_ones_tell(simulated: Path, real_data: Path):
    real = [path for path in (real_data / "epu").rglob("*.xml") if not path.name.startswith("Tile")]
    # what a camera of its own name may bring along stands under its key, which is cut off
    assert _unknown((simulated / "falcon").rglob("*.xml"), real) == set()


@pytest.mark.parametrize("name", ["EpuSession.dm", "Atlas.dm", "GridSquare_*.dm"])
def test_session_files_have_the_form_of_real_ones(simulated: Path, real_data: Path, name: str):
    assert _unknown((simulated / "falcon").rglob(name), (real_data / "epu").rglob(name)) == set()


def test_an_mdoc_has_the_keys_of_real_ones(simulated: Path, real_data: Path):
    def keys(path: Path) -> set[str]:
        return {line.partition("=")[0].strip() for line in path.read_text().splitlines() if "=" in line}

    real = keys(real_data / "serialem" / "frame_set_single.mdoc")
    (ours,) = (simulated / "k2").rglob("*.mdoc")
    assert keys(ours) - real == {"DefectFile"}  # SerialEM 3.8 and later with a K2 or K3 and a defect list
    assert real - keys(ours) == set()
    lines = {line.partition("=")[0]: line for line in ours.read_text().splitlines()}
    for line in (real_data / "serialem" / "frame_set_single.mdoc").read_text().splitlines():
        key = line.partition("=")[0]
        if key.strip() not in {"T", "[FrameSet", "GainReference", "SubFramePath", "DateTime", ""}:
            assert len(lines[key].split()) == len(line.split()), key
