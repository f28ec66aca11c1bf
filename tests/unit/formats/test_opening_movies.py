"""The doors: what a file is, is decided by its content; names of any kind; stacks; what is no file at all."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

import numpy as np
import pytest

import passerelle.formats as formats
from passerelle.acquisition.metadata import Metadata
from passerelle.core.errors import BadFile, BadInput, IncompleteFile, NotAllowed, NotFound, PasserelleError, UnsupportedFile
from passerelle.formats import (
    MOVIE_SUFFIXES,
    EerOptions,
    dm,
    load_stack,
    mrc_fei,
    open_movie,
    read_header,
    read_image,
    source,
    write_dm,
    write_eer_movie,
    write_mrc,
    write_mrc_stack,
    write_tiff_movie,
)
from passerelle.testing.mutation import mutations, survive

STACK = np.arange(3 * 8 * 10).reshape(3, 8, 10).astype(np.uint8)


def write_each(folder: Path) -> list[Path]:
    write_mrc_stack(folder / "a.mrc", STACK.astype(np.uint16), 1.0, "uint16")
    write_tiff_movie(folder / "a.tif", STACK, 1.0)
    write_dm(folder / "a.dm4", STACK, 1.0)
    write_eer_movie(folder / "a.eer", np.random.default_rng(0).uniform(0, 8, (3, 10, 2)), 8, 10)
    return [folder / f"a.{suffix}" for suffix in ("mrc", "tif", "dm4", "eer")]


def test_the_content_decides_what_a_file_is(tmp_path: Path) -> None:
    names = {"mrc": "MRC", "tif": "TIFF", "dm4": "DM", "eer": "EER"}
    for path in write_each(tmp_path):
        for suffix in (".mrc", ".tif", ".eer", ".dm4", ".xyz", ""):
            other = path.rename(tmp_path / f"other{suffix}")
            assert read_header(other).format == names[path.suffix[1:]]
            path = other.rename(path)


def test_every_reader_keeps_the_promises_of_a_movie_reader(tmp_path: Path) -> None:
    for path in write_each(tmp_path):
        with open_movie(path) as movie:
            assert movie.path == path
            header = movie.header
            frames = list(movie)
            assert len(frames) == header.frames
            for index, frame in enumerate(frames):
                assert frame.shape == (header.height, header.width) and frame.dtype == header.dtype
                assert frame.flags.c_contiguous and frame.dtype.isnative
                np.testing.assert_array_equal(movie.frame(index), frame)
            np.testing.assert_array_equal(load_stack(movie), np.array(frames))
            frames[0][:] = 0  # a frame belongs to the caller
            movie.close()
        movie.close()


def test_what_files_say_of_the_exposure_has_names_that_the_session_knows(tmp_path: Path) -> None:
    write_dm(tmp_path / "a.dm4", STACK, 1.0, tags={"Microscope Info.Voltage": 3e5, "Microscope Info.Cs(mm)": 2.7})
    frames = [np.ones((3, 2))] * 2
    write_eer_movie(
        tmp_path / "a.eer", frames, 8, 10, pixel_size_angstrom=0.7, dose_e_per_angstrom2=40, timestamp="2025-03-14T17:40:48+01:00"
    )
    for path in (tmp_path / "a.dm4", tmp_path / "a.eer"):
        values = read_header(path).values
        assert values and Metadata.model_validate(values).model_dump(exclude_none=True) == values
    for table in (mrc_fei._NUMBERS, mrc_fei._TEXTS, dm._TEXTS):
        assert set(table) <= set(Metadata.model_fields) or set(table.values()) <= set(Metadata.model_fields)


def test_parts_of_a_movie_are_loaded_and_others_refused(tmp_path: Path) -> None:
    write_tiff_movie(tmp_path / "a.tif", STACK, 1.0)
    with open_movie(tmp_path / "a.tif") as movie:
        np.testing.assert_array_equal(load_stack(movie, 1), STACK[1:])
        np.testing.assert_array_equal(load_stack(movie, 0, 1), STACK[:2])
        for first, last in ((-1, 2), (0, 3), (2, 1), (3, None)):
            with pytest.raises(BadInput, match=r"frames 0 … 2"):
                load_stack(movie, first, last)


NAMES = [
    "plain.mrc",
    "with space.mrc",
    "ünïcödé 日本.mrc",
    "new\nline.mrc",
    "-rf.mrc",
    "tab\t.mrc",
    "x" * 251 + ".mrc",
    "é" * 125 + ".mrc",
    os.fsdecode(b"\xff\xfe\x80.mrc"),
    "*?[.mrc",
    "'\".mrc",
]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_read_and_shown_safely(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write_mrc(path, np.ones((4, 5), np.float32), 1.0)
    assert read_image(path).sum() == 20
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(IncompleteFile) as caught:
        read_header(path)
    assert "\n" not in str(caught.value) and str(caught.value).encode()  # shows on any terminal


def test_what_is_not_there_or_no_file_is_said_so_and_never_hangs(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        read_header(tmp_path / "none.mrc")
    with pytest.raises(UnsupportedFile, match="not a regular file"):
        read_header(tmp_path)
    os.mkfifo(tmp_path / "pipe.mrc")
    with pytest.raises(UnsupportedFile, match="not a regular file"):
        read_header(tmp_path / "pipe.mrc")
    with pytest.raises(UnsupportedFile, match="not a regular file"):
        read_header(Path("/dev/zero"))
    (tmp_path / "loop.mrc").symlink_to(tmp_path / "loop.mrc")
    with pytest.raises(PasserelleError, match=r"loop\.mrc"):
        read_header(tmp_path / "loop.mrc")
    with pytest.raises(UnsupportedFile, match="no movie that passerelle knows"):
        (tmp_path / "x.docx").write_bytes(b"some text of no format")
        read_header(tmp_path / "x.docx")


def test_a_file_that_may_not_be_opened_is_said_so(tmp_path: Path) -> None:
    write_mrc(tmp_path / "a.mrc", np.ones((4, 5)), 1.0)
    (tmp_path / "a.mrc").chmod(0)
    root = os.geteuid() == 0
    if root:  # root may open everything
        os.seteuid(65534)
    try:
        with pytest.raises(NotAllowed, match="may not be opened"):
            read_header(tmp_path / "a.mrc")
    finally:
        if root:
            os.seteuid(0)


def open_beneath(folder: Path) -> list[str]:
    """Return which files in a folder this process has open: others come and go with threads and former tests."""
    found: list[str] = []
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            found.append(os.readlink(f"/proc/self/fd/{descriptor}"))
    return [name for name in found if name.startswith(str(folder))]


def test_no_file_descriptor_is_left_open(tmp_path: Path) -> None:
    paths = write_each(tmp_path)
    (tmp_path / "bad.tif").write_bytes(b"II*\0" + b"\xff" * 100)
    for path in paths:
        read_header(path)
        with open_movie(path) as movie:
            movie.frame(0)
    for _ in range(3):
        with pytest.raises(BadFile):
            read_header(tmp_path / "bad.tif")
    assert open_beneath(tmp_path) == []
    with open_movie(paths[0]):
        assert open_beneath(tmp_path)


def test_two_readers_of_one_file_do_not_disturb_each_other(tmp_path: Path) -> None:
    write_tiff_movie(tmp_path / "a.tif", STACK, 1.0)
    found: list[bool] = []

    def read() -> None:
        for _ in range(20):
            with open_movie(tmp_path / "a.tif") as movie:
                found.append(bool((load_stack(movie) == STACK).all()))

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 60


def test_a_movie_that_grows_is_incomplete_until_it_is_whole(tmp_path: Path) -> None:
    for path in write_each(tmp_path):
        whole = path.read_bytes()
        growing = path.with_name("growing" + path.suffix)
        with growing.open("wb") as stream:
            for start in range(0, len(whole) - 9, 301):
                stream.write(whole[start : start + 301][: len(whole) - 9 - start])
                stream.flush()
                with pytest.raises(IncompleteFile):
                    read_header(growing)
            stream.write(whole[len(whole) - 9 :])
        assert read_header(growing).frames == 3


def test_the_door_is_what_it_says() -> None:
    assert {".mrc", ".mrcs", ".tif", ".tiff", ".eer", ".dm3", ".dm4"} <= MOVIE_SUFFIXES
    for name in formats.__all__:
        assert hasattr(formats, name)


def test_a_few_hundred_damaged_files_are_survived(tmp_path: Path) -> None:
    """The twenty thousand are in tests/crash."""

    def read(path: Path) -> None:
        with open_movie(path) as movie:
            movie.frame(0)

    for path in write_each(tmp_path):
        read(path)
        base = path.read_bytes()
        for number, damaged in enumerate(mutations(base, 60, seed=11)):
            survive(read, damaged, path, (PasserelleError,), label=f"{path.name} {number} of seed 11")


@pytest.mark.parametrize("kind", ["mrc", "tiff", "eer"])
def test_several_threads_read_the_same_stack_as_one(tmp_path: Path, kind: str) -> None:
    rng = np.random.default_rng(2)
    path = tmp_path / f"a.{kind}"
    if kind == "eer":
        write_eer_movie(path, [rng.uniform(0, 64, (900, 2)) for _ in range(24)], 64, 64)
    else:
        stack = rng.integers(0, 9, (24, 50, 70)).astype(np.int8)
        write_tiff_movie(path, stack, 1.0) if kind == "tiff" else write_mrc_stack(path, stack, 1.0, "int8")
    with open_movie(path, eer=EerOptions(frames_per_fraction=2)) as movie:
        np.testing.assert_array_equal(load_stack(movie, 1, threads=4), load_stack(movie, 1))


def test_a_corrupt_frame_is_named_by_several_threads_too(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    write_tiff_movie(path, np.random.default_rng(2).integers(0, 99, (6, 200, 300)).astype(np.uint8), 1.0)
    with open_movie(path) as movie:
        page = movie._pages[3]  # type: ignore[attr-defined]
    with path.open("r+b") as stream:
        stream.seek(page.offsets[0])
        stream.write(b"\xff" * 200)
    with open_movie(path) as movie, pytest.raises(BadFile, match="frame 3 is corrupt"):
        load_stack(movie, threads=3)


def test_a_file_that_would_fill_the_page_cache_is_dropped_from_it_as_it_is_read(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "a.mrc"
    stack = np.random.default_rng(2).integers(0, 9, (8, 512, 512)).astype(np.int8)

    def cached() -> bool:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            return bool(os.preadv(descriptor, [bytearray(4096)], 1 << 20, os.RWF_NOWAIT))
        except BlockingIOError:
            return False
        except OSError as error:
            pytest.skip(f"this file system does not tell what it has cached: {error}")
        finally:
            os.close(descriptor)

    write_mrc_stack(path, stack, 1.0, "int8")
    with open_movie(path) as movie:
        load_stack(movie)
    assert cached()
    monkeypatch.setattr(source, "_LARGE_BYTES", 1 << 20)
    with open_movie(path) as movie:
        np.testing.assert_array_equal(load_stack(movie), stack)
    if cached() and not _drops(path):
        pytest.skip("this file system lives in memory: nothing can be dropped from it")
    assert not cached()


def _drops(path: Path) -> bool:
    with path.open("rb") as stream:
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        try:
            return not os.preadv(stream.fileno(), [bytearray(4096)], 0, os.RWF_NOWAIT)
        except BlockingIOError:
            return True
