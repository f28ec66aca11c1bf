"""EER: rendering, upsampling, fractions by number and dose, metadata, corrupt raw frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from passerelle.core.errors import BadFile, BadInput, IncompleteFile, UnsupportedFile
from passerelle.formats import EerOptions, load_stack, open_movie, read_header, write_eer_movie
from passerelle.formats.eer_write import encode_events
from passerelle.formats.tiff_assemble import LONG, SHORT, UNDEFINED, TiffAssembly

HEIGHT, WIDTH = 48, 64


def events(count: int, seed: int = 0, density: float = 0.05) -> list[np.ndarray]:
    """Places (y, x) of raw frames, no two in one pixel."""
    random = np.random.default_rng(seed)
    frames: list[np.ndarray] = []
    for _ in range(count):
        pixels = random.choice(HEIGHT * WIDTH, int(HEIGHT * WIDTH * density), replace=False)
        frames.append(np.stack([pixels // WIDTH, pixels % WIDTH], 1) + random.uniform(0, 1, (pixels.size, 2)))
    return frames


def rendered(frames: list[np.ndarray], zoom: int) -> np.ndarray:
    """The truth: counts on a grid `zoom` times as fine as the pixels."""
    image = np.zeros((HEIGHT * zoom, WIDTH * zoom), np.int64)
    for places in frames:
        fine = np.floor(places * zoom).astype(int)
        np.add.at(image, (fine[:, 0], fine[:, 1]), 1)
    return image


@pytest.mark.parametrize(
    ("compression", "upsampling"), [(65000, 1), (65000, 4), (65001, 1), (65001, 2), (65001, 4), (65002, 1), (65002, 2)]
)
def test_events_land_where_they_were_put_at_any_upsampling(tmp_path: Path, compression: int, upsampling: int) -> None:
    frames = events(4, density=0.3 if compression == 65000 else 0.05)
    assert write_eer_movie(tmp_path / "a.eer", frames, HEIGHT, WIDTH, compression=compression) == sum(map(len, frames))  # type: ignore[arg-type]
    with open_movie(tmp_path / "a.eer", eer=EerOptions(upsampling, frames_per_fraction=2)) as movie:
        np.testing.assert_array_equal(movie.frame(0), rendered(frames[:2], upsampling))
        np.testing.assert_array_equal(movie.frame(1), rendered(frames[2:], upsampling))


@pytest.mark.parametrize("compression", [65000, 65001, 65002])
def test_empty_full_and_nearly_empty_frames_are_coded(tmp_path: Path, compression: int) -> None:
    everywhere = np.stack(np.mgrid[:HEIGHT, :WIDTH], -1).reshape(-1, 2) + 0.5
    frames = [np.zeros((0, 2)), everywhere, everywhere[:1], everywhere[-1:], everywhere[[127, 255, 254, 1000]]]
    write_eer_movie(tmp_path / "a.eer", frames, HEIGHT, WIDTH, compression=compression)  # type: ignore[arg-type]
    with open_movie(tmp_path / "a.eer", eer=EerOptions(frames_per_fraction=1)) as movie:
        for index, places in enumerate(frames):
            np.testing.assert_array_equal(movie.frame(index), rendered([places], 1))


def test_of_several_events_in_one_pixel_one_is_kept_and_those_outside_are_dropped() -> None:
    places = np.array([[1.1, 1.1], [1.9, 1.9], [-0.1, 3], [3, WIDTH + 0.0], [2.5, 2.5]])
    assert encode_events(places, HEIGHT, WIDTH)[1] == 2


def test_fractions_by_number_leave_out_a_last_group_that_is_not_full(tmp_path: Path) -> None:
    write_eer_movie(tmp_path / "a.eer", events(23), HEIGHT, WIDTH)
    with open_movie(tmp_path / "a.eer", eer=EerOptions(frames_per_fraction=5)) as movie:
        assert movie.header.frames == 4
    assert read_header(tmp_path / "a.eer", eer=EerOptions(frames_per_fraction=1)).frames == 23


def test_fractions_by_dose_use_what_the_file_or_the_caller_says_of_the_dose(tmp_path: Path) -> None:
    path = tmp_path / "a.eer"
    write_eer_movie(path, events(80, density=0.01), HEIGHT, WIDTH, pixel_size_angstrom=0.7, dose_e_per_angstrom2=40)
    header = read_header(path, eer=EerOptions(dose_per_fraction_e_per_angstrom2=1.0))
    assert header.frames == 40
    assert header.values is not None and header.values["dose_per_frame_e_per_angstrom2"] == pytest.approx(1.0)
    options = EerOptions(dose_per_fraction_e_per_angstrom2=1.0, exposure_dose_e_per_angstrom2=20)
    assert read_header(path, eer=options).frames == 20


def test_without_options_there_are_at_most_40_fractions(tmp_path: Path) -> None:
    for count, expected in ((1, 1), (40, 40), (41, 20), (100, 33)):
        write_eer_movie(tmp_path / "a.eer", events(count, density=0.01), HEIGHT, WIDTH)
        assert read_header(tmp_path / "a.eer").frames == expected


def test_fractions_of_more_than_255_raw_frames_do_not_overflow(tmp_path: Path) -> None:
    one = [np.array([[5.5, 6.5]])]
    write_eer_movie(tmp_path / "a.eer", one * 300, HEIGHT, WIDTH)
    with open_movie(tmp_path / "a.eer", eer=EerOptions(frames_per_fraction=300)) as movie:
        assert movie.header.dtype == np.uint16 and movie.frame(0)[5, 6] == 300
    with open_movie(tmp_path / "a.eer", eer=EerOptions(frames_per_fraction=255)) as movie:
        assert movie.header.dtype == np.uint8 and movie.frame(0)[5, 6] == 255


@pytest.mark.parametrize("options", [EerOptions(3), EerOptions(frames_per_fraction=0), EerOptions(frames_per_fraction=99)])
def test_options_that_cannot_be_are_refused(tmp_path: Path, options: EerOptions) -> None:
    write_eer_movie(tmp_path / "a.eer", events(3), HEIGHT, WIDTH)
    with pytest.raises(BadInput):
        open_movie(tmp_path / "a.eer", eer=options)


def test_upsampling_finer_than_the_events_is_unsupported(tmp_path: Path) -> None:
    write_eer_movie(tmp_path / "a.eer", events(3), HEIGHT, WIDTH, compression=65002)
    with pytest.raises(UnsupportedFile, match="too coarse"):
        open_movie(tmp_path / "a.eer", eer=EerOptions(4))


def test_the_camera_s_own_words_are_read_in_our_units(tmp_path: Path) -> None:
    write_eer_movie(
        tmp_path / "a.eer", events(8), HEIGHT, WIDTH, pixel_size_angstrom=0.73, dose_e_per_angstrom2=50.0, exposure_seconds=4.5,
        timestamp="2025-03-14T17:40:48+01:00",
    )  # fmt: skip
    header = read_header(tmp_path / "a.eer", eer=EerOptions(2, frames_per_fraction=4))
    values = header.values or {}
    assert header.pixel_size_angstrom == pytest.approx(0.365)  # of the yielded pixels
    assert values["dose_e_per_angstrom2"] == pytest.approx(50)
    assert values["dose_per_frame_e_per_angstrom2"] == pytest.approx(25)
    assert (values["camera"], values["exposure_seconds"], values["acquired_at"]) == ("Falcon 4i", 4.5, 1741970448.0)


HOSTILE_XML = [
    b"<metadata><item name='exposureTime'>",
    b"<!DOCTYPE m [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;&a;'>]><metadata><item name='commercialName'>&b;</item></metadata>",
    b"<?xml version='1.0' encoding='no-such-thing'?><metadata/>",
    b"<metadata><item name='exposureTime'>nan</item><item name='totalDose'>1e999</item></metadata>",
    b"<a>" * 20_000,
    b"<metadata>\xff\xfe</metadata>",
    b"<metadata><item name='timestamp'>99999-99-99</item></metadata>",
    b"<metadata><item name='timestamp'>0001-01-01T00:00:00+23:00</item></metadata>",
]


@pytest.mark.parametrize("xml", HOSTILE_XML)
def test_hostile_metadata_say_nothing_and_the_movie_is_read(tmp_path: Path, xml: bytes) -> None:
    strip, count = encode_events(events(1)[0], HEIGHT, WIDTH)
    with (tmp_path / "a.eer").open("wb") as stream:
        tags = [(256, LONG, [WIDTH]), (257, LONG, [HEIGHT]), (259, SHORT, [65001]), (65001, UNDEFINED, xml)]
        TiffAssembly(stream, big=True).add_page([strip], tags)
    with open_movie(tmp_path / "a.eer") as movie:
        assert not set(movie.header.values or {}) - {"acquired_at"}
        assert movie.frame(0).sum() == count


def write_strips(path: Path, strips: list[bytes], compression: int = 65001, **extra: int) -> None:
    with path.open("wb") as stream:
        assembly = TiffAssembly(stream, big=True)
        for strip in strips:
            tags = [(256, LONG, [WIDTH]), (257, LONG, [HEIGHT]), (258, SHORT, [1]), (259, SHORT, [compression])]
            tags += [(int(code.removeprefix("tag_")), SHORT, [value]) for code, value in extra.items()]
            assembly.add_page([strip], tags)


@pytest.mark.parametrize("damage", ["cut", "ones", "zeros", "empty", "shifted"])
def test_a_corrupt_raw_frame_is_named_and_the_others_are_read(tmp_path: Path, damage: str) -> None:
    frames = events(6)
    strips = [encode_events(places, HEIGHT, WIDTH)[0] for places in frames]
    size = len(strips[3])
    strips[3] = {
        "cut": strips[3][: size // 2],
        "ones": b"\xff" * size,
        "zeros": bytes(size),
        "empty": b"",
        "shifted": strips[3][1:] + b"\0",
    }[damage]
    write_strips(tmp_path / "a.eer", strips)
    with open_movie(tmp_path / "a.eer", eer=EerOptions(frames_per_fraction=2)) as movie:
        with pytest.raises(BadFile, match=r"raw frame 3 \(in frame 1\) is corrupt"):
            movie.frame(1)
        np.testing.assert_array_equal(movie.frame(0), rendered(frames[:2], 1))
        np.testing.assert_array_equal(movie.frame(2), rendered(frames[4:], 1))
        with pytest.raises(BadFile, match="raw frame 3"):
            load_stack(movie)


def test_events_in_several_strips_are_one_stream(tmp_path: Path) -> None:
    strip, count = encode_events(events(1)[0], HEIGHT, WIDTH)
    with (tmp_path / "a.eer").open("wb") as stream:
        tags = [(256, LONG, [WIDTH]), (257, LONG, [HEIGHT]), (259, SHORT, [65001]), (278, LONG, [HEIGHT // 2])]
        TiffAssembly(stream, big=True).add_page([strip[:51], strip[51:]], tags)
    with open_movie(tmp_path / "a.eer") as movie:
        assert movie.frame(0).sum() == count


def test_a_summed_image_before_the_events_is_passed_over(tmp_path: Path) -> None:
    strip, count = encode_events(events(1)[0], HEIGHT, WIDTH)
    with (tmp_path / "a.eer").open("wb") as stream:
        assembly = TiffAssembly(stream, big=True)
        size = [(256, LONG, [WIDTH]), (257, LONG, [HEIGHT])]
        assembly.add_page([bytes(WIDTH * HEIGHT)], [*size, (258, SHORT, [8]), (259, SHORT, [1])])
        assembly.add_page([strip], [*size, (259, SHORT, [65001])])
    with open_movie(tmp_path / "a.eer") as movie:
        assert movie.header.frames == 1 and movie.frame(0).sum() == count


def test_a_coding_that_is_not_known_is_unsupported(tmp_path: Path) -> None:
    write_strips(tmp_path / "a.eer", [b"\0\0\0\0"], 65002, tag_65007=15, tag_65008=4)
    with pytest.raises(UnsupportedFile, match="codes its events"):
        read_header(tmp_path / "a.eer")


def test_a_huge_frame_over_few_events_takes_no_memory(tmp_path: Path) -> None:
    import tracemalloc

    with (tmp_path / "a.eer").open("wb") as stream:
        tags = [(256, LONG, [131072]), (257, LONG, [131072]), (259, SHORT, [65001])]
        TiffAssembly(stream, big=True).add_page([b"\1" * 64], tags)
    with open_movie(tmp_path / "a.eer") as movie:
        tracemalloc.start()
        with pytest.raises(BadFile, match="raw frame 0"):
            movie.frame(0)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
        tracemalloc.stop()


def test_a_movie_that_still_grows_is_incomplete(tmp_path: Path) -> None:
    write_eer_movie(tmp_path / "whole.eer", events(3), HEIGHT, WIDTH)
    whole = (tmp_path / "whole.eer").read_bytes()
    for length in range(0, len(whole), 97):
        (tmp_path / "a.eer").write_bytes(whole[:length])
        with pytest.raises(IncompleteFile):
            read_header(tmp_path / "a.eer")
