"""Previews: a picture of every kind of file, in a process that has little time and memory, kept by what the file is."""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest
from PIL import Image

from passerelle.core.errors import Busy, PasserelleError
from passerelle.formats.source import Source
from passerelle.service.preview_drawing import LONGEST_PX, draw
from passerelle.service.previews import Preview, Previews
from passerelle.testing.mutation import mutations, survive
from passerelle.testing.pictures import PICTURES
from passerelle.zones import open_file

# what decoders take beside four times the file: rows of pixels, tables of codecs, and what an honest file may be compressed from
SPARE_BYTES = 200 << 20


@pytest.fixture(scope="module")
def previews(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Previews]:
    made = Previews(tmp_path_factory.mktemp("kept"))
    yield made
    made.close()


def preview_of(previews: Previews, path: Path) -> Preview:
    with open_file(path.parent, PurePosixPath(path.name)) as descriptor:
        waited = previews.of(path.parent, PurePosixPath(path.name), descriptor)
    return waited.result(timeout=60)


def opened(picture: bytes | None) -> Image.Image:
    assert picture is not None
    return Image.open(io.BytesIO(picture))


def draw_file(path: Path) -> None:
    source = Source(path)
    try:
        draw(source)
    finally:
        source.close()


@pytest.mark.parametrize("name", PICTURES)
def test_every_kind_of_file_has_a_picture_and_facts(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    PICTURES[name](path)
    source = Source(path)
    drawn = draw(source)
    source.close()
    picture = opened(drawn.picture)
    assert max(picture.size) <= LONGEST_PX
    low, high = picture.convert("L").getextrema()
    assert isinstance(low, int | float) and isinstance(high, int | float) and high - low > 60, "it shows something"
    assert float(drawn.facts["width_px"]) > 0
    assert drawn.kind


def test_facts_are_those_of_the_header(tmp_path: Path) -> None:
    def facts(name: str) -> dict[str, float | str]:
        PICTURES[name](tmp_path / name)
        source = Source(tmp_path / name)
        try:
            return dict(draw(source).facts)
        finally:
            source.close()

    assert facts("movie.mrc")["pixel_size_angstrom"] == 1.06
    light = facts("cells.ome.tif")
    assert (light["channels"], light["depths"], light["pixel_size_um"]) == (3, 5, 0.065)
    assert light["channel_names"] == "DAPI, GFP, mCherry"
    pilatus = facts("pilatus.tif")
    assert (pilatus["wavelength_angstrom"], pilatus["distance_mm"], pilatus["pixel_size_um"]) == (0.9795, 250.0, 172.0)
    assert facts("frame.edf")["wavelength_angstrom"] == 0.95
    assert facts("map.mrc")["sections"] == 48


def test_spots_of_diffraction_are_dark_on_white_and_masked_modules_white(tmp_path: Path) -> None:
    PICTURES["pilatus.tif"](tmp_path / "p.tif")
    source = Source(tmp_path / "p.tif")
    grey = opened(draw(source).picture).convert("L")
    source.close()
    histogram = grey.histogram()
    assert sum(histogram[128:]) > 0.9 * grey.width * grey.height, "white"
    assert sum(histogram[:40]) > 50, "spots"
    assert grey.getpixel((150, 20)) == 255, "between modules"


@pytest.mark.parametrize("name", PICTURES)
def test_damaged_files_take_no_time_and_no_memory(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    PICTURES[name](path)
    content = path.read_bytes()
    for damaged in mutations(content, count=12, seed=11):
        survive(draw_file, damaged, path, (PasserelleError,), label=name, spare=SPARE_BYTES)


def test_a_preview_is_made_once_and_anew_when_the_file_is_written_again(
    previews: Previews, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    Image.new("L", (40, 30), 200).save(path)
    first = preview_of(previews, path)
    assert first.kind == "PNG" and opened(first.picture).size == (40, 30)
    monkeypatch.setattr(previews, "_start", None)  # nothing is drawn
    assert preview_of(previews, path) == first
    monkeypatch.undo()
    Image.new("L", (20, 10), 100).save(path)
    assert opened(preview_of(previews, path).picture).size == (20, 10)


def test_why_there_is_no_picture_is_said(previews: Previews, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"\x01\x02" * 400)
    assert "of a kind that is not shown" in preview_of(previews, tmp_path / "a.bin").words
    (tmp_path / "a.mrc").write_bytes(b"")
    assert "empty" in preview_of(previews, tmp_path / "a.mrc").words
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    assert "picture" in preview_of(previews, tmp_path / "broken.png").words


def test_names_of_any_bytes_have_previews(previews: Previews, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9\n<b>.png")
    Image.new("L", (40, 30), 200).save(path, "PNG")
    assert preview_of(previews, path).kind == "PNG"


def test_a_picture_that_would_fill_the_memory_is_refused_and_the_process_goes_on(previews: Previews, tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.png"
    Image.new("1", (11000, 11000)).save(bomb)
    assert bomb.stat().st_size < 100_000
    refused = preview_of(previews, bomb)
    assert refused.picture is None and "too large" in refused.words
    Image.new("L", (40, 30), 200).save(tmp_path / "after.png")
    assert preview_of(previews, tmp_path / "after.png").kind == "PNG"


def test_a_codec_that_falls_over_takes_no_page_with_it(tmp_path: Path) -> None:
    """Killed at its work, as by a fault of memory; the next file has a new process, and this one is not tried again."""
    made = Previews(tmp_path / "kept")
    path = tmp_path / "a.png"
    Image.new("L", (40, 30), 200).save(path)
    Image.new("L", (39, 30), 200).save(tmp_path / "before.png")
    try:
        preview_of(made, tmp_path / "before.png")
        assert made._pool is not None
        (process,) = made._pool.process_ids()
        os.kill(process, signal.SIGSTOP)  # so that it is not done before it is killed
        with open_file(tmp_path, PurePosixPath("a.png")) as descriptor:
            waited = made.of(tmp_path, PurePosixPath("a.png"), descriptor)
        os.kill(process, signal.SIGKILL)
        assert "fell over" in waited.result(timeout=60).words
        assert "fell over" in preview_of(made, path).words
        Image.new("L", (41, 30), 200).save(tmp_path / "b.png")
        assert preview_of(made, tmp_path / "b.png").kind == "PNG"
    finally:
        made.close()


def test_what_is_kept_has_a_bound(tmp_path: Path) -> None:
    made = Previews(tmp_path / "kept", most_bytes=20_000)
    try:
        for number in range(12):
            path = tmp_path / f"{number}.jpg"
            Image.effect_noise((120, 120), 90 + number).save(path, "JPEG")
            preview_of(made, path)
        made._bound()
        kept = sum(each.stat().st_size for each in (tmp_path / "kept").rglob("*.json"))
        assert 0 < kept <= 20_000
        assert preview_of(made, tmp_path / "0.jpg").kind == "JPEG", "what went is made again"
    finally:
        made.close()


def test_who_waits_when_the_service_stops_is_told(tmp_path: Path) -> None:
    made = Previews(tmp_path / "kept")
    waiting = []
    for number in range(5):
        Image.new("L", (40 + number, 30), 200).save(tmp_path / f"{number}.png")
        with open_file(tmp_path, PurePosixPath(f"{number}.png")) as descriptor:
            waiting.append(made.of(tmp_path, PurePosixPath(f"{number}.png"), descriptor))
    made.close()
    assert all(each.result(timeout=60) for each in waiting)
    with open_file(tmp_path, PurePosixPath("0.png")) as descriptor, pytest.raises(Busy):
        made._folder = tmp_path / "empty"
        made.of(tmp_path, PurePosixPath("0.png"), descriptor)


def test_a_file_that_was_swapped_for_a_link_is_not_followed(previews: Previews, tmp_path: Path) -> None:
    secret = tmp_path / "elsewhere.png"
    Image.new("L", (77, 33), 200).save(secret)
    zone = tmp_path / "zone"
    zone.mkdir()
    Image.new("L", (40, 30), 200).save(zone / "a.png")
    with open_file(zone, PurePosixPath("a.png")) as descriptor:
        (zone / "a.png").unlink()
        (zone / "a.png").symlink_to(secret)
        shown = previews.of(zone, PurePosixPath("a.png"), descriptor).result(timeout=60)
    assert shown.picture is None
