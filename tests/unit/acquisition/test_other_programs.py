"""DigitalMicrograph, Falcon frame files, plain folders; which program wrote a folder."""

from pathlib import PurePosixPath

import pytest

from passerelle.acquisition import PROGRAMS, Role, identify
from passerelle.core.errors import UnsupportedFile


def place(program, path):
    return PROGRAMS[program].place(PurePosixPath(path))


@pytest.mark.parametrize(
    ("path", "role", "key"),
    [
        ("grid/x_0001.dm4", Role.MOVIE, "x_0001"),
        ("grid/x_0001.mrc", Role.MOVIE, "x_0001"),
        ("grid/x_0001.tif", Role.MOVIE, "x_0001"),
        ("grid/x_0001.dm3", Role.MOVIE, "x_0001"),
        ("grid/x_0001_SumCorr.mrc", Role.PREVIEW, "x_0001_SumCorr"),
        ("grid/x_0001.gtg", Role.OTHER, None),
        ("grid/K2-0001 1 Gain Ref. x1.m3.kv[300].dm4", Role.GAIN, None),
        ("grid/K2-0001 1 Dark Ref. x1.m3.kv[300].dm4", Role.OTHER, None),
        ("grid/GainRef.dm4", Role.GAIN, None),
        ("grid/x_0001.jpg", Role.PREVIEW, "x_0001"),
        ("grid/DefectMap.tif", Role.DEFECTS, None),
    ],
)
def test_names_of_digital_micrograph(path, role, key):
    found = place("digital_micrograph", path)
    assert (found.role, found.movie, found.session) == (role, key, PurePosixPath("grid"))


def test_frames_that_digital_micrograph_saves_singly_are_joined():
    frames = [place("digital_micrograph", f"g/x_Frame_{n:04d}.dm4") for n in (0, 12)]
    assert [(f.role, f.movie, f.frame) for f in frames] == [(Role.FRAME, "x", 0), (Role.FRAME, "x", 12)]


@pytest.mark.parametrize(
    ("path", "key", "frame"),
    [
        ("g/x_n0.mrc", "x", 0),
        ("g/x_n6.mrc", "x", 6),
        ("g/x_frames_n6.mrc", "x", 6),
        ("g/x_frame12.raw", "x", 12),
        ("g/x_frames/frame_0007.mrc", "x", 7),
        ("g/x_frames/0007.raw", "x", 7),
        ("g/x_frames/x_20140808_1234_0007.mrc", "x", 7),
        ("g/x.frames/7.mrc", "x", 7),
    ],
)
@pytest.mark.parametrize("program", ["falcon", "auto"])
def test_single_frames_of_a_falcon(program, path, key, frame):
    found = place(program, path)
    assert (found.role, found.movie, found.frame, found.session) == (Role.FRAME, key, frame, PurePosixPath("g"))


def test_plain_numbers_are_frames_only_when_the_program_is_said_to_be_a_falcon():
    assert (place("falcon", "g/x_0001.mrc").role, place("falcon", "g/x_0001.mrc").frame) == (Role.FRAME, 1)
    assert place("auto", "g/x_0001.mrc").role is Role.MOVIE


def test_the_sum_beside_single_frames_is_no_movie():
    found = place("falcon", "g/x.mrc")
    assert (found.role, found.movie) == (Role.PREVIEW, "x")
    assert place("falcon", "g/x.xml").movie == "x"


@pytest.mark.parametrize("suffix", [".mrc", ".mrcs", ".tif", ".TIFF", ".eer", ".dm4"])
def test_a_plain_folder_holds_movies_of_every_kind(suffix):
    found = place("generic", f"a/b/movie 1{suffix}")
    assert (found.role, found.movie, found.session) == (Role.MOVIE, "movie 1", PurePosixPath("a/b"))


def test_equal_names_in_two_folders_are_two_movies():
    one, other = place("generic", "s/frames/x.tif"), place("generic", "s/x.mrc")
    assert one.session == other.session
    assert one.movie != other.movie


def test_a_map_of_serialem_is_not_taken_for_a_movie():
    assert place("auto", "g/LMM.mrc").role is Role.ATLAS
    assert place("auto", "g/frames/LMM_is_my_protein_001.mrc").role is Role.MOVIE
    assert place("generic", "g/LMM.mrc").role is Role.MOVIE


@pytest.mark.parametrize("program", ["generic", "digital_micrograph"])
def test_programs_without_sidecars_say_so(program):
    with pytest.raises(UnsupportedFile, match=r"x\.xml"):
        PROGRAMS[program].read_sidecar(PurePosixPath("x.xml"), b"<a/>")


@pytest.mark.parametrize(
    ("paths", "name"),
    [
        (["a.tif", "b.tif"], "generic"),
        ([], "generic"),
        (["a.tif", "a.tif.mdoc"], "serialem"),
        (["frames/a.tif", "frames/SuperRef_a.dm4"], "serialem"),
        (["a_0001.dm4", "a_0002.dm4"], "digital_micrograph"),
        (["a_n0.mrc", "a_n1.mrc", "a.mrc"], "falcon"),
        (["s/EpuSession.dm", "s/gain.dm4"], "epu"),
        (["s/Images-Disc1/GridSquare_1/Data/FoilHole_1_Data_2_3_20250101_120000_n0.mrc"], "epu"),
    ],
)
def test_the_program_that_wrote_a_folder(paths, name):
    assert identify(map(PurePosixPath, paths)).name == name


HOSTILE = [
    "frames/a b  c.tif",
    "frames/Größe µ 电镜.tif",
    "frames/line\nbreak.tif",
    "frames/tab\tand\x1b[31mred.tif",
    "frames/" + "x" * 251 + ".tif",
    "frames/bad-utf8-\udcff.tif",
    "frames/.hidden",
    "frames/no_suffix",
    "frames/..tif",
    "frames/.mdoc",
    "frames/x..mdoc",
    "frames/-rf.tif",
    "frames/x.tif.mdoc.mdoc",
    "FoilHole_" + "9" * 230 + "_Data_1.mrc",
    "Images-Disc1/GridSquare_" + "1" * 200 + "/Data/FoilHole_1_Data_2_3_20250101_120000_fractions.mrc",
    "Images-Disc1/Images-Disc2/GridSquare_1/GridSquare_2/Data/x.mrc",
    "_frames/1.mrc",
    "x_frames/1.mrc",
    "x_n99999999999.mrc",
    "/".join(["d"] * 500) + "/x.tif",
    "gain",
    ".",
    "GridSquare_٣.dm",
]


@pytest.mark.parametrize("path", HOSTILE)
@pytest.mark.parametrize("program", PROGRAMS)
def test_no_name_is_too_strange(program, path):
    found = place(program, path)
    if found is not None:
        assert PurePosixPath(path).is_relative_to(found.session)
        assert found.movie is None or found.movie
    if program == "generic" and path.endswith(".tif") and not PurePosixPath(path).name.startswith("."):
        assert found.role is Role.MOVIE
