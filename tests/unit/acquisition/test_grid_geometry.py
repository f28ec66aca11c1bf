"""The map of a grid from EPU's files: atlas -> squares -> holes -> movies."""

import math
from pathlib import PurePosixPath

import pytest

from passerelle.acquisition import (
    GridSquare,
    PictureGeometry,
    StageMark,
    is_atlas_of,
    lay_out,
    read_atlas,
    read_epu_session,
    read_grid_square,
    read_picture_geometry,
)
from passerelle.core.errors import BadFile

ATLAS = PurePosixPath("epu/emharvest/_repo_data/atlas/Supervisor_20230919_115905_Atlas_bi23047-106/Sample4/Atlas")
SESSION = PurePosixPath("epu/emharvest/_repo_data/Supervisor_20230919_140141_84_bi23047-106_grid1")
MOCK = PurePosixPath("epu/smartem_decisions/epumocks")
EXAMPLE = PurePosixPath("epu/smartem_decisions/example")


def geometry(**changes):
    values = {
        "width_px": 1000.0,
        "height_px": 800.0,
        "pixel_size_um": 0.1,
        "stage_x_um": 50.0,
        "stage_y_um": -20.0,
        "step_x_um": (-0.1, 0.02),
        "step_y_um": (0.02, 0.1),
    }
    return PictureGeometry(**(values | changes))


def test_the_real_atlas_has_its_squares_at_the_pixels_that_epu_wrote(real_data):
    atlas = read_atlas(ATLAS / "Atlas.dm", (real_data / ATLAS / "Atlas.dm").read_bytes())
    assert (atlas.picture, atlas.width_px, atlas.height_px, len(atlas.squares)) == ("Atlas_19495690", 4000, 3966, 392)
    first = atlas.squares[0]
    assert (first.id, first.x_px, first.y_px, first.category) == ("19496077", 1695.76917, 1730.62439, 2)
    assert first.rotation_deg == pytest.approx(-34.479, abs=1e-3)
    assert (first.stage_x_um, first.stage_y_um) == pytest.approx((134.738147608, -130.512678879))
    # a few centres lie just outside: their square is cut by the picture's edge
    assert all(-20 <= s.x_px <= 4020 and -20 <= s.y_px <= 3986 for s in atlas.squares)


def test_squares_lie_on_the_bright_spots_of_the_atlas_picture(real_data):
    from PIL import Image

    atlas = read_atlas(ATLAS / "Atlas.dm", (real_data / ATLAS / "Atlas.dm").read_bytes())
    with Image.open(real_data / ATLAS / "Atlas_19495690.jpg") as picture:
        scale = picture.width / atlas.width_px
        inside = [(s.x_px * scale, s.y_px * scale) for s in atlas.squares if s.width_px > 60]
        bright = [picture.getpixel((min(int(x), picture.width - 1), min(int(y), picture.height - 1))) for x, y in inside]
        upside_down = [picture.getpixel((min(int(x), picture.width - 1), max(0, picture.height - 1 - int(y)))) for x, y in inside]
    assert sum(value > 128 for value in bright) > 0.98 * len(bright)
    assert sum(value > 128 for value in upside_down) < 0.6 * len(bright)


def test_an_atlas_that_was_not_acquired_is_empty(real_data):
    path = ATLAS.parent.parent / "Sample1/Atlas/Atlas.dm"
    atlas = read_atlas(path, (real_data / path).read_bytes())
    assert (atlas.picture, atlas.width_px, atlas.squares) == (None, None, ())


def test_the_real_session_names_its_atlas_and_squares(real_data):
    session = read_epu_session(SESSION / "EpuSession.dm", (real_data / SESSION / "EpuSession.dm").read_bytes())
    assert session.name == SESSION.name
    assert (session.slot, session.fractions_format) == (1, "Tiff Lzw Non-Gain normalized")
    assert session.started_at == pytest.approx(1695128620.0230721)  # 2023-09-19T13:03:40.0230721Z
    assert len(session.squares) == 272
    assert session.squares[:2] == ("19493885", "19493887")
    assert is_atlas_of(session, PurePosixPath("atlas/Supervisor_20230919_115905_Atlas_bi23047-106/Sample2/Atlas/Atlas.dm"))
    assert is_atlas_of(session, PurePosixPath("Sample2/Atlas/Atlas.dm"))
    assert not is_atlas_of(session, PurePosixPath("atlas/Supervisor_20230919_115905_Atlas_bi23047-106/Sample4/Atlas/Atlas.dm"))
    assert not is_atlas_of(session, PurePosixPath("Atlas.dm"))


def test_the_real_square_has_its_holes_and_their_exposures(real_data):
    path = MOCK / "GridSquare_4590776.dm"
    square = read_grid_square(path, (real_data / path).read_bytes())
    assert (square.id, square.atlas_square, square.picture) == ("4590776", "4590776", "GridSquare_20240406_102420")
    assert len(square.holes) == 570
    hole = square.holes[0]
    assert (hole.id, hole.x_px, hole.y_px, hole.diameter_px) == ("5665438", 1396, 972, 51.28809)
    assert hole.exposures[0].name == "FoilHole_5665438_Data_4601896_4601898_20240406_102527"
    assert len(hole.exposures) == 4
    assert all(0 <= h.x_px <= 2880 and 0 <= h.y_px <= 2046 for h in square.holes)


