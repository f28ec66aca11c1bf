"""SerialEM's names and .mdoc files; the parser is held against the field's own (mdocfile)."""

import re
from pathlib import PurePosixPath

import pytest

from passerelle.acquisition import PROGRAMS, Role, program_at
from passerelle.acquisition.mdoc import read_mdoc
from passerelle.acquisition.serialem import SerialEm
from passerelle.core.errors import BadFile

SERIALEM = SerialEm()
MDOC = PurePosixPath("frames/x.tif.mdoc")

FRAME_SET = (
    "T = SerialEM: Krios G4 Camera -> 0:Ceta 1:GIF-K3         08-Oct-21  07:38:24    \r\n"
    "Voltage = 300\r\n\r\n[FrameSet = 0]\r\nTiltAngle = 0.01\r\nStagePosition = 1.5 -2.5\r\nStageZ = 3\r\nPixelSpacing = 0.83\r\n"
    "ExposureDose = 50\r\nExposureTime = 2\r\nCameraIndex = 1\r\nTargetDefocus = -1.2\r\nNumSubFrames = 40\r\n"
    "FrameDosesAndNumber = 1.25 40\r\nDefectFile = X:\\s\\defects_x.txt\r\nDateTime = 08-Oct-21  07:39:08\r\n"
)


def read(text: str, path: PurePosixPath = MDOC):
    return SERIALEM.read_sidecar(path, text.encode())


def test_a_real_frame_set_says_what_a_person_reads_in_it(real_data):
    path = PurePosixPath("serialem/frame_set_single.mdoc")
    metadata = SERIALEM.read_sidecar(path, (real_data / path).read_bytes())
    assert metadata.model_dump(exclude_none=True) == pytest.approx(
        {
            "voltage_kv": 300.0,
            "pixel_size_angstrom": 1.2827,
            "dose_e_per_angstrom2": 7.65892,
            "dose_per_frame_e_per_angstrom2": 0.63824,
            "exposure_seconds": 1.07856,
            "frames": 12,
            "super_resolution": True,
            "applied_defocus_angstrom": 45000.0,
            "tilt_deg": 32.984,
            "stage_x_um": -142.82,
            "stage_y_um": -457.442,
            "stage_z_um": -13.7196,
            "beam_shift_x": 2.69654,
            "beam_shift_y": -0.304661,
            "magnification": 33000.0,
            "camera": "GIF-K3",
            "microscope": "UMass_Krios",
            "program": "SerialEM",
            "gain_reference": "SuperRef_s_mmm_00000_-15.0_Oct08_01.59.24.dm4",
            "acquired_at": 1633678748.0,  # 08-Oct-21  07:39:08
        }
    )


def test_pieces_of_one_frame_set_do_not_hide_its_own_values(real_data):
    path = PurePosixPath("serialem/frame_set_multiple.mdoc")
    metadata = SERIALEM.read_sidecar(path, (real_data / path).read_bytes())
    assert (metadata.frames, metadata.dose_e_per_angstrom2, metadata.tilt_deg) == (243, 291.302, 32.986)


def test_a_tilt_series_gives_each_movie_its_own_values(real_data):
    path = PurePosixPath("serialem/tilt_series.mdoc")
    content = (real_data / path).read_bytes()
    series = SERIALEM.read_frame_sets(path, content)
    assert series["TS_01_000_0.0.mrc"].tilt_deg == pytest.approx(0.000999877)
    assert series["TS_01_002_-3.0.mrc"].tilt_deg == pytest.approx(-2.99863)
    assert {metadata.frames for metadata in series.values()} == {8}
    own = SERIALEM.read_sidecar(PurePosixPath("frames/TS_01_003_-6.0.mrc.mdoc"), content)
    assert own == series["TS_01_003_-6.0.mrc"]
    shared = SERIALEM.read_sidecar(path, content)
    assert (shared.frames, shared.pixel_size_angstrom, shared.tilt_deg) == (8, 5.4, None)


