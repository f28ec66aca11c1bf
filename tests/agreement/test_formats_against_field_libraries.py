"""Our readers and writers against the libraries and programs of the field, on files that either side wrote."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import imagecodecs
import mrcfile
import numpy as np
import pytest
import starfile
import tifffile
from ncempy.io import dm

from passerelle.core.errors import NotFound, StorageError
from passerelle.formats import (
    EerOptions,
    MicrographRow,
    OpticsGroup,
    load_stack,
    micrographs_star,
    open_movie,
    read_header,
    read_image,
    read_star,
    write_dm,
    write_eer_movie,
    write_mrc,
    write_mrc_stack,
    write_star,
    write_tiff_movie,
)
from passerelle.formats.eer_codec import deposit
from passerelle.formats.eer_write import encode_events
from passerelle.simulation.krios import CAMERAS, cache_folder, krios_micrograph

RANDOM = np.random.default_rng(5)
COUNTS = RANDOM.poisson(1.2, (4, 60, 84)).astype(np.uint8)


@pytest.mark.parametrize("kind", ["float32", "float16", "int16", "uint16", "int8"])
def test_mrcfile_finds_our_files_valid_and_reads_the_same(tmp_path: Path, kind: Any, capsys: pytest.CaptureFixture[str]) -> None:
    stack = COUNTS.astype(kind)
    write_mrc_stack(tmp_path / "a.mrcs", stack, 0.83, kind)
    assert mrcfile.validate(tmp_path / "a.mrcs"), capsys.readouterr().out
    with mrcfile.open(tmp_path / "a.mrcs") as theirs:
        np.testing.assert_array_equal(theirs.data, stack)
        assert theirs.voxel_size.x == pytest.approx(0.83)
        assert theirs.is_image_stack()
        assert float(theirs.header.dmean) == pytest.approx(float(stack.mean(dtype=np.float64)), rel=1e-5)
        assert float(theirs.header.rms) == pytest.approx(float(stack.std(dtype=np.float64)), rel=1e-5)


@pytest.mark.parametrize("kind", ["float32", "float16", "int16", "uint16", "int8"])
def test_we_read_what_mrcfile_writes(tmp_path: Path, kind: str) -> None:
    with mrcfile.new(tmp_path / "a.mrc") as theirs:
        theirs.set_data(COUNTS.astype(kind))
        theirs.voxel_size = 1.7
    header = read_header(tmp_path / "a.mrc")
    assert header.pixel_size_angstrom == pytest.approx(1.7)
    with open_movie(tmp_path / "a.mrc") as ours:
        np.testing.assert_array_equal(load_stack(ours), COUNTS.astype(kind))


@pytest.mark.parametrize("camera", CAMERAS)
def test_real_epu_files_say_what_mrcfile_reads_in_them(camera: str) -> None:
    """EPU 1.2 with a K2 (FEI1) and EPU 2.9 with a Falcon (FEI2)."""
    try:
        krios_micrograph(camera)
    except (NotFound, StorageError) as error:
        pytest.skip(f"no real data: {error}")
    path = cache_folder() / f"krios-{camera}.mrc"
    header = read_header(path)
    values = header.values or {}
    with mrcfile.open(path, permissive=True) as theirs:
        record = theirs.indexed_extended_header[0]
        assert values["voltage_kv"] == record["HT"] / 1000
        assert values["dose_e_per_angstrom2"] == pytest.approx(record["Dose"] * 1e-20)
        assert header.pixel_size_angstrom == pytest.approx(record["Pixel size X"] * 1e10)
        assert values["applied_defocus_angstrom"] == pytest.approx(-record["Applied defocus"] * 1e10)
        assert values["exposure_seconds"] == record["Integration time"]
        assert values["camera"] == record["Camera name"].decode()
        assert values["magnification"] == record["Magnification"]
        np.testing.assert_array_equal(read_image(path), np.squeeze(theirs.data).astype(np.float32))


@pytest.mark.parametrize("kind", ["uint8", "int8", "uint16", "int16", "float32"])
@pytest.mark.parametrize("compression", [None, "lzw", "zlib", "packbits"])
def test_we_read_what_tifffile_writes_and_the_other_way_round(tmp_path: Path, kind: str, compression: str | None) -> None:
    stack = COUNTS.astype(kind)
    tifffile.imwrite(tmp_path / "a.tif", stack, compression=compression, photometric="minisblack")
    with open_movie(tmp_path / "a.tif") as ours:
        np.testing.assert_array_equal(load_stack(ours), stack[:, ::-1])
    write_tiff_movie(tmp_path / "b.tif", stack, 0.83)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "b.tif"), stack[:, ::-1])


@pytest.mark.parametrize(
    ("compression", "upsampling", "superres"), [(65001, 1, 0), (65001, 2, 1), (65001, 4, 2), (65002, 1, 0), (65002, 2, 1)]
)
def test_our_event_decoder_and_imagecodecs_agree_exactly(
    tmp_path: Path, compression: Any, upsampling: int, superres: int
) -> None:
    frames = [RANDOM.uniform(0, 1, (count, 2)) * (96, 128) for count in (0, 1, 300, 3000, 12000)]
    write_eer_movie(tmp_path / "a.eer", frames, 96, 128, compression=compression)
    with tifffile.TiffFile(tmp_path / "a.eer", superres=superres) as theirs:
        expected = theirs.asarray()
    with open_movie(tmp_path / "a.eer", eer=EerOptions(upsampling, frames_per_fraction=1)) as ours:
        np.testing.assert_array_equal(load_stack(ours), expected.astype(np.uint8))


def test_imagecodecs_takes_a_frame_cut_in_half_for_whole_and_we_do_not() -> None:
    """Why there is a decoder of our own (docs/decisions/0005). If this fails, imagecodecs has learnt it: use it."""
    strip, _ = encode_events(RANDOM.uniform(0, 256, (4000, 2)), 256, 256)
    half = strip[: len(strip) // 4 * 2]
    imagecodecs.eer_decode(half, (256, 256), 7, 2, 2)
    assert deposit(np.frombuffer(half, np.uint8), 256, 7, 2, 2, False, 0, np.zeros((256, 256), np.uint8)) == -1


@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize("kind", ["uint8", "int16", "uint16", "float32"])
def test_ncempy_reads_our_dm_files_as_we_do(tmp_path: Path, version: Any, kind: str) -> None:
    stack = COUNTS.astype(kind)
    write_dm(tmp_path / f"a.dm{version}", stack, 0.85, version=version, tags={"Microscope Info.Voltage": 3e5})
    theirs = dm.dmReader(str(tmp_path / f"a.dm{version}"))
    np.testing.assert_array_equal(theirs["data"], stack)
    assert theirs["pixelSize"][-1] * 10 == pytest.approx(0.85) and theirs["pixelUnit"][-1] == "nm"
    with dm.fileDM(str(tmp_path / f"a.dm{version}")) as tags:
        assert tags.allTags[".ImageList.2.ImageTags.Microscope Info.Voltage"] == 3e5
    with open_movie(tmp_path / f"a.dm{version}") as ours:
        np.testing.assert_array_equal(load_stack(ours), stack)


OPTICS = [OpticsGroup("krios", 300, 2.7, 0.1, 0.83)]
ROWS = [
    MicrographRow(
        f"m/{i}.mrc",
        1,
        defocus_u_angstrom=20000.0 + i,
        defocus_v_angstrom=19000.0,
        defocus_angle_deg=12.5,
        resolution_angstrom=3.4,
    )
    for i in range(5)
]


def test_starfile_reads_our_tables_and_we_read_its(tmp_path: Path) -> None:
    write_star(tmp_path / "a.star", micrographs_star(OPTICS, ROWS))
    theirs = starfile.read(tmp_path / "a.star", always_dict=True)
    assert list(theirs) == ["optics", "micrographs"]
    assert list(theirs["micrographs"]["rlnDefocusU"]) == [20000.0 + i for i in range(5)]
    starfile.write(theirs, tmp_path / "b.star")
    ours = read_star(tmp_path / "b.star")
    for name, table in theirs.items():
        assert ours[name].columns == tuple(table.columns)
        assert [float(x) for x in ours["micrographs"].column("rlnDefocusV")] == [19000.0] * 5
    assert ours["micrographs"].column("rlnMicrographName") == [f"m/{i}.mrc" for i in range(5)]


def relion(program: str, *arguments: str, folder: Path) -> str:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed (Debian package relion)")
    done = subprocess.run([program, *arguments], cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_relion_reads_our_table_of_micrographs(tmp_path: Path) -> None:
    write_star(tmp_path / "a.star", micrographs_star(OPTICS, ROWS))
    select = ("--select", "rlnDefocusU", "--minval", "20001.5", "--i_tablename", "micrographs")
    relion("relion_star_handler", "--i", "a.star", "--o", "b.star", *select, folder=tmp_path)
    kept = read_star(tmp_path / "b.star")
    assert kept["micrographs"].column("rlnMicrographName") == ["m/2.mrc", "m/3.mrc", "m/4.mrc"]
    assert kept["optics"].column("rlnOpticsGroupName") == ["krios"]


def test_relion_reads_our_images_with_the_same_rows_at_the_bottom(tmp_path: Path) -> None:
    """RELION turns TIFF over and MRC not: what it makes of our TIFF is our MRC."""
    image = RANDOM.normal(0, 1, (64, 96)).astype(np.float32)
    write_mrc(tmp_path / "a.mrc", image, 0.83)
    write_tiff_movie(tmp_path / "b.tif", image[None], 0.83)
    relion("relion_image_handler", "--i", "a.mrc", "--o", "c.mrc", "--multiply_constant", "2", folder=tmp_path)
    np.testing.assert_allclose(read_image(tmp_path / "c.mrc"), image * 2, rtol=1e-6)
    relion("relion_image_handler", "--i", "1@b.tif", "--o", "d.mrc", "--multiply_constant", "2", folder=tmp_path)
    np.testing.assert_allclose(read_image(tmp_path / "d.mrc"), image * 2, rtol=1e-6)
