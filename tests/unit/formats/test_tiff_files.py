"""TIFF: compressions, kinds of pixels, 4-bit packing, the turn of the rows, files that are not whole."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile

from passerelle.core.errors import BadFile, BadInput, IncompleteFile, StorageError, UnsupportedFile
from passerelle.formats import load_stack, open_movie, read_header, read_image, tiff, tiff_write, write_tiff_movie
from passerelle.formats.tiff_assemble import LONG, SHORT, TiffAssembly

KINDS = ["u1", "i1", "u2", "i2", "f4"]


def counts(shape: tuple[int, ...] = (3, 40, 50), kind: str = "u1") -> np.ndarray:
    return np.random.default_rng(2).poisson(1.5, shape).astype(kind)


def assemble(path: Path, strips: list[bytes], width: int, height: int, bits: int = 8, big: bool = False, **tags: int) -> None:
    codes = {
        "compression": 259,
        "rows": 278,
        "form": 339,
        "samples": 277,
        "predictor": 317,
        "fill": 266,
        "subfile": 254,
        "tile": 322,
    }
    with path.open("wb") as stream:
        entries = [(256, LONG, [width]), (257, LONG, [height]), (258, SHORT, [bits])]
        entries += [(codes[name], LONG, [value]) for name, value in tags.items()]
        TiffAssembly(stream, big=big).add_page(strips, entries)


@pytest.mark.parametrize("compression", [None, "lzw", "zlib", "packbits"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_compression_and_kind_of_pixels_comes_back_upside_down(tmp_path: Path, compression: str | None, kind: str) -> None:
    stack = counts(kind=kind)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stack, compression=compression, rowsperstrip=7, photometric="minisblack", contiguous=False)
    with open_movie(path) as movie:
        assert movie.header.dtype == stack.dtype
        np.testing.assert_array_equal(load_stack(movie), stack[:, ::-1])


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["u2", "f4"])
def test_both_byte_orders_and_bigtiff_are_read(tmp_path: Path, big: bool, order: str, kind: str) -> None:
    stack = counts(kind=kind)
    with tifffile.TiffWriter(tmp_path / "a.tif", bigtiff=big, byteorder=order) as writer:
        for frame in stack:
            writer.write(frame, contiguous=False, compression="lzw")
    with open_movie(tmp_path / "a.tif") as movie:
        assert movie.header.dtype.isnative
        np.testing.assert_array_equal(load_stack(movie), stack[:, ::-1])


@pytest.mark.parametrize(("kind", "predictor"), [("u1", 2), ("u2", 2), ("i2", 2), ("f4", 3)])
@pytest.mark.parametrize("order", ["<", ">"])
def test_predictors_are_undone(tmp_path: Path, kind: str, predictor: int, order: str) -> None:
    image = counts((33, 41), kind)
    with tifffile.TiffWriter(tmp_path / "a.tif", byteorder=order) as writer:
        writer.write(image, compression="zlib", predictor=predictor)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), image[::-1].astype(np.float32))


def test_four_bit_pixels_by_the_specification_have_the_high_half_first(tmp_path: Path) -> None:
    assemble(tmp_path / "a.tif", [bytes([0x12, 0x30, 0x45, 0x60])], 3, 2, bits=4, rows=2)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), [[4, 5, 6], [1, 2, 3]])


def test_half_width_pages_of_super_resolution_cameras_have_the_low_half_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (5760, 8184) in tiff.NIBBLE_PAGES  # K3; 23 MB of packed pixels are too many for a unit test
    monkeypatch.setattr(tiff, "NIBBLE_PAGES", {(2, 2)})
    assemble(tmp_path / "a.tif", [bytes([0x21, 0x43, 0x65, 0x87])], 2, 2, rows=2)
    header = read_header(tmp_path / "a.tif")
    assert (header.height, header.width, header.dtype) == (2, 4, np.uint8)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), [[5, 6, 7, 8], [1, 2, 3, 4]])


@pytest.mark.parametrize("kind", ["u4", "i4", "f8"])
def test_wide_pixels_are_yielded_as_32_bit_floats(tmp_path: Path, kind: str) -> None:
    image = counts((5, 6), kind)
    tifffile.imwrite(tmp_path / "a.tif", image)
    assert read_header(tmp_path / "a.tif").dtype == np.float32
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), image[::-1].astype(np.float32))


def test_a_sample_format_of_garbage_means_integers(tmp_path: Path) -> None:
    assemble(tmp_path / "a.tif", [bytes(range(6))], 3, 2, rows=2, form=297)
    assert read_header(tmp_path / "a.tif").dtype == np.uint8


def test_previews_between_the_frames_are_passed_over(tmp_path: Path) -> None:
    stack = counts()
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for frame in stack:
            writer.write(frame, contiguous=False)
            writer.write(frame[::4, ::4], contiguous=False, subfiletype=1)
    with open_movie(tmp_path / "a.tif") as movie:
        np.testing.assert_array_equal(load_stack(movie), stack[:, ::-1])


@pytest.mark.parametrize("kind", KINDS)
def test_a_written_movie_is_lossless_and_in_the_orientation_of_mrc(tmp_path: Path, kind: str) -> None:
    stack = counts(kind=kind)
    write_tiff_movie(tmp_path / "a.tif", stack, 0.822)
    header = read_header(tmp_path / "a.tif")
    assert header.pixel_size_angstrom == pytest.approx(0.822, rel=1e-6)
    with open_movie(tmp_path / "a.tif") as movie:
        np.testing.assert_array_equal(load_stack(movie), stack)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), stack[:, ::-1])  # upright for everyone else


def test_an_iterable_is_written_frame_by_frame(tmp_path: Path) -> None:
    stack = counts()
    write_tiff_movie(tmp_path / "a.tif", (frame for frame in stack), 1.0)
    assert read_header(tmp_path / "a.tif").frames == 3


def test_a_movie_that_does_not_come_back_as_it_was_never_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = tiff_write._ENCODERS["lzw"]

    def flips_a_bit(rows: np.ndarray) -> bytes:
        return honest(rows ^ (np.arange(rows.size) == 0).reshape(rows.shape))

    monkeypatch.setitem(tiff_write._ENCODERS, "lzw", flips_a_bit)
    with pytest.raises(StorageError, match="differs from what was written"):
        write_tiff_movie(tmp_path / "a.tif", counts(), 1.0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("frames", [[], [np.zeros((4, 4), np.int64)], [np.zeros((4, 4), "u1"), np.zeros((4, 5), "u1")]])
def test_what_is_no_movie_is_not_written(tmp_path: Path, frames: list[Any]) -> None:
    with pytest.raises(BadInput):
        write_tiff_movie(tmp_path / "a.tif", frames, 1.0)
    assert list(tmp_path.iterdir()) == []


def test_every_prefix_of_a_movie_is_incomplete_or_holds_fewer_whole_frames(tmp_path: Path) -> None:
    """The offset of the first page is written last by this writer: what is cut is never taken for the whole."""
    path = tmp_path / "a.tif"
    write_tiff_movie(path, counts((2, 20, 20)), 1.0)
    whole = path.read_bytes()
    for length in [*range(0, len(whole), 11), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(IncompleteFile, match=r"a\.tif"):
            read_header(path)


def test_a_tiff_without_a_first_page_yet_is_incomplete(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"II*\0\0\0\0\0" + bytes(5000))
    with pytest.raises(IncompleteFile, match="first page is not written yet"):
        read_header(tmp_path / "a.tif")


def test_a_loop_of_pages_is_bad(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    assemble(path, [bytes(6)], 3, 2, rows=2)
    content = bytearray(path.read_bytes())
    content[-4:] = content[4:8]  # the next page is the first
    path.write_bytes(content)
    with pytest.raises(BadFile, match="loop"):
        read_header(path)


def test_pages_of_different_size_are_bad(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(np.zeros((4, 5), "u1"), contiguous=False)
        writer.write(np.zeros((4, 6), "u1"), contiguous=False)
    with pytest.raises(BadFile, match=r"page 1 is 6 × 4 .* page 0 is 5 × 4"):
        read_header(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({"tile": 16}, "tiles"),
        ({"samples": 3}, "colour"),
        ({"fill": 2}, "FillOrder"),
        ({"compression": 7}, "method 7"),
        ({"predictor": 3}, "predictor"),
    ],
)
def test_what_cameras_do_not_write_is_unsupported(tmp_path: Path, tags: dict[str, int], words: str) -> None:
    assemble(tmp_path / "a.tif", [bytes(6)], 3, 2, rows=2, **tags)
    with pytest.raises(UnsupportedFile, match=words):
        read_header(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("code", "corrupt"),
    [
        (5, lambda data: b"\x00" * len(data)),
        (5, lambda data: data[: len(data) // 2]),
        (8, lambda data: b"\xff" * len(data)),
        (8, lambda data: data[: len(data) // 2]),
        (32773, lambda data: data[:3]),
        (1, lambda data: data[:10]),
    ],
)
def test_a_corrupt_frame_is_named_and_the_others_are_read(tmp_path: Path, code: int, corrupt: Callable[[bytes], bytes]) -> None:
    encoders = {1: bytes, 5: imagecodecs.lzw_encode, 8: zlib.compress, 32773: imagecodecs.packbits_encode}
    stack = counts((3, 20, 30))
    with (tmp_path / "a.tif").open("wb") as stream:
        assembly = TiffAssembly(stream)
        for index, frame in enumerate(stack):
            data = bytes(encoders[code](frame.tobytes()))
            strip = corrupt(data) if index == 1 else data
            assembly.add_page([strip], [(256, LONG, [30]), (257, LONG, [20]), (258, SHORT, [8]), (259, SHORT, [code])])
    with open_movie(tmp_path / "a.tif") as movie:
        with pytest.raises(BadFile, match="frame 1 is corrupt"):
            movie.frame(1)
        np.testing.assert_array_equal(movie.frame(2), stack[2, ::-1])
        with pytest.raises(BadFile, match="frame 1"):
            load_stack(movie)


@pytest.mark.parametrize("code", [1, 5, 8, 32773])
def test_a_huge_size_over_little_data_takes_no_memory(tmp_path: Path, code: int) -> None:
    import tracemalloc

    encoders = {1: bytes, 5: imagecodecs.lzw_encode, 8: zlib.compress, 32773: imagecodecs.packbits_encode}
    assemble(tmp_path / "a.tif", [bytes(encoders[code](bytes(600)))], 100_000, 100_000, compression=code)
    with open_movie(tmp_path / "a.tif") as movie:
        tracemalloc.start()
        with pytest.raises(BadFile, match="strip holds"):
            movie.frame(0)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 2 << 20


def test_a_highly_compressed_flat_image_is_still_read(tmp_path: Path) -> None:
    image = np.ones((500, 500), np.float32)
    for compression in ("lzw", "zlib"):
        tifffile.imwrite(tmp_path / "a.tif", image, compression=compression)
        assert (tmp_path / "a.tif").stat().st_size * 4 < image.nbytes
        np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), image)


@pytest.mark.parametrize(
    ("resolution", "unit", "expected"),
    [((1e8 / 0.5,) * 2, 3, 0.5), ((2.54e8 / 1.5,) * 2, 2, 1.5), ((72, 72), 2, None), ((1, 1), 1, None)],
)
def test_the_pixel_size_is_taken_from_a_resolution_that_can_be_one(
    tmp_path: Path, resolution: tuple[float, float], unit: int, expected: float | None
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", counts((4, 4)), resolution=resolution, resolutionunit=unit)
    found = read_header(tmp_path / "a.tif").pixel_size_angstrom
    assert found == (None if expected is None else pytest.approx(expected, rel=1e-5))


@pytest.mark.parametrize("order", ["<", ">"])
def test_tables_of_many_strips_take_little_memory(tmp_path: Path, order: str) -> None:
    import tracemalloc

    with tifffile.TiffWriter(tmp_path / "a.tif", byteorder=order) as writer:
        for _ in range(3):
            writer.write(np.zeros((5_000, 1), "u1"), rowsperstrip=1, compression="lzw", contiguous=False)
    size = (tmp_path / "a.tif").stat().st_size
    tracemalloc.start()
    with open_movie(tmp_path / "a.tif") as movie:
        assert movie.header.frames == 3 and not movie.frame(2).any()
    assert tracemalloc.get_traced_memory()[1] < 4 * size
    tracemalloc.stop()
