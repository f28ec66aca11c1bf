"""EPU's names, version by version: path -> role, session, key."""

from pathlib import PurePosixPath

import pytest

from passerelle.acquisition import PROGRAMS, Role, identify

EPU = PROGRAMS["epu"]
KEY = "FoilHole_24671503_Data_24681513_24681515_20210128_132506"
DATA = "Images-Disc1/GridSquare_24671365/Data/"


@pytest.mark.parametrize(
    ("name", "role", "key"),
    [
        # Falcon 3, 4 by EPU 2.x; K3 by EPU 2.x to 3.9; Falcon 4 EER; K2; EPU 1.x
        (f"{KEY}_Fractions.mrc", Role.MOVIE, KEY),
        (f"{KEY}_fractions.mrc", Role.MOVIE, KEY),
        (f"{KEY}_fractions.tiff", Role.MOVIE, KEY),
        (f"{KEY}_Fractions.tiff", Role.MOVIE, KEY),
        (f"{KEY}_Fractions.tif", Role.MOVIE, KEY),
        (f"{KEY}_EER.eer", Role.MOVIE, KEY),
        (f"{KEY}.eer", Role.MOVIE, KEY),
        (f"{KEY}_frames.mrc", Role.MOVIE, KEY),
        (
            "FoilHole_9605794_Data_9604635_9604636_20171212_1234-28455.mrc",
            Role.MOVIE,
            "FoilHole_9605794_Data_9604635_9604636_20171212_1234",
        ),
        (
            "FoilHole_9605794_Data_9604635_9604636_20171212_1234.xml",
            Role.MOVIE_METADATA,
            "FoilHole_9605794_Data_9604635_9604636_20171212_1234",
        ),
        (
            "FoilHole_9015883_Data_9017354_6_20250108_154918_fractions.tiff",
            Role.MOVIE,
            "FoilHole_9015883_Data_9017354_6_20250108_154918",
        ),
        # a time whose leading zero is missing was seen in a real session
        (
            "FoilHole_10140984_Data_10137141_10137143_20220912_11959_fractions.tiff",
            Role.MOVIE,
            "FoilHole_10140984_Data_10137141_10137143_20220912_11959",
        ),
        (f"{KEY}.xml", Role.MOVIE_METADATA, KEY),
        (f"{KEY}.jpg", Role.PREVIEW, KEY),
        (f"{KEY}.mrc", Role.PREVIEW, KEY),  # the sum
        (f"{KEY}.tiff", Role.PREVIEW, KEY),
        (f"{KEY}_gain.tiff", Role.GAIN, None),
        (f"{KEY}-gain-ref.MRC", Role.GAIN, None),
        (f"{KEY}_Fractions.xml", Role.OTHER, KEY),
        (f"{KEY}_fractions_aligned.mrc", Role.OTHER, KEY),
    ],
)
def test_files_of_an_exposure(name, role, key):
    place = EPU.place(PurePosixPath("grid1", DATA + name))
    assert place is not None
    assert (place.role, place.movie, place.session) == (role, key, PurePosixPath("grid1"))


@pytest.mark.parametrize("number", [0, 3, 17])
def test_single_frames_of_a_falcon_2_carry_their_index(number):
    for ending in (f"_n{number}.mrc", f"_frames_n{number}.mrc", f"_n{number}.raw"):
        place = EPU.place(PurePosixPath(DATA + KEY + ending))
        assert (place.role, place.movie, place.frame) == (Role.FRAME, KEY, number)


def test_a_movie_and_its_frames_expect_their_xml():
    assert EPU.place(PurePosixPath(DATA + KEY + "_fractions.tiff")).expects == {Role.MOVIE_METADATA}
    assert EPU.place(PurePosixPath(DATA + KEY + "_n1.mrc")).expects == {Role.MOVIE_METADATA}
    assert EPU.place(PurePosixPath(DATA + KEY + ".xml")).expects == frozenset()


