"""Gain references and defect maps of every kind agree with the frames they belong to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from passerelle.core.errors import BadFile, IncompleteFile, NotFound, UnsupportedFile
from passerelle.formats import open_movie, read_defects, read_gain, write_dm, write_mrc, write_tiff_movie
from passerelle.formats.tiff_assemble import LONG, SHORT, UNDEFINED, TiffAssembly

GAIN = np.random.default_rng(4).uniform(0.5, 1.5, (12, 16)).astype(np.float32)


def test_a_gain_in_mrc_and_tiff_agrees_with_frames_in_mrc_and_tiff(tmp_path: Path) -> None:
    """The same picture as IMOD would write it: MRC row 0 is the bottom, TIFF row 0 the top."""
    write_mrc(tmp_path / "gain.mrc", GAIN, 1.0)
    tifffile.imwrite(tmp_path / "gain.tif", GAIN[::-1])
    np.testing.assert_array_equal(read_gain(tmp_path / "gain.mrc"), GAIN)
    np.testing.assert_array_equal(read_gain(tmp_path / "gain.tif"), GAIN)
    write_tiff_movie(tmp_path / "movie.tif", GAIN[None], 1.0)
    with open_movie(tmp_path / "movie.tif") as movie:
        np.testing.assert_array_equal(movie.frame(0), read_gain(tmp_path / "gain.mrc"))


def test_a_gain_of_an_eer_camera_and_of_digital_micrograph_is_not_turned_over(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "x.gain", GAIN)
    np.testing.assert_array_equal(read_gain(tmp_path / "x.gain"), GAIN)
    write_dm(tmp_path / "gain.dm4", GAIN, 1.0)
    np.testing.assert_array_equal(read_gain(tmp_path / "gain.dm4"), GAIN)


@pytest.mark.parametrize("factor", [2, 4])
def test_a_gain_of_an_eer_camera_fits_upsampled_and_binned_frames(tmp_path: Path, factor: int) -> None:
    tifffile.imwrite(tmp_path / "x.gain", GAIN)
    fine = read_gain(tmp_path / "x.gain", 12 * factor, 16 * factor)
    np.testing.assert_array_equal(fine, np.kron(GAIN, np.ones((factor, factor), np.float32)))
    coarse = read_gain(tmp_path / "x.gain", 12 // factor, 16 // factor)
    np.testing.assert_allclose(coarse[0, 0], GAIN[:factor, :factor].mean(), rtol=1e-6)


@pytest.mark.parametrize("suffix", [".mrc", ".gain"])
def test_a_gain_of_another_size_names_both_sizes(tmp_path: Path, suffix: str) -> None:
    write_mrc(tmp_path / "gain.mrc", GAIN, 1.0)
    tifffile.imwrite(tmp_path / "gain.gain", GAIN)
    with pytest.raises(BadFile, match=r"16 × 12 pixels, but the movie has 12 × 16"):
        read_gain(tmp_path / f"gain{suffix}", 16, 12)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_gain_that_holds_no_numbers_is_bad(tmp_path: Path, value: float) -> None:
    gain = GAIN.copy()
    gain[3, 4] = value
    write_mrc(tmp_path / "gain.mrc", gain, 1.0)
    with pytest.raises(BadFile, match="no numbers"):
        read_gain(tmp_path / "gain.mrc")


def test_a_gain_of_zeros_is_bad_and_a_missing_or_empty_one_is_named(tmp_path: Path) -> None:
    write_mrc(tmp_path / "gain.mrc", GAIN * 0, 1.0)
    with pytest.raises(BadFile, match="zeros only"):
        read_gain(tmp_path / "gain.mrc")
    with pytest.raises(NotFound, match="none"):
        read_gain(tmp_path / "none.mrc")
    (tmp_path / "empty.gain").write_bytes(b"")
    with pytest.raises(IncompleteFile, match="empty"):
        read_gain(tmp_path / "empty.gain")
    (tmp_path / "text.gain").write_bytes(b"this is no gain reference")
    with pytest.raises(BadFile, match="not a TIFF file"):
        read_gain(tmp_path / "text.gain")


SERIALEM = """
# saved by SerialEM
CameraSizeX 16
CameraSizeY 12
RotationAndFlip 5
WasScaled 0
K2Type 1
FalconType 0
UsableArea 0 0 0 0
PartialBadColumn 3 2 1 4
PartialBadRow 2 1 8 10
BadPixels 0 0 15 11
BadColumns 6
BadRows 10 11
SomethingOfTomorrow 1 2 3
"""


def serialem_truth() -> np.ndarray:
    top_down = np.zeros((12, 16), bool)
    top_down[1:5, 3:5] = True
    top_down[2, 8:11] = True
    top_down[0, 0] = top_down[11, 15] = True
    top_down[:, 6] = True
    top_down[10:12, :] = True
    return top_down[::-1]


def test_a_serialem_list_counts_rows_from_the_top(tmp_path: Path) -> None:
    (tmp_path / "defects.txt").write_text(SERIALEM)
    np.testing.assert_array_equal(read_defects(tmp_path / "defects.txt", 12, 16), serialem_truth())


def test_line_ends_of_windows_and_tabs_are_read(tmp_path: Path) -> None:
    (tmp_path / "defects.txt").write_bytes(SERIALEM.replace("\n", "\r\n").replace(" ", "\t").encode())
    np.testing.assert_array_equal(read_defects(tmp_path / "defects.txt", 12, 16), serialem_truth())


@pytest.mark.parametrize("factor", [2, 4])
def test_a_list_is_scaled_to_super_resolution_and_binned_frames(tmp_path: Path, factor: int) -> None:
    (tmp_path / "defects.txt").write_text(SERIALEM)
    fine = read_defects(tmp_path / "defects.txt", 12 * factor, 16 * factor)
    np.testing.assert_array_equal(fine, np.kron(serialem_truth(), np.ones((factor, factor), bool)))
    coarse = read_defects(tmp_path / "defects.txt", 12 // factor, 16 // factor)
    blocks = serialem_truth().reshape(12 // factor, factor, 16 // factor, factor)
    np.testing.assert_array_equal(coarse, blocks.any(axis=(1, 3)))


def test_motioncor_boxes_count_rows_as_frames_do(tmp_path: Path) -> None:
    (tmp_path / "defects.txt").write_text("1 2 3 4\n0 0 1 1\n")
    truth = np.zeros((12, 16), bool)
    truth[2:6, 1:4] = truth[0, 0] = True
    np.testing.assert_array_equal(read_defects(tmp_path / "defects.txt", 12, 16), truth)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (SERIALEM.replace("16", "20"), "camera of 20 × 12 pixels, but the movie has 16 × 12"),
        ("BadPixels 16 0", "outside of its camera"),
        ("BadPixels -1 0", "outside of its camera"),
        ("BadColumns 99999999", "outside of its camera"),
        ("PartialBadColumn 3 2 4 1", "outside of its camera"),
        ("PartialBadColumn 3 2", "makes no sense"),
        ("BadPixels 1 x", "makes no sense"),
        ("BadPixels 1 99999999999999999999999", "makes no sense"),
        ("BadPixels ١ ٢", "makes no sense"),
        ("CameraSizeX", "makes no sense"),
        ("", "no defect list"),
        ("dear colleague", "no defect list"),
        ("\0\0\0\0", "no defect list"),
        ("10 10 10 10", "outside of the movie's 16 × 12"),
        ("1 -2 3 4", "outside of the movie"),
    ],
)
def test_texts_that_are_no_list_for_this_camera_are_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "defects.txt").write_text(text)
    with pytest.raises(BadFile, match=words):
        read_defects(tmp_path / "defects.txt", 12, 16)


def test_maps_in_mrc_and_tiff_agree(tmp_path: Path) -> None:
    bad = serialem_truth()
    write_mrc(tmp_path / "map.mrc", bad.astype(np.float32), 1.0)
    tifffile.imwrite(tmp_path / "map.tif", bad[::-1].astype(np.uint8) * 255, compression="lzw")
    for name in ("map.mrc", "map.tif"):
        np.testing.assert_array_equal(read_defects(tmp_path / name, 12, 16), bad)
    with pytest.raises(BadFile, match=r"defect map of 16 × 12 pixels, but the movie has 16 × 13"):
        read_defects(tmp_path / "map.mrc", 13, 16)


def test_a_huge_text_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "defects.txt").open("wb") as stream:
        stream.truncate(1 << 33)
    with pytest.raises(BadFile, match="no defect list is that long"):
        read_defects(tmp_path / "defects.txt", 12, 16)
    (tmp_path / "defects.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(UnsupportedFile, match="JPEG"):
        read_defects(tmp_path / "defects.jpg", 12, 16)


def write_fei_gain(path: Path, xml: bytes) -> None:
    with path.open("wb") as stream:
        tags = [(256, LONG, [16]), (257, LONG, [12]), (258, SHORT, [32]), (339, SHORT, [3]), (65100, UNDEFINED, xml)]
        TiffAssembly(stream).add_page([GAIN.tobytes()], tags)


def fei_truth() -> np.ndarray:
    bad = np.zeros((12, 16), bool)
    bad[[2, 3, 4, 9]] = True
    bad[:, 7] = True
    bad[1:4, 10:13] = True
    bad[11, 15] = bad[0, 0] = True
    return bad


FEI = (
    b"<?xml version='1.0'?><defects version='2'><row>2-4,9</row><col>7</col><area>10,1,12,3</area>"
    b"<point>15,11</point><nonmaskingpoint>0, 0</nonmaskingpoint></defects>\0"
)


def test_the_defects_inside_a_gain_file_lie_as_its_pixels(tmp_path: Path) -> None:
    write_fei_gain(tmp_path / "x.gain", FEI)
    np.testing.assert_array_equal(read_gain(tmp_path / "x.gain", 12, 16), GAIN)
    np.testing.assert_array_equal(read_defects(tmp_path / "x.gain", 12, 16), fei_truth())
    fine = read_defects(tmp_path / "x.gain", 24, 32)
    np.testing.assert_array_equal(fine, np.kron(fei_truth(), np.ones((2, 2), bool)))
    np.testing.assert_array_equal(read_defects(tmp_path / "x.gain", 6, 8), fei_truth().reshape(6, 2, 8, 2).any(axis=(1, 3)))
    with pytest.raises(BadFile, match=r"for 16 × 12 pixels, but the movie has 17 × 12"):
        read_defects(tmp_path / "x.gain", 12, 17)


@pytest.mark.parametrize(
    ("xml", "words"),
    [
        (b"<defects><row>12</row></defects>", "outside"),
        (b"<defects><col>0-99</col></defects>", "outside"),
        (b"<defects><col>5-3</col></defects>", "makes no sense"),
        (b"<defects><row>-1</row></defects>", "makes no sense"),
        (b"<defects><row>9999999999</row></defects>", "makes no sense"),
        (b"<defects><area>1,2,3</area></defects>", "an area of"),
        (b"<defects><area>5,5,1,1</area></defects>", "outside"),
        (b"<defects><point>1</point></defects>", "a point|an point"),
        (b"<defects><row>1</row>", "not valid XML"),
        (b"<!DOCTYPE d [<!ENTITY a '1'>]><defects><row>&a;</row></defects>", "not valid XML"),
        (b"<gain/>", "no defect list"),
    ],
)
def test_defects_inside_a_gain_file_that_make_no_sense_are_refused(tmp_path: Path, xml: bytes, words: str) -> None:
    write_fei_gain(tmp_path / "x.gain", xml)
    with pytest.raises(BadFile, match=words):
        read_defects(tmp_path / "x.gain", 12, 16)