@pytest.mark.parametrize("name", ["frame_set_single.mdoc", "frame_set_multiple.mdoc", "montage_section.mdoc", "tilt_series.mdoc"])
def test_the_parser_agrees_with_mdocfile(real_data, name):
    from mdocfile.data_models import Mdoc as TheirMdoc

    path = real_data / "serialem" / name
    theirs = TheirMdoc.from_file(path)
    ours = read_mdoc(PurePosixPath(name), path.read_bytes())
    their_sections = [section.model_dump(exclude_none=True) for section in theirs.section_data]
    assert len(ours.sections) == len(their_sections)
    compared = 0
    for section, other in zip(ours.sections, their_sections, strict=True):
        for key in (
            "TiltAngle",
            "ExposureDose",
            "PixelSpacing",
            "Defocus",
            "TargetDefocus",
            "Magnification",
            "StageZ",
            "ExposureTime",
        ):
            if key in other:
                assert section.number(key) == other[key]
                compared += 1
            else:
                assert section.number(key) is None
        if "StagePosition" in other:
            assert section.numbers("StagePosition") == pytest.approx(tuple(other["StagePosition"]))
        if "SubFramePath" in other:
            assert section.string("SubFramePath") == str(other["SubFramePath"])
        if "NumSubFrames" in other:
            assert section.number("NumSubFrames") == other["NumSubFrames"]
    assert compared >= len(ours.sections)
    if theirs.global_data.Voltage is not None:
        assert ours.head.number("Voltage") == theirs.global_data.Voltage


@pytest.mark.parametrize(
    ("path", "role", "session", "key"),
    [
        ("u/grid2/frames/s_01013_33.0_Oct08.tif", Role.MOVIE, "u/grid2", "frames/s_01013_33.0_Oct08"),
        ("u/grid2/frames/s_01013_33.0_Oct08.tif.mdoc", Role.MOVIE_METADATA, "u/grid2", "frames/s_01013_33.0_Oct08"),
        ("u/grid2/frames/s_01013_33.0_Oct08.mdoc", Role.MOVIE_METADATA, "u/grid2", "frames/s_01013_33.0_Oct08"),
        ("u/grid2/s.mrc", Role.MOVIE, "u/grid2", "s"),
        ("u/grid2/s.mrc.mdoc", Role.MOVIE_METADATA, "u/grid2", "s"),
        ("s.eer", Role.MOVIE, ".", "s"),
        ("frames/s.eer.mdoc", Role.MOVIE_METADATA, ".", "frames/s"),
        ("g/SuperRef_s_mmm_00000_-15.0_Oct08_01.59.24.dm4", Role.GAIN, "g", None),
        ("g/frames/CountRef_x.mrc", Role.GAIN, "g", None),
        ("g/frames/GainRef_x1.m0.mrc", Role.GAIN, "g", None),
        ("g/frames/20220406_175020_EER_GainReference.gain", Role.GAIN, "g", None),
        ("g/frames/defects_s_mmm.txt", Role.DEFECTS, "g", None),
        ("g/frames/defects_GainRef_x1.m0.txt", Role.DEFECTS, "g", None),
        ("g/LMM.mrc", Role.ATLAS, "g", None),
        ("g/MMM_3.mrc.mdoc", Role.ATLAS, "g", None),
        ("g/montage_section.mdoc", Role.ATLAS, "g", None),
        ("g/frames/atlas_0001.mrc", Role.MOVIE, "g", "frames/atlas_0001"),
        ("g/atlas_0001.tif", Role.MOVIE, "g", "atlas_0001"),
        ("g/nav.nav", Role.OTHER, "g", None),
        ("g/frames/x.jpg", Role.PREVIEW, "g", "frames/x"),
        ("g/frames/.x.tif.part", Role.OTHER, "g", None),
        ("g/frames/no_gain_0001.tif", Role.MOVIE, "g", "frames/no_gain_0001"),
        ("g/frames/again_0001.tif", Role.MOVIE, "g", "frames/again_0001"),
        ("g/frames/x_gain_corrected.tif", Role.MOVIE, "g", "frames/x_gain_corrected"),
    ],
)
def test_names(path, role, session, key):
    place = SERIALEM.place(PurePosixPath(path))
    assert (place.role, place.session, place.movie) == (role, PurePosixPath(session), key)


