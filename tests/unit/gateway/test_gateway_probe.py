"""What a file's own bytes say of its wholeness."""

from __future__ import annotations

import os
import random
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
import tifffile

from passerelle.acquisition.program import Place, Role
from passerelle.gateway.mounts import mount_kind
from passerelle.gateway.probe import probe
from passerelle.gateway.settle import Broken, Finding, Incomplete, Unproven, Whole
from passerelle.testing.writers import mrc_bytes

MOVIE = Place(PurePosixPath("s"), Role.MOVIE, movie="m")
OTHER = Place(PurePosixPath("s"), Role.MOVIE_METADATA, movie="m")
FRAME_BYTES = 64 * 64


def look(path: Path, place: Place = MOVIE, *, trust_holes: bool = True) -> Finding:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return probe(path, descriptor, path.stat().st_size, place, trust_holes=trust_holes)
    finally:
        os.close(descriptor)


@pytest.fixture
def content() -> bytes:
    return mrc_bytes(10, random.Random(1), side=64)


def test_a_whole_stack_is_whole_and_counts_its_frames(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.mrc"
    path.write_bytes(content)
    finding = look(path)
    assert isinstance(finding, Whole)
    assert finding.header is not None
    assert (finding.header.frames, finding.growable, finding.doubt) == (10, False, "")


@pytest.mark.parametrize("length", [0, 1, 500, 1023, 1024, 1025, 20_000, 41_983])
def test_a_truncated_stack_is_incomplete(tmp_path: Path, content: bytes, length: int) -> None:
    path = tmp_path / "a.mrc"
    path.write_bytes(content[:length])
    assert isinstance(look(path), Incomplete)


@pytest.mark.parametrize("filled", [1024, 3000, 1024 + FRAME_BYTES, 20_000, 40_000, 41_500])
@pytest.mark.parametrize("trust_holes", [True, False])
def test_a_stack_preallocated_and_not_filled_is_never_plainly_whole(
    tmp_path: Path, content: bytes, filled: int, trust_holes: bool
) -> None:
    path = tmp_path / "a.mrc"
    with path.open("wb") as stream:
        stream.write(content[:filled])
        stream.truncate(len(content))
    finding = look(path, trust_holes=trust_holes)
    assert isinstance(finding, Incomplete) or (isinstance(finding, Whole) and finding.doubt)


@pytest.mark.parametrize("filled", [3000, 20_000, 40_000, 41_500])
def test_a_frame_filled_in_part_is_incomplete_even_with_zeros_that_somebody_wrote(
    tmp_path: Path, content: bytes, filled: int
) -> None:
    path = tmp_path / "a.mrc"
    path.write_bytes(content[:filled] + bytes(len(content) - filled))
    assert isinstance(look(path), Incomplete)


@pytest.mark.parametrize("frames", [12, 200])
def test_a_file_killed_at_any_byte_after_it_got_its_size_is_never_plainly_whole(tmp_path: Path, frames: int) -> None:
    path, content = tmp_path / "a.mrc", mrc_bytes(frames, random.Random(2), side=32)
    rng = random.Random(3)
    doubtful = 0
    for _ in range(100):
        cut = rng.randrange(1024, len(content) - 100)
        path.write_bytes(content[:cut] + bytes(len(content) - cut))
        finding = look(path)
        assert isinstance(finding, Incomplete) or (isinstance(finding, Whole) and finding.doubt), cut
        doubtful += isinstance(finding, Whole)
    assert doubtful <= 0.15 * 100  # cut in the last 64 bytes of a frame of 1,024: in a real frame, one in 100,000


def test_empty_frames_that_somebody_wrote_are_a_doubt_not_a_verdict(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.mrc"
    path.write_bytes(content[: 1024 + 7 * FRAME_BYTES] + bytes(3 * FRAME_BYTES))
    finding = look(path)
    assert isinstance(finding, Whole)
    assert finding.doubt == "About 3 of 10 frames are empty."


def test_an_opaque_part_of_the_picture_is_no_doubt(tmp_path: Path) -> None:
    frames = np.random.default_rng(1).integers(1, 100, (10, 64, 64), np.uint8)
    frames[:, :20] = 0
    frames[:, -20:] = 0
    path = tmp_path / "a.mrc"
    path.write_bytes(mrc_bytes(10, random.Random(1), side=64)[:1024] + frames.tobytes())
    finding = look(path)
    assert isinstance(finding, Whole)
    assert not finding.doubt


def test_sparse_counts_are_no_doubt(tmp_path: Path) -> None:
    frames = (np.random.default_rng(1).random((10, 64, 64)) < 0.02).astype(np.uint8)
    path = tmp_path / "a.mrc"
    path.write_bytes(mrc_bytes(10, random.Random(1), side=64)[:1024] + frames.tobytes())
    finding = look(path)
    assert isinstance(finding, Whole)
    assert not finding.doubt


def test_a_header_not_yet_written_is_broken_for_now(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.mrc"
    path.write_bytes(bytes(1024) + content[1024:])
    assert isinstance(look(path), Broken | Incomplete)


def test_a_tiff_movie_is_growable_and_counts_its_pages(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    for page in range(3):
        tifffile.imwrite(path, np.full((16, 16), page + 1, np.uint8), append=page > 0, metadata=None)
        finding = look(path)
        assert isinstance(finding, Whole)
        assert finding.header is not None
        assert (finding.header.frames, finding.growable) == (page + 1, True)


def test_a_truncated_tiff_is_not_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, np.random.default_rng(0).integers(1, 200, (3, 64, 64), np.uint8), metadata=None, photometric="minisblack"
    )
    content = path.read_bytes()
    for length in (4, 100, len(content) // 2, len(content) - 100):
        path.write_bytes(content[:length])
        assert isinstance(look(path), Incomplete | Broken), length


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("<?xml version='1.0'?><a><b/></a>\n", True),
        ("\ufeff<?xml version='1.0'?>\n<!-- x --><a:b xmlns:a='u'><c/></a:b  >", True),
        ("<a/>", True),
        ("<a><b></b>", False),
        ("<?xml version='1.0'?>", False),
        ("<a><a></a>", True),  # balanced or not is the reader's business
        ("<a><b/>", False),
    ],
)
def test_xml_is_whole_when_its_root_is_closed(tmp_path: Path, text: str, whole: bool) -> None:
    path = tmp_path / "a.xml"
    path.write_text(text, encoding="utf-8")
    assert isinstance(look(path, OTHER), Whole if whole else Incomplete)


def test_xml_in_two_byte_characters_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    text = "<?xml version='1.0'?><a>" + "<b>x</b>" * 2000 + "</a>"
    path.write_bytes(text.encode("utf-16"))
    assert isinstance(look(path, OTHER), Whole)
    path.write_bytes(text[:-2].encode("utf-16"))
    assert isinstance(look(path, OTHER), Incomplete)


def test_pictures_are_whole_when_their_end_is_there(tmp_path: Path) -> None:
    jpeg, png = tmp_path / "a.jpg", tmp_path / "a.png"
    jpeg.write_bytes(b"\xff\xd8 picture \xff\xd9")
    png.write_bytes(b"\x89PNG picture IEND\xaeB`\x82")
    assert isinstance(look(jpeg, OTHER), Whole)
    assert isinstance(look(png, OTHER), Whole)
    jpeg.write_bytes(b"\xff\xd8 picture ")
    png.write_bytes(b"\x89PNG picture ")
    assert isinstance(look(jpeg, OTHER), Incomplete)
    assert isinstance(look(png, OTHER), Incomplete)


def test_text_does_not_tell_where_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.mdoc"
    path.write_text("[FrameSet = 0]\nTiltAngle = 0.1\n")
    assert look(path, OTHER) == Unproven(text=True)
    path.write_text("[FrameSet = 0]\nTiltAng")
    assert look(path, OTHER) == Unproven(text=False)


def test_a_hole_is_where_nobody_wrote(tmp_path: Path) -> None:
    if mount_kind(tmp_path) not in {"ext4", "xfs", "tmpfs"}:
        pytest.skip("holes mean nothing on this file system")
    path = tmp_path / "a.mrc"
    content = mrc_bytes(10, random.Random(1), side=128)
    with path.open("wb") as stream:
        stream.write(content[: 1024 + 7 * 128 * 128])
        stream.truncate(len(content))
    finding = look(path)
    assert isinstance(finding, Incomplete)
    assert "never written" in finding.reason
