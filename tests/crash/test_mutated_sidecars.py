"""8,000 mutants of XML, .dm and .mdoc files: each is read or refused by name, in less than two seconds, in little memory."""

import importlib.util
import json
import math
import resource
import time
from pathlib import Path, PurePosixPath

import pytest

from passerelle.acquisition import (
    PROGRAMS,
    Metadata,
    StageMark,
    lay_out,
    read_atlas,
    read_epu_session,
    read_grid_square,
    read_picture_geometry,
    reconcile,
)
from passerelle.core.errors import BadFile

_spec = importlib.util.spec_from_file_location(
    "sidecar_mutants", Path(__file__).parents[1] / "unit" / "acquisition" / "sidecar_mutants.py"
)
assert _spec and _spec.loader
m = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(m)

EXPOSURE = PurePosixPath("s/Images-Disc1/GridSquare_7/Data/FoilHole_8_Data_1_2_20250101_120000.xml")
SQUARE = PurePosixPath("s/Metadata/GridSquare_7.dm")
PICTURE = PurePosixPath("s/Images-Disc1/GridSquare_7/GridSquare_20240406_102420.xml")
ATLAS = PurePosixPath("a/Sample1/Atlas/Atlas.dm")
MDOC = PurePosixPath("frames/x.tif.mdoc")


def finite(value):
    return not isinstance(value, float) or math.isfinite(value)


def read_exposure(content):
    metadata = PROGRAMS["epu"].read_sidecar(EXPOSURE, content)
    _check_reconciled(metadata)


def read_mdoc(content):
    _check_reconciled(PROGRAMS["serialem"].read_sidecar(MDOC, content))


def _check_reconciled(metadata):
    result = reconcile(
        {"sidecar": metadata, "file": Metadata(frames=40, height_px=4092, width_px=5760), "configuration": Metadata()}
    )
    json.loads(result.model_dump_json())
    assert all(finite(value) for value in result.values.model_dump().values())


def read_session(content):
    read_epu_session(PurePosixPath("s/EpuSession.dm"), content)


def read_map(mutated):
    """Lay a grid out of three files, of which one is mutated."""

    def read(content):
        contents = {SQUARE: m.SEED_SQUARE, PICTURE: m.SEED_XML, ATLAS: m.SEED_ATLAS} | {mutated: content}
        geometry = read_picture_geometry(PICTURE, contents[PICTURE])
        grid = lay_out(
            atlas=read_atlas(ATLAS, contents[ATLAS]),
            atlas_geometry=geometry,
            squares=[read_grid_square(SQUARE, contents[SQUARE])],
            pictures={"7": (PICTURE.stem, geometry)},
            marks=[StageMark("7", "8", -42.0, -559.0, "movie"), StageMark("7", "9", -42.0, -559.0, "other")],
        )
        for square in grid.squares:
            assert all(finite(hole.x_px) and finite(hole.y_px) for hole in square.holes)
            assert finite(square.x_px) and finite(square.y_px)

    return read


CASES = {
    "exposure": (read_exposure, m.SEED_XML, EXPOSURE.name, 3000),
    "mdoc": (read_mdoc, m.SEED_MDOC, MDOC.name, 2500),
    "square": (read_map(SQUARE), m.SEED_SQUARE, SQUARE.name, 800),
    "picture": (read_map(PICTURE), m.SEED_XML, PICTURE.name, 600),
    "atlas": (read_map(ATLAS), m.SEED_ATLAS, ATLAS.name, 600),
    "session": (read_session, m.SEED_SESSION, "EpuSession.dm", 600),
}


@pytest.mark.parametrize("kind", CASES)
def test_every_mutant_is_read_or_refused(kind):
    read, seed, name, count = CASES[kind]
    read(seed)
    outcomes = {"read": 0, "refused": 0}
    memory_before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number, content in m.mutants([seed], count, seed=1000):
        begin = time.process_time()
        try:
            read(content)
        except BadFile as error:
            assert name in str(error), f"mutant {number}"
            outcomes["refused"] += 1
        else:
            outcomes["read"] += 1
        assert time.process_time() - begin < 2.0, f"mutant {number}"
    assert min(outcomes.values()) > count / 10, outcomes
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory_before < 64 << 10


def test_mutants_of_real_files_are_read_or_refused(real_data):
    root = real_data / "epu/emharvest/_repo_data/Supervisor_20230919_140141_84_bi23047-106_grid1"
    xml = next((root / "Images-Disc1").rglob("Data/*.xml")).read_bytes()
    mdoc = (real_data / "serialem" / "tilt_series.mdoc").read_bytes()
    for read, seed, name in ((read_exposure, xml, EXPOSURE.name), (read_mdoc, mdoc, MDOC.name)):
        for number, content in m.mutants([seed], 400, seed=9000):
            try:
                read(content)
            except BadFile as error:
                assert name in str(error), f"mutant {number}"
