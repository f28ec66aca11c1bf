"""Images of HDF5 detectors and of mar345: the same numbers as other libraries read; nothing is believed that a header says."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import pytest

from passerelle.core.errors import BadFile, IncompleteFile, UnsupportedFile
from passerelle.formats.look import look
from passerelle.formats.source import Source
from passerelle.testing.pictures import spots, write_mar345


def first_image(path: Path) -> np.ndarray:
    source = Source(path)
    try:
        return next(look(source).planes()).pixels
    finally:
        source.close()


@pytest.mark.parametrize("chunks", [(1, 260, 300), (2, 33, 50)])
@pytest.mark.parametrize(
    "how",
    [
        hdf5plugin.Bitshuffle(cname="lz4"),
        hdf5plugin.Bitshuffle(cname="none"),
        hdf5plugin.LZ4(),
        {"compression": "gzip", "shuffle": True, "fletcher32": True},
        {},
    ],
    ids=["bitshuffle-lz4", "bitshuffle", "lz4", "gzip", "plain"],
)
def test_images_come_as_the_library_reads_them(how: Any, chunks: tuple[int, int, int], tmp_path: Path) -> None:
    images = np.stack([np.clip(spots(), 0, None).astype(np.uint32) + number for number in range(3)])
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("entry/data/data", data=images, chunks=chunks, **how)
    np.testing.assert_array_equal(first_image(tmp_path / "a.h5"), images[0])


def test_masked_pixels_count_nothing(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["entry/data/data"] = np.array([[[65535, 3], [65534, 0]]], np.uint16)
    assert first_image(tmp_path / "a.h5").tolist() == [[0, 3], [65534, 0]]


def _link(file: h5py.File) -> None:
    file["entry/data/data_000001"] = h5py.ExternalLink("other.h5", "/entry/data/data")


def _linked_folder(file: h5py.File) -> None:
    file["entry/data"] = h5py.ExternalLink("other.h5", "/entry/data")


def _link_behind_a_soft_one(file: h5py.File) -> None:
    file["outside"] = h5py.ExternalLink("other.h5", "/entry")
    file["entry/data/data"] = h5py.SoftLink("/outside/data/data")


def _virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((1, 4, 4), "u4")
    layout[0] = h5py.VirtualSource("other.h5", "entry/data/data", (4, 4))
    file.create_virtual_dataset("entry/data/data", layout)


def _beside(file: h5py.File) -> None:
    file.create_dataset("entry/data/data", (4, 4), "u4", external=[("other.raw", 0, 64)])


@pytest.mark.parametrize("write", [_link, _linked_folder, _link_behind_a_soft_one, _virtual, _beside])
def test_images_in_other_files_are_not_opened(
    write: Callable[[h5py.File], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where the library would find them
    (tmp_path / "other.raw").write_bytes(bytes(64))
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["entry/data/data"] = np.ones((4, 4), np.uint32)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        write(file)
    with pytest.raises(UnsupportedFile, match="in other files, which are not opened"):
        first_image(tmp_path / "a.h5")


def test_links_that_lead_round_are_left(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["entry/data"] = h5py.SoftLink("/entry/data")
    with pytest.raises(BadFile, match="circle"):
        first_image(tmp_path / "a.h5")


@pytest.mark.parametrize(("shape", "chunks"), [((1 << 31, 1 << 31), (1024, 1024)), ((1 << 12, 64, 64), (1 << 12, 256, 256))])
def test_sizes_that_no_file_can_hold_are_refused(shape: tuple[int, ...], chunks: tuple[int, ...], tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        maximum = None if len(shape) == 2 else (None, None, None)
        file.create_dataset("entry/data/data", shape, "u1", chunks=chunks, maxshape=maximum, compression="gzip")
    with pytest.raises(UnsupportedFile, match="too large for a preview"):
        first_image(tmp_path / "a.h5")


def test_filters_that_are_not_known_are_named(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("entry/data/data", data=np.ones((64, 64), np.uint8), chunks=(64, 64), **hdf5plugin.Zstd())
    with pytest.raises(UnsupportedFile, match="filter 32015"):
        first_image(tmp_path / "a.h5")


@pytest.mark.parametrize(
    ("how", "stored"),
    [
        (hdf5plugin.LZ4(), struct.pack(">QI", 1 << 40, 1 << 30) + bytes(40)),
        (hdf5plugin.Bitshuffle(cname="lz4"), struct.pack(">QII", 4096, 4096, 1 << 31) + bytes(40)),
        (hdf5plugin.Bitshuffle(cname="lz4"), b"short"),
        ({"compression": "gzip"}, zlib.compress(bytes(1 << 20))),
    ],
    ids=["size", "block", "headless", "inflating"],
)
def test_chunks_that_say_more_than_they_hold_are_corrupt(how: Any, stored: bytes, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        made = file.create_dataset("entry/data/data", (64, 64), "u1", chunks=(64, 64), **how)
        made.id.write_direct_chunk((0, 0), stored)
    with pytest.raises(BadFile, match="corrupt"):
        first_image(tmp_path / "a.h5")


def test_a_mar345_comes_as_it_was_written_strong_pixels_and_all(tmp_path: Path) -> None:
    image = np.clip(spots()[:256, :256], 0, 65535).astype(np.uint32)
    image[5, 7], image[100, 30], image[255, 255] = 90_000, 70_001, 250_000
    write_mar345(tmp_path / "a.mar2300", image)
    np.testing.assert_array_equal(first_image(tmp_path / "a.mar2300"), image)


def test_a_mar345_that_was_cut_short_or_says_it_is_vast_is_refused(tmp_path: Path) -> None:
    write_mar345(tmp_path / "a.mar2300", spots()[:256, :256].clip(0, 60000))
    content = (tmp_path / "a.mar2300").read_bytes()
    (tmp_path / "cut.mar2300").write_bytes(content[:-2000])
    with pytest.raises(IncompleteFile):
        first_image(tmp_path / "cut.mar2300")
    (tmp_path / "vast.mar2300").write_bytes(content.replace(b"X: 0256, Y: 0256", b"X: 99999, Y: 99999"))
    with pytest.raises(UnsupportedFile, match="too large"):
        first_image(tmp_path / "vast.mar2300")
    strong = content[:8] + struct.pack("<i", 1 << 30) + content[12:]
    (tmp_path / "strong.mar2300").write_bytes(strong)
    with pytest.raises(IncompleteFile):
        first_image(tmp_path / "strong.mar2300")