def test_the_pictures_own_transformation_finds_the_holes_to_a_few_per_cent(real_data):
    square = read_grid_square(MOCK / "GridSquare_4590776.dm", (real_data / MOCK / "GridSquare_4590776.dm").read_bytes())
    path = MOCK / "EPU_session/Images-Disc1/GridSquare_4590776/GridSquare_20240406_102420.xml"
    picture = read_picture_geometry(path, (real_data / path).read_bytes())
    assert (picture.width_px, picture.height_px) == (2880, 2046)
    assert picture.pixel_size_um == pytest.approx(0.0415627603)
    for hole in square.holes:
        place = picture.locate(hole.stage_x_um, hole.stage_y_um)
        from_centre = math.dist((hole.x_px, hole.y_px), (1440, 1023))
        assert math.dist(place, (hole.x_px, hole.y_px)) < 2 + 0.04 * from_centre


def test_the_atlas_own_transformation_finds_its_squares(real_data):
    files = {path: (real_data / path).read_bytes() for path in (ATLAS / "Atlas.dm", ATLAS / "Atlas_19495690.xml")}
    atlas = read_atlas(ATLAS / "Atlas.dm", files[ATLAS / "Atlas.dm"])
    # the same squares under other ids: only their stage positions can tell where they lie
    strangers = [GridSquare(f"s{s.id}", None, None, s.stage_x_um, s.stage_y_um, ()) for s in atlas.squares]
    grid = lay_out(
        atlas=atlas,
        atlas_geometry=read_picture_geometry(ATLAS / "Atlas_19495690.xml", files[ATLAS / "Atlas_19495690.xml"]),
        squares=strangers,
    )
    found = {square.id: (square.x_px, square.y_px) for square in grid.squares}
    # half a square is about 40 px, their pitch about 170
    assert max(math.dist(found[f"s{s.id}"], (s.x_px, s.y_px)) for s in atlas.squares) < 70


def test_a_session_without_square_files_is_laid_out_by_stage(real_data):
    folder = EXAMPLE / "Images-Disc1/GridSquare_8999138"
    picture = "GridSquare_20250108_151151"
    geometry = read_picture_geometry(folder / f"{picture}.xml", (real_data / folder / f"{picture}.xml").read_bytes())
    marks = [
        StageMark("8999138", "9015883", -97.1530013, -152.722896, "FoilHole_9015883_Data_9017354_6_20250108_154918"),
        StageMark("8999138", "9015883", -97.1520280, -152.721848, "FoilHole_9015883_Data_9017347_6_20250108_154915"),
    ]
    grid = lay_out(pictures={"8999138": (picture, geometry)}, marks=marks)
    (square,) = grid.squares
    assert (square.id, square.picture, square.width_px, square.height_px, square.x_px) == ("8999138", picture, 2880, 2046, None)
    (hole,) = square.holes
    assert (hole.id, hole.movies) == ("9015883", tuple(mark.movie for mark in marks))
    # by the XML the stage stood 1.65 µm along x and 12.0 µm along y from the square's centre, and a pixel is 0.0416 µm
    assert (hole.x_px, hole.y_px) == pytest.approx((1440 - 18, 1023 + 289), abs=5)


def test_movies_are_joined_to_the_holes_of_the_square_file(real_data):
    path = MOCK / "GridSquare_4590776.dm"
    keys = [f"FoilHole_5665438_Data_{n}_4601898_20240406_102527" for n in (1, 2)]
    marks = [StageMark("4590776", "5665438", None, None, key) for key in (*keys, keys[0])]
    grid = lay_out(squares=[read_grid_square(path, (real_data / path).read_bytes())], marks=marks)
    (square,) = grid.squares
    holes = {hole.id: hole for hole in square.holes}
    assert len(holes) == 570
    assert holes["5665438"].movies == tuple(keys)
    assert (holes["5665438"].x_px, holes["5665438"].y_px) == (1396, 972)


@pytest.mark.parametrize(
    ("read", "content"),
    [
        (read_grid_square, b"<GridSquareXml><Position><X>left</X></Position></GridSquareXml>"),
        (read_grid_square, b"<GridSquareXml/>"),
        (read_atlas, b"<AtlasSessionXml><AtlasPixelPosition><x>left</x></AtlasPixelPosition></AtlasSessionXml>"),
        (read_epu_session, b"<EpuSessionXml><StartDateTime>yesterday</StartDateTime></EpuSessionXml>"),
        (read_picture_geometry, b"<MicroscopeImage><microscopeData/></MicroscopeImage>"),
    ],
)
def test_a_file_that_does_not_tell_is_refused_by_name(read, content):
    with pytest.raises(BadFile, match=r"x\.dm"):
        read(PurePosixPath("x.dm"), content)


def test_a_square_file_without_its_id_takes_it_from_its_name():
    assert read_grid_square(PurePosixPath("GridSquare_77.dm"), b"<GridSquareXml/>").id == "77"


def test_a_hole_that_nothing_places_is_still_listed():
    grid = lay_out(marks=[StageMark("7", "8", 1.0, 2.0, "m"), StageMark("7", "9", None, None, "n")])
    (square,) = grid.squares
    assert [(hole.id, hole.x_px, hole.movies) for hole in square.holes] == [("8", None, ("m",)), ("9", None, ("n",))]


def test_a_pixel_found_from_the_stage_is_where_the_steps_lead():
    picture = geometry()
    for x, y in ((0, 0), (500, 400), (999, 20)):
        dx, dy = x - 500, y - 400
        stage_x = 50.0 + dx * -0.1 + dy * 0.02
        stage_y = -20.0 + dx * 0.02 + dy * 0.1
        assert picture.locate(stage_x, stage_y) == pytest.approx((x, y))


def test_a_transformation_without_an_inverse_places_nothing():
    assert geometry(step_x_um=(0.0, 0.0)).locate(1.0, 2.0) is None