@pytest.mark.parametrize("path", ["x.exe", "frames/x", "x.docx"])
def test_what_serialem_would_not_write_is_not_serialems(path):
    assert SERIALEM.place(PurePosixPath(path)) is None


def test_the_unit_of_defocus_and_its_sign_are_ours():
    assert read(FRAME_SET).applied_defocus_angstrom == pytest.approx(12000.0)
    without_target = FRAME_SET.replace("TargetDefocus", "Defocus")
    assert read(without_target).applied_defocus_angstrom == pytest.approx(12000.0)


@pytest.mark.parametrize(
    ("pairs", "total", "per_frame", "frames"),
    [
        ("1.25 40", 50.0, 1.25, 40),
        ("1.0 10 1.5 20", 40.0, 40.0 / 30, 30),
        ("0 40", None, None, 40),
        ("", None, None, None),
    ],
)
def test_frame_doses_are_pairs_of_dose_and_number(pairs, total, per_frame, frames):
    text = re.sub("ExposureDose = 50\r\n|NumSubFrames = 40\r\n", "", FRAME_SET).replace("1.25 40", pairs)
    metadata = read(text)
    assert metadata.dose_e_per_angstrom2 == (None if total is None else pytest.approx(total))
    assert metadata.dose_per_frame_e_per_angstrom2 == (None if per_frame is None else pytest.approx(per_frame))
    assert metadata.frames == frames


def test_a_dose_without_frame_doses_is_shared_among_the_frames():
    metadata = read(FRAME_SET.replace("FrameDosesAndNumber = 1.25 40\r\n", ""))
    assert metadata.dose_per_frame_e_per_angstrom2 == pytest.approx(1.25)


@pytest.mark.parametrize("date", ["08-Oct-21  07:39:08", "08-Oct-2021  07:39:08", "2021-Oct-08  07:39:08"])
def test_local_times_are_read_in_the_microscopes_zone(date):
    from zoneinfo import ZoneInfo

    text = FRAME_SET.replace("08-Oct-21  07:39:08", date)
    assert read(text).acquired_at == 1633678748.0
    athens = program_at("serialem", ZoneInfo("Europe/Athens"))
    assert athens.read_sidecar(MDOC, text.encode()).acquired_at == 1633678748.0 - 3 * 3600
    auto = program_at("auto", ZoneInfo("Europe/Athens"))
    assert auto.read_sidecar(MDOC, text.encode()).acquired_at == 1633678748.0 - 3 * 3600


def test_line_ends_byte_order_mark_and_old_encodings_change_nothing():
    expected = read(FRAME_SET)
    assert read(FRAME_SET.replace("\r\n", "\n")) == expected
    assert SERIALEM.read_sidecar(MDOC, b"\xef\xbb\xbf" + FRAME_SET.encode()) == expected
    accented = FRAME_SET.replace("X:\\s", "X:\\Müller").encode("latin-1")
    assert SERIALEM.read_sidecar(MDOC, accented) == expected
    assert expected.defect_file == "defects_x.txt"


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("Voltage = 300", "Voltage = three", "Voltage"),
        ("StageZ = 3", "StageZ = nan", "StageZ"),
        ("1.25 40", "1.25 40 7", "FrameDosesAndNumber"),
        ("08-Oct-21  07:39:08", "yesterday", "DateTime"),
        ("08-Oct-21  07:39:08", "31-Feb-21  07:39:08", "day is out of range"),
        ("[FrameSet = 0]", "[FrameSet = 0", "section head without its end"),
        ("StageZ = 3", "StageZ 3", "key = value"),
        ("StageZ = 3", "= 3", "key = value"),
        ("StageZ = 3", "StageZ = " + "3" * 5000, "line of 50"),
        ("StageZ = 3", "StageZ = 3\0", "NUL"),
    ],
)
def test_what_is_wrong_is_named(old, new, named):
    assert old in FRAME_SET
    with pytest.raises(BadFile, match=named) as caught:
        read(FRAME_SET.replace(old, new))
    assert "x.tif.mdoc" in str(caught.value)


def test_the_table_of_programs_holds_serialem():
    assert PROGRAMS["serialem"] == SERIALEM
