"""Every file of real sessions has its place. The listings were read line by line, and are held against the real folders."""

from pathlib import Path, PurePosixPath

import pytest

from passerelle.acquisition import (
    PROGRAMS,
    Role,
    identify,
    read_atlas,
    read_epu_session,
    read_grid_square,
    read_picture_geometry,
)
from passerelle.acquisition.xml_reader import read_xml

LISTINGS = Path(__file__).parent / "listings"
FOLDERS = {
    "epu_3.4": "epu/emharvest/_repo_data",
    "epu_3.7": "epu/smartem_decisions/epumocks",
    "epu_3.9": "epu/smartem_decisions/example",
    "serialem": "serialem",
}
ROOTS = {"Sample.dm": "SampleXml", "ScreeningSession.dm": "ScreeningSessionXml"}


def rows(name):
    for line in (LISTINGS / f"{name}.tsv").read_text().splitlines():
        role, session, movie, path = line.split("\t")
        yield Role(role), PurePosixPath(session), None if movie == "-" else movie, PurePosixPath(path)


@pytest.mark.parametrize("name", FOLDERS)
def test_every_file_of_the_session_has_the_place_that_the_listing_gives(name):
    program = PROGRAMS["serialem" if name == "serialem" else "epu"]
    for role, session, movie, path in rows(name):
        place = program.place(path)
        assert place is not None, path
        assert (place.role, place.session, place.movie) == (role, session, movie), path


@pytest.mark.parametrize("name", FOLDERS)
def test_the_program_is_found_from_the_names_and_places_each_file_alike(name):
    paths = [path for *_, path in rows(name)]
    program = identify(paths)
    assert program.name == name.partition("_")[0]
    for path in paths:
        assert PROGRAMS["auto"].place(path) == program.place(path)


@pytest.mark.parametrize("depth", ["", "krios/2023/bi23047"])
@pytest.mark.parametrize("name", FOLDERS)
def test_a_session_may_be_the_instruments_own_folder_or_lie_deeper(name, depth):
    program = PROGRAMS["auto"]
    for role, session, movie, path in rows(name):
        place = program.place(PurePosixPath(depth) / path)
        assert place is not None
        assert (place.role, place.session, place.movie) == (role, PurePosixPath(depth) / session, movie)


@pytest.mark.parametrize("name", FOLDERS)
def test_the_listing_is_that_of_the_real_folder(real_data, name):
    root = real_data / FOLDERS[name]
    if not root.is_dir():
        pytest.skip(f"no {root}")
    assert {str(path) for *_, path in rows(name)} == {str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()}


@pytest.mark.parametrize("name", FOLDERS)
def test_every_sidecar_and_session_file_of_the_real_folder_can_be_read(real_data, name):
    root = real_data / FOLDERS[name]
    if not root.is_dir():
        pytest.skip(f"no {root}")
    read = 0
    for role, _, _, path in rows(name):
        content = (root / path).read_bytes()
        if role is Role.MOVIE_METADATA:
            metadata = PROGRAMS["auto"].read_sidecar(path, content)
            assert metadata.pixel_size_angstrom and metadata.frames and metadata.microscope
        elif path.name == "EpuSession.dm":
            assert read_epu_session(path, content).squares
        elif path.name == "Atlas.dm":
            read_atlas(path, content)
        elif path.name.startswith("GridSquare_") and path.suffix == ".dm":
            assert read_grid_square(path, content).holes
        elif path.name in ROOTS:
            kept = []
            read_xml(path, content, root=ROOTS[path.name], keep=lambda tag, _: tag == "Id", handle=kept.append)
            assert kept
        elif path.suffix == ".xml":
            geometry = read_picture_geometry(path, content)
            assert geometry.locate(geometry.stage_x_um, geometry.stage_y_um) == (geometry.width_px / 2, geometry.height_px / 2)
            # a grid square, a foil hole and a tile have the form of an exposure
            assert PROGRAMS["epu"].read_sidecar(path, content).voltage_kv == 300
        else:
            continue
        read += 1
    assert read == {"epu_3.4": 51, "epu_3.7": 4, "epu_3.9": 11, "serialem": 3}[name]
