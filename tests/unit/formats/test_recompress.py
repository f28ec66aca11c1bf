"""Raw MRC movies become TIFF without losing a number or a word of their header, or nothing changes."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from blake3 import blake3

from passerelle.core.errors import BadFile, Busy, Conflict, IncompleteFile, StorageError, UnsupportedFile
from passerelle.formats import (
    load_stack,
    open_movie,
    read_header,
    recompress_movie,
    target_of,
    tiff_write,
    write_mrc_stack,
)
from passerelle.formats.tiff_pages import MRC_HEADER

RNG = np.random.default_rng(0)
COUNTS = RNG.poisson(1.2, (5, 61, 74))


def movie(folder: Path, kind: str) -> Path:
    path = folder / "a.mrc"
    if kind == "4-bit":
        write_mrc_stack(path, COUNTS.astype(np.int8), 1.234567, "int8")
        raw = bytearray(path.read_bytes()[:1024])
        struct.pack_into("<i", raw, 12, 101)
        packed = COUNTS[..., ::2] | COUNTS[..., 1::2] << 4
        path.write_bytes(bytes(raw) + packed.astype(np.uint8).tobytes())
    elif kind == "unsigned bytes":
        write_mrc_stack(path, COUNTS.astype(np.int8), 1.234567, "int8")
        raw = bytearray(path.read_bytes())
        struct.pack_into("<2f", raw, 76, 0, 255)
        raw[1024] = 255
        path.write_bytes(bytes(raw))
    elif kind == "negative bytes":
        write_mrc_stack(path, (COUNTS - 2).astype(np.int8), 1.234567, "int8")
    else:
        write_mrc_stack(path, COUNTS.astype(kind), 1.234567, kind)  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize("method", ["lzw", "deflate"])
@pytest.mark.parametrize(
    ("kind", "stored"),
    [
        ("4-bit", "uint8"),
        ("unsigned bytes", "uint8"),
        ("int8", "uint8"),
        ("negative bytes", "int16"),  # RELION reads no signed bytes from TIFF
        ("int16", "int16"),
        ("uint16", "uint16"),
        ("float32", "float32"),
    ],
)
def test_the_copy_holds_the_same_numbers_for_us_and_for_others(tmp_path: Path, kind: str, stored: str, method: str) -> None:
    path = movie(tmp_path, kind)
    with open_movie(path) as original:
        expected, header = load_stack(original), original.header
    done = recompress_movie(path, method=method)  # type: ignore[arg-type]
    assert done.written and done.target == tmp_path / "a.tif" and path.exists()
    with open_movie(done.target) as copy:
        np.testing.assert_array_equal(load_stack(copy), expected)
        assert copy.header.pixel_size_angstrom == header.pixel_size_angstrom
    peer = tifffile.imread(done.target)
    assert peer.dtype == stored
    np.testing.assert_array_equal(peer[:, ::-1], expected)


def test_the_header_is_kept_byte_by_byte_and_says_what_it_said(tmp_path: Path) -> None:
    path = movie(tmp_path, "int16")
    content = bytearray(path.read_bytes())
    extended = os.urandom(2000)
    struct.pack_into("<i", content, 92, len(extended))
    content[104:108] = b"SERI"
    struct.pack_into("<i", content, 220, 2)
    content[304:384] = b"SerialEM: Digitized on Krios".ljust(80)
    content[224:304] = b"SerialEM: Digitized on Krios".ljust(80)
    path.write_bytes(bytes(content[:1024]) + extended + bytes(content[1024:]))
    recompress_movie(path)
    assert read_header(target_of(path)).values == read_header(path).values == {"program": "SerialEM"}
    with tifffile.TiffFile(target_of(path)) as peer:
        assert peer.pages[0].tags[MRC_HEADER].value == bytes(content[:1024]) + extended
        assert blake3(path.read_bytes()).hexdigest() in peer.pages[0].description


def test_a_second_run_proves_the_copy_and_does_not_write_it_again(tmp_path: Path) -> None:
    path = movie(tmp_path, "int8")
    first = recompress_movie(path)
    stamp = first.target.stat().st_mtime_ns
    again = recompress_movie(path)
    assert not again.written and first.target.stat().st_mtime_ns == stamp


def test_another_file_of_that_name_is_left_alone(tmp_path: Path) -> None:
    path = movie(tmp_path, "int8")
    tiff_write.write_tiff_movie(tmp_path / "a.tif", COUNTS.astype(np.uint8), 1.0)  # the same frames, but not made from it
    content = (tmp_path / "a.tif").read_bytes()
    with pytest.raises(Conflict, match=r"no copy of a\.mrc"):
        recompress_movie(path)
    assert (tmp_path / "a.tif").read_bytes() == content


def test_a_copy_that_was_damaged_is_refused(tmp_path: Path) -> None:
    path = movie(tmp_path, "int16")
    target = recompress_movie(path).target
    content = bytearray(target.read_bytes())
    content[len(content) // 3] ^= 0x55
    target.write_bytes(content)
    with pytest.raises(Conflict):
        recompress_movie(path)


@pytest.mark.parametrize("method", ["lzw", "deflate"])
def test_a_codec_that_errs_is_found_out_and_leaves_nothing(tmp_path: Path, monkeypatch, method: str) -> None:
    path = movie(tmp_path, "int8")

    def wrong(rows):
        changed = np.array(rows)
        changed[-1, -1] ^= 1
        encode = imagecodecs.lzw_encode if method == "lzw" else imagecodecs.deflate_encode
        return bytes(encode(changed.tobytes()))

    monkeypatch.setitem(tiff_write._ENCODERS, method, wrong)
    with pytest.raises(StorageError, match="differs from its original"):
        recompress_movie(path, method=method)  # type: ignore[arg-type]
    assert os.listdir(tmp_path) == ["a.mrc"]


def test_a_movie_that_changes_meanwhile_is_not_recompressed(tmp_path: Path) -> None:
    path = movie(tmp_path, "int8")
    with pytest.raises(IncompleteFile, match="changed while"):
        recompress_movie(path, told=lambda frames: os.utime(path, ns=(0, frames)))
    assert os.listdir(tmp_path) == ["a.mrc"]


@pytest.mark.parametrize(
    ("content", "error"),
    [(b"", BadFile), (b"II*\0" + bytes(2000), UnsupportedFile), (bytes(2000), UnsupportedFile)],
)
def test_what_is_no_movie_in_mrc_is_refused(tmp_path: Path, content: bytes, error: type[Exception]) -> None:
    path = tmp_path / "a.mrc"
    path.write_bytes(content)
    with pytest.raises(error):
        recompress_movie(path)
    assert os.listdir(tmp_path) == ["a.mrc"]


def test_single_images_and_truncated_movies_are_refused(tmp_path: Path) -> None:
    path = movie(tmp_path, "int8")
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(IncompleteFile):
        recompress_movie(path)
    write_mrc_stack(tmp_path / "one.mrc", COUNTS[:1].astype(np.int8), 1.0, "int8")
    with pytest.raises(UnsupportedFile, match="single image"):
        recompress_movie(tmp_path / "one.mrc")


def test_two_at_a_time_do_not_write_one_copy(tmp_path: Path) -> None:
    path = movie(tmp_path, "int8")
    seen: list[str] = []

    def another(frames: int) -> None:
        if not seen:
            with pytest.raises(Busy):
                recompress_movie(path)
            seen.append("busy")

    recompress_movie(path, told=another)
    assert seen and sorted(os.listdir(tmp_path)) == ["a.mrc", "a.tif"]


@pytest.mark.parametrize(
    "words",
    ["[1]", "{}", '{"passerelle_recompressed": 3}', "{" * 5000, '{"passerelle_recompressed": {"pixel_size_angstrom": -1}}'],
)
def test_what_a_description_says_is_believed_only_where_it_makes_sense(tmp_path: Path, words: str) -> None:
    path = tmp_path / "a.tif"
    mark = (MRC_HEADER, 7, 4, b"abcd", True)
    tifffile.imwrite(path, COUNTS[0].astype(np.uint8), description=words, metadata=None, extratags=[mark])
    header = read_header(path)
    assert not header.values and header.pixel_size_angstrom is None