@pytest.mark.parametrize(
    ("path", "role", "session"),
    [
        ("EpuSession.dm", Role.SESSION_METADATA, "."),
        ("a/b/EpuSession.dm", Role.SESSION_METADATA, "a/b"),
        ("s/Metadata/GridSquare_19493885.dm", Role.GRID_SQUARE, "s"),
        ("s/Images-Disc1/GridSquare_1/GridSquare_20230919_140816.xml", Role.GRID_SQUARE, "s"),
        ("s/Images-Disc2/GridSquare_1/GridSquare_20230919_140816.mrc", Role.GRID_SQUARE, "s"),
        ("s/Images-Disc1/GridSquare_1/FoilHoles/FoilHole_2_20230919_142541.xml", Role.FOIL_HOLE, "s"),
        ("s/Images-Disc1/GridSquare_1/FoilHoles/FoilHole_2_20230919_142541.mrc", Role.FOIL_HOLE, "s"),
        ("s/Images-Disc1/GridSquare_1/Thumbs.db", Role.OTHER, "s"),
        ("s/Images-Disc1/GridSquare_1/Data/notes.txt", Role.OTHER, "s"),
        ("s/Images-Disc1/GridSquare_1/Data/.FoilHole_1_Data_2_3_20230919_142541_fractions.tiff.tmp", Role.OTHER, "s"),
        ("t/atlas/Screening/Sample3/Atlas/Atlas.dm", Role.ATLAS, "t/atlas/Screening"),
        ("t/atlas/Screening/Sample3/Atlas/Atlas_19495690.jpg", Role.ATLAS, "t/atlas/Screening"),
        ("t/atlas/Screening/Sample3/Atlas/Tile_19497243_34_19495690.mrc", Role.ATLAS, "t/atlas/Screening"),
        ("t/atlas/Screening/Sample3/Sample.dm", Role.ATLAS, "t/atlas/Screening"),
        ("t/atlas/Screening/ScreeningSession.dm", Role.ATLAS, "t/atlas/Screening"),
        ("s/Atlas/Atlas.dm", Role.ATLAS, "s"),
        ("s/20220406_175020_EER_GainReference.gain", Role.GAIN, "s"),
        ("s/GainReference_20250108_101446.mrc", Role.GAIN, "s"),
        ("s/gain_ref.mrc", Role.GAIN, "s"),
        ("s/CountRef_20230919.dm4", Role.GAIN, "s"),
        ("s/SuperRef_20230919.dm4", Role.GAIN, "s"),
    ],
)
def test_files_of_a_session(path, role, session):
    place = EPU.place(PurePosixPath(path))
    assert (place.role, place.session, place.movie) == (role, PurePosixPath(session), None)


@pytest.mark.parametrize(
    ("path", "session"),
    [
        (f"grid1/{DATA}{KEY}_fractions.tiff", "grid1"),
        (f"{DATA}{KEY}_fractions.tiff", "."),
        (f"2023/krios/grid1/{DATA}{KEY}_fractions.tiff", "2023/krios/grid1"),
        (f"grid1/GridSquare_24671365/Data/{KEY}_fractions.tiff", "grid1"),  # the camera's share without Images-Disc1
        (f"grid1/Data/{KEY}_fractions.tiff", "grid1"),
        (f"grid1/{KEY}_fractions.tiff", "grid1"),  # flattened
        (f"images-disc1/gridsquare_1/data/{KEY.lower()}_FRACTIONS.TIFF", "."),  # through a share that folds case
    ],
)
def test_a_transfer_may_leave_out_folders(path, session):
    place = EPU.place(PurePosixPath(path))
    assert (place.role, place.session) == (Role.MOVIE, PurePosixPath(session))


def test_movie_and_xml_join_although_they_come_by_different_ways():
    movie = EPU.place(PurePosixPath(f"grid1/GridSquare_1/Data/{KEY}_EER.eer"))
    sidecar = EPU.place(PurePosixPath(f"grid1/{DATA}{KEY}.xml"))
    assert (movie.session, movie.movie) == (sidecar.session, sidecar.movie)


@pytest.mark.parametrize("path", ["x.tif", "frames/x.mrc", "notes.txt", "Position_1_001_0.0_20250715_012434.tif", "x/Data/y.mrc"])
def test_what_epu_would_not_write_is_not_epus(path):
    assert EPU.place(PurePosixPath(path)) is None


def test_a_gain_reference_alone_does_not_make_a_session_epus():
    assert identify([PurePosixPath("GainRef_x1.m0.mrc"), PurePosixPath("a.tif"), PurePosixPath("K2 Dark Ref.dm4")]).name != "epu"
    assert identify([PurePosixPath("20220406_175020_EER_GainReference.gain")]).name == "epu"
