"""Falcon 2: a movie of single files, MRC or raw."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from passerelle.core.errors import BadFile, BadInput, IncompleteFile, NotFound, UnsupportedFile
from passerelle.formats import RawLayout, load_stack, open_movie, read_header, write_mrc_stack


def write_frames(folder: Path, count: int = 5) -> tuple[list[Path], np.ndarray]:
    stack = np.random.default_rng(0).integers(0, 900, (count, 8, 10)).astype(np.int16)
    paths = [folder / f"FoilHole_1_frames_n{index}.mrc" for index in range(count)]
    for path, frame in zip(paths, stack, strict=True):
        write_mrc_stack(path, [frame], 1.3, "int16")
    return paths, stack


def test_single_frames_are_one_movie_in_the_given_order(tmp_path: Path) -> None:
    paths, stack = write_frames(tmp_path)
    with open_movie(paths[0], frames=paths[::-1]) as movie:
        assert (movie.header.frames, movie.header.pixel_size_angstrom, movie.header.format) == (5, 1.3, "MRC frames")
        np.testing.assert_array_equal(load_stack(movie), stack[::-1])
        np.testing.assert_array_equal(np.array(list(movie)), stack[::-1])
        np.testing.assert_array_equal(load_stack(movie, 1, 2), stack[::-1][1:3])


def test_raw_frames_of_a_known_camera_need_no_layout(tmp_path: Path) -> None:
    pixels = np.arange(1024 * 1024, dtype="<i4")
    (tmp_path / "a.raw").write_bytes(b"\0" * 49 + pixels.tobytes())
    with open_movie(tmp_path / "a.raw", frames=[tmp_path / "a.raw"] * 2) as movie:
        assert movie.header.dtype == np.float32
        np.testing.assert_array_equal(load_stack(movie)[1].ravel(), pixels.astype(np.float32))


@pytest.mark.parametrize("kind", ["uint8", "uint16", "int16", "int32", "float32"])
def test_raw_frames_of_another_camera_are_read_by_their_layout(tmp_path: Path, kind: str) -> None:
    pixels = np.arange(12).reshape(3, 4).astype(kind)
    (tmp_path / "a.raw").write_bytes(b"head" + pixels.tobytes())
    with open_movie(tmp_path / "a.raw", raw=RawLayout(3, 4, kind, 4)) as movie:  # type: ignore[arg-type]
        np.testing.assert_array_equal(movie.frame(0), pixels)


def test_a_raw_file_of_no_known_size_is_not_guessed(tmp_path: Path) -> None:
    (tmp_path / "a.raw").write_bytes(b"\0" * 1000)
    with pytest.raises(IncompleteFile, match="no known camera"):
        read_header(tmp_path / "a.raw")
    (tmp_path / "a.raw").write_bytes(b"")
    with pytest.raises(IncompleteFile, match="empty"):
        read_header(tmp_path / "a.raw")
    with (tmp_path / "a.raw").open("wb") as stream:
        stream.truncate(1 << 30)
    with pytest.raises(UnsupportedFile, match="no known camera"):
        read_header(tmp_path / "a.raw")


def test_a_raw_file_shorter_than_its_layout_is_incomplete(tmp_path: Path) -> None:
    (tmp_path / "a.raw").write_bytes(b"\0" * 11)
    with pytest.raises(IncompleteFile):
        open_movie(tmp_path / "a.raw", raw=RawLayout(3, 4, "uint8"))


def test_a_frame_of_another_size_is_named(tmp_path: Path) -> None:
    paths, _ = write_frames(tmp_path)
    write_mrc_stack(paths[3], [np.zeros((8, 11), np.int16)], 1.3, "int16")
    with pytest.raises(BadFile, match=r"n3\.mrc.*11 × 8 .* 10 × 8"):
        open_movie(paths[0], frames=paths)


def test_a_stack_among_single_frames_is_refused(tmp_path: Path) -> None:
    paths, stack = write_frames(tmp_path)
    write_mrc_stack(paths[2], stack, 1.3, "int16")
    with pytest.raises(BadFile, match="one frame a file"):
        open_movie(paths[0], frames=paths)


def test_a_frame_that_still_grows_or_is_missing_is_named(tmp_path: Path) -> None:
    paths, _ = write_frames(tmp_path)
    paths[4].write_bytes(paths[4].read_bytes()[:-1])
    with pytest.raises(IncompleteFile, match=r"n4\.mrc"):
        open_movie(paths[0], frames=paths)
    paths[4].unlink()
    with pytest.raises(NotFound, match=r"n4\.mrc"):
        open_movie(paths[0], frames=paths)


def test_a_frame_replaced_after_opening_is_noticed(tmp_path: Path) -> None:
    paths, _ = write_frames(tmp_path)
    with open_movie(paths[0], frames=paths) as movie:
        movie.frame(4)
        write_mrc_stack(paths[1], [np.zeros((4, 4), np.int16)], 1.3, "int16")
        with pytest.raises(BadFile, match=r"n1\.mrc"):
            movie.frame(1)
        with pytest.raises(BadInput, match=r"frames 0 … 4"):
            movie.frame(5)
