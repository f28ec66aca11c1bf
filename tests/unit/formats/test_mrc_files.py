"""MRC: every mode, both byte orders, extended headers, stacks that are not whole."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from passerelle.core.errors import BadFile, BadInput, IncompleteFile, UnsupportedFile
from passerelle.formats import load_stack, open_movie, read_header, read_image, write_mrc, write_mrc_stack

WORDS = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}


def mrc_bytes(
    pixels: bytes,
    nx: int,
    ny: int,
    nz: int,
    mode: int,
    order: str = "<",
    extended: bytes = b"",
    kind: bytes = b"",
    **words: object,
) -> bytes:
    """An MRC file by hand. words: offset as `at_152` -> (format, values…)."""
    raw = bytearray(1024)
    struct.pack_into(order + "4i", raw, 0, nx, ny, nz, mode)
    struct.pack_into(order + "3i", raw, 28, nx, ny, max(nz, 1))
    struct.pack_into(order + "3f", raw, 40, nx * 1.25, ny * 1.25, max(nz, 1) * 1.25)
    struct.pack_into(order + "i", raw, 92, len(extended))
    raw[104:108] = kind.ljust(4, b"\0")
    raw[208:212] = b"MAP "
    raw[212:216] = b"\x44\x44\0\0" if order == "<" else b"\x11\x11\0\0"
    for place, (form, *values) in words.items():  # type: ignore[misc]
        struct.pack_into(order + form, raw, int(place.removeprefix("at_")), *values)
    return bytes(raw) + extended + pixels


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("mode", sorted(WORDS))
def test_a_stack_of_every_mode_and_byte_order_comes_back(tmp_path: Path, mode: int, order: str) -> None:
    stack = np.arange(3 * 4 * 5).reshape(3, 4, 5).astype(WORDS[mode])
    path = tmp_path / "a.mrc"
    path.write_bytes(mrc_bytes(stack.astype(stack.dtype.newbyteorder(order)).tobytes(), 5, 4, 3, mode, order))
    header = read_header(path)
    assert (header.frames, header.height, header.width, header.dtype) == (3, 4, 5, stack.dtype)
    assert header.dtype.isnative and header.pixel_size_angstrom == 1.25
    with open_movie(path) as movie:
        np.testing.assert_array_equal(load_stack(movie), stack)


@pytest.mark.parametrize("width", [6, 5])
def test_four_bit_pixels_are_unpacked_low_half_first(tmp_path: Path, width: int) -> None:
    stack = np.random.default_rng(0).integers(0, 16, (2, 3, width), np.uint8)
    even = np.pad(stack, ((0, 0), (0, 0), (0, width % 2)))
    packed = even[..., ::2] | even[..., 1::2] << 4
    path = tmp_path / "a.mrc"
    path.write_bytes(mrc_bytes(packed.tobytes(), width, 3, 2, 101))
    with open_movie(path) as movie:
        assert movie.header.dtype == np.uint8
        np.testing.assert_array_equal(load_stack(movie), stack)


def test_four_bit_pixels_of_old_serialem_in_mode_0_are_known_by_their_flag(tmp_path: Path) -> None:
    path = tmp_path / "a.mrc"
    path.write_bytes(mrc_bytes(bytes([0x21, 0x43] * 3), 2, 3, 1, 0, at_152=("2i", 1146047817, 16)))
    np.testing.assert_array_equal(read_image(path), [[1, 2, 3, 4]] * 3)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ({"at_152": ("2i", 1146047817, 1)}, -1),  # IMOD says: signed
        ({"at_152": ("2i", 1146047817, 0)}, 255),  # IMOD says: unsigned
        ({"at_76": ("2f", 0.0, 255.0)}, 255),  # only unsigned bytes reach 255
        ({"at_76": ("2f", -3.0, 100.0)}, -1),
        ({}, -1),  # MRC2014
    ],
)
def test_bytes_of_mode_0_are_signed_unless_something_says_otherwise(
    tmp_path: Path, words: dict[str, object], expected: int
) -> None:
    path = tmp_path / "a.mrc"
    path.write_bytes(mrc_bytes(b"\xff" * 6, 3, 2, 1, 0, **words))
    assert read_image(path)[0, 0] == expected


def fei_record(kind: str, **numbers: float) -> bytes:
    places = {
        "voltage": 84,
        "dose": 92,
        "tilt": 100,
        "stage_x": 116,
        "pixel": 156,
        "applied": 236,
        "magnification": 289,
        "exposure": 419,
    }
    raw = bytearray({"FEI1": 768, "FEI2": 888}[kind])
    struct.pack_into("<iiI", raw, 0, len(raw), 0, 0xFFFFFFFF)
    struct.pack_into("<I", raw, 297, 0xFFFFFFFF)
    struct.pack_into("<I", raw, 490, 0xFFFFFFFF)
    for name, value in numbers.items():
        struct.pack_into("<d", raw, places[name], value)
    raw[435:444] = b"BM-Falcon"
    raw[52:55] = b"EPU"
    raw[518] = 1
    return bytes(raw)


@pytest.mark.parametrize("kind", ["FEI1", "FEI2"])
def test_the_extended_header_of_epu_is_read_in_our_units(tmp_path: Path, kind: str) -> None:
    record = fei_record(
        kind, voltage=3e5, dose=4.1e21, pixel=6.6e-11, applied=-2.2e-6, exposure=12.5, stage_x=-6.4e-4, magnification=120000
    )
    path = tmp_path / "a.mrc"
    path.write_bytes(mrc_bytes(b"\0" * 40, 5, 4, 1, 1, extended=record, kind=kind.encode()))
    header = read_header(path)
    assert header.pixel_size_angstrom == pytest.approx(0.66)
    values = header.values or {}
    assert values["voltage_kv"] == 300
    assert values["dose_e_per_angstrom2"] == pytest.approx(41)
    assert values["applied_defocus_angstrom"] == pytest.approx(22000)  # positive for underfocus
    assert values["exposure_seconds"] == 12.5
    assert values["stage_x_um"] == pytest.approx(-640)
    assert (values["camera"], values["program"], values["phase_plate"]) == ("BM-Falcon", "EPU", True)


def test_fields_that_were_not_filled_or_cannot_be_are_not_reported(tmp_path: Path) -> None:
    record = bytearray(fei_record("FEI1", voltage=3e5, dose=float("nan"), pixel=-1.0, exposure=float("inf")))
    struct.pack_into("<I", record, 8, 0xFFFFFFFF & ~(1 << 5))  # bit 5: voltage
    path = tmp_path / "a.mrc"
    path.write_bytes(mrc_bytes(b"\0" * 40, 5, 4, 1, 1, extended=bytes(record), kind=b"FEI1"))
    header = read_header(path)
    assert not {"voltage_kv", "dose_e_per_angstrom2", "pixel_size_angstrom", "exposure_seconds"} & set(header.values or {})
    assert header.pixel_size_angstrom == 1.25  # from the cell


@pytest.mark.parametrize("cell", [float("nan"), float("inf"), -5.0, 0.0, 1e30])
def test_a_pixel_size_that_cannot_be_is_none(tmp_path: Path, cell: float) -> None:
    path = tmp_path / "a.mrc"
    path.write_bytes(mrc_bytes(b"\0" * 40, 5, 4, 1, 1, at_40=("f", cell)))
    assert read_header(path).pixel_size_angstrom is None


def test_every_prefix_of_a_stack_is_incomplete(tmp_path: Path) -> None:
    path = tmp_path / "a.mrc"
    whole = mrc_bytes(np.arange(60, dtype="<i2").tobytes(), 5, 4, 3, 1)
    for length in [*range(0, 1100, 37), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(IncompleteFile, match=r"a\.mrc"):
            read_header(path)


def test_what_is_missing_is_said_in_frames(tmp_path: Path) -> None:
    path = tmp_path / "a.mrc"
    path.write_bytes(mrc_bytes(bytes(40 * 3), 5, 4, 12, 1))
    with pytest.raises(IncompleteFile, match=r"3\.0 of the 12 frames"):
        read_header(path)


def test_a_reserved_file_of_zeros_is_incomplete_not_bad(tmp_path: Path) -> None:
    (tmp_path / "a.mrc").write_bytes(bytes(100_000))
    with pytest.raises(IncompleteFile, match="not written yet"):
        read_header(tmp_path / "a.mrc")


def test_a_header_of_no_frames_is_incomplete(tmp_path: Path) -> None:
    (tmp_path / "a.mrc").write_bytes(mrc_bytes(b"", 5, 4, 0, 1))
    with pytest.raises(IncompleteFile, match="no frame"):
        read_header(tmp_path / "a.mrc")


def test_frames_beyond_those_of_the_header_are_seen(tmp_path: Path) -> None:
    (tmp_path / "a.mrc").write_bytes(mrc_bytes(bytes(128 * 128 * 3), 128, 128, 1, 0))
    with pytest.raises(IncompleteFile, match="longer than its header says"):
        read_header(tmp_path / "a.mrc")


def test_a_little_padding_is_let_pass(tmp_path: Path) -> None:
    (tmp_path / "a.mrc").write_bytes(mrc_bytes(bytes(40 + 512), 5, 4, 1, 1))
    assert read_header(tmp_path / "a.mrc").frames == 1


@pytest.mark.parametrize("mode", [3, 4])
def test_complex_numbers_are_unsupported(tmp_path: Path, mode: int) -> None:
    (tmp_path / "a.mrc").write_bytes(mrc_bytes(bytes(1000), 5, 4, 1, mode))
    with pytest.raises(UnsupportedFile, match="complex"):
        read_header(tmp_path / "a.mrc")


def test_another_content_under_the_name_of_mrc_is_bad(tmp_path: Path) -> None:
    (tmp_path / "a.mrc").write_bytes(b"This is a letter to the editor. " * 64)
    with pytest.raises(BadFile, match="not an MRC file"):
        read_header(tmp_path / "a.mrc")


def test_an_old_file_without_the_word_map_is_read_if_its_size_fits(tmp_path: Path) -> None:
    content = bytearray(mrc_bytes(np.arange(20, dtype="<i2").tobytes(), 5, 4, 1, 1))
    content[208:216] = bytes(8)
    (tmp_path / "a.mrc").write_bytes(content)
    assert read_image(tmp_path / "a.mrc")[3, 4] == 19
    (tmp_path / "a.mrc").write_bytes(content + b"\0")
    with pytest.raises(BadFile, match="MAP is missing"):
        read_header(tmp_path / "a.mrc")


def test_a_file_cut_short_while_it_is_open_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.mrc"
    path.write_bytes(mrc_bytes(bytes(40 * 3), 5, 4, 3, 1))
    with open_movie(path) as movie:
        path.write_bytes(path.read_bytes()[:1100])
        movie.frame(0)
        with pytest.raises(IncompleteFile):
            movie.frame(2)


@pytest.mark.parametrize("index", [-1, 3, 10**9])
def test_a_frame_that_is_not_there_is_refused(tmp_path: Path, index: int) -> None:
    write_mrc_stack(tmp_path / "a.mrc", np.zeros((3, 4, 5), np.int16), 1.0, "int16")
    with open_movie(tmp_path / "a.mrc") as movie, pytest.raises(BadInput, match=r"frames 0 … 2"):
        movie.frame(index)


def test_what_is_written_in_32_and_16_bits_comes_back(tmp_path: Path) -> None:
    image = np.random.default_rng(1).normal(100, 20, (32, 48)).astype(np.float32)
    write_mrc(tmp_path / "a.mrc", image, 0.83)
    write_mrc(tmp_path / "b.mrc", image, 0.83, "float16")
    np.testing.assert_array_equal(read_image(tmp_path / "a.mrc"), image)
    np.testing.assert_array_equal(read_image(tmp_path / "b.mrc"), image.astype(np.float16).astype(np.float32))
    assert read_header(tmp_path / "b.mrc").pixel_size_angstrom == pytest.approx(0.83)


def test_values_that_16_bits_cannot_hold_are_refused_and_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="65504"):
        write_mrc(tmp_path / "a.mrc", np.full((4, 4), 1e5), 1.0, "float16")
    assert list(tmp_path.iterdir()) == []


def test_a_stack_of_unequal_or_no_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput):
        write_mrc_stack(tmp_path / "a.mrc", [np.zeros((4, 4)), np.zeros((4, 5))], 1.0)
    with pytest.raises(BadInput):
        write_mrc_stack(tmp_path / "a.mrc", [], 1.0)
    with pytest.raises(BadInput, match="two dimensions"):
        write_mrc(tmp_path / "a.mrc", np.zeros((2, 4, 4)), 1.0)


def test_a_micrograph_of_16_bit_floats_is_what_mrcfile_reads(tmp_path: Path) -> None:
    image = np.random.default_rng(0).normal(40, 6, (7, 12)).astype(np.float32)
    write_mrc(tmp_path / "a.mrc", image, 1.1, "float16")
    with mrcfile.open(tmp_path / "a.mrc") as peer:
        assert int(peer.header.mode) == 12 and peer.data.dtype == np.float16
        np.testing.assert_array_equal(peer.data, image.astype(np.float16))
        assert float(peer.voxel_size.x) == pytest.approx(1.1)
    assert mrcfile.validate(tmp_path / "a.mrc", print_file=io.StringIO())
    np.testing.assert_array_equal(read_image(tmp_path / "a.mrc"), image.astype(np.float16).astype(np.float32))
