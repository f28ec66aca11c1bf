"""Small real files of every kind that previews are made from, as the programs of other fields write them: for tests and demos."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from passerelle.formats import write_dm, write_eer_movie, write_mrc, write_mrc_stack, write_tiff_movie

_SIDE = 192
_PILATUS = """# Detector: PILATUS 2M, S/N 24-0107
# 2026-11-28T10:11:12.123
# Pixel_size 172e-6 m x 172e-6 m
# Exposure_time 0.2000000 s
# Wavelength 0.9795 A
# Detector_distance 0.25000 m
# Angle_increment 0.1000 deg.
"""


def _movie(kind: str) -> NDArray[Any]:
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:_SIDE, :_SIDE]
    rings = sum(np.hypot(y - a, x - b) < 12 for a, b in rng.uniform(20, _SIDE - 20, (14, 2)))
    return rng.poisson(4.0 - 1.5 * (rings > 0), (6, _SIDE, _SIDE)).astype(kind)


def _map() -> NDArray[np.float32]:
    z, y, x = np.mgrid[-24:24, -24:24, -24:24]
    shell = np.exp(-((np.sqrt(x**2 + y**2 + (1.4 * z) ** 2) - 14) ** 2) / 8)
    return (shell + 0.05 * np.random.default_rng(4).normal(size=shell.shape)).astype(np.float32)


def light(channels: int = 3, depths: int = 5, side: int = _SIDE) -> NDArray[np.uint16]:
    """Return what a light microscope sees, (c, z, y, x): each channel has bright discs of its own, sharp at its own depth."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:side, :side]
    out = np.full((channels, depths, side, side), 100.0)
    for channel in range(channels):
        for a, b in rng.uniform(20, side - 20, (8, 2)):
            for depth in range(depths):
                out[channel, depth] += 3000 * np.exp(-(np.hypot(y - a, x - b) ** 2) / (80 + 200 * abs(depth - channel)))
    return rng.poisson(out).astype(np.uint16)


def spots() -> NDArray[np.int32]:
    """Return a diffraction image (y, x): background, ice rings, spots of one to three pixels, the shadow of a beam stop."""
    rng = np.random.default_rng(6)
    height, width = 260, 300
    y, x = np.mgrid[:height, :width]
    radius = np.hypot(y - 130, x - 150)
    expected = 4 + 60 * np.exp(-radius / 40) + 6 * np.exp(-((radius - 90) ** 2) / 6)
    image = rng.poisson(expected)
    for a, b in rng.integers(4, 256, (120, 2)):
        image[a : a + 2, b] += rng.integers(50, 20000)
    image[radius < 9] = 0
    image[:, 148:152] = -1  # between two modules
    return image.astype(np.int32)


def _ome(path: Path) -> None:
    tifffile.imwrite(
        path,
        light().transpose(1, 0, 2, 3),
        ome=True,
        metadata={
            "axes": "ZCYX", "PhysicalSizeX": 0.065, "PhysicalSizeXUnit": "µm", "PhysicalSizeZ": 0.3,
            "Channel": {"Name": ["DAPI", "GFP", "mCherry"]},
        },
    )  # fmt: skip


def _imagej(path: Path) -> None:
    tifffile.imwrite(path, light(2, 3).transpose(1, 0, 2, 3), imagej=True, metadata={"axes": "ZCYX"})


def _slide(path: Path) -> None:
    """A tiled, compressed pyramid of three colours, as slide scanners write it."""
    rng = np.random.default_rng(7)
    large = np.full((1024, 1024, 3), 240, np.uint8)
    for a, b in rng.integers(0, 960, (60, 2)):
        large[a : a + 60, b : b + 60] = rng.integers(80, 220, 3)
    with tifffile.TiffWriter(path) as writer:
        options: dict[str, Any] = {"tile": (256, 256), "photometric": "rgb", "compression": "zlib", "predictor": True}
        writer.write(large, subifds=1, **options)
        writer.write(large[::2, ::2], subfiletype=1, **options)


def _eer(path: Path) -> None:
    rng = np.random.default_rng(8)
    rings = [np.array([40, 60]), np.array([120, 130])]
    frames = [
        np.concatenate([rng.integers(0, _SIDE, (1200, 2)), *(rng.normal(at, 8, (300, 2)).astype(int) % _SIDE for at in rings)])
        for _ in range(12)
    ]
    write_eer_movie(path, frames, _SIDE, _SIDE, pixel_size_angstrom=0.9, dose_e_per_angstrom2=40.0)


def _adsc(path: Path) -> None:
    image = np.clip(spots(), 0, 65535).astype("<u2")
    text = (
        "{\nHEADER_BYTES=  512;\nDIM=2;\nBYTE_ORDER=little_endian;\nTYPE=unsigned_short;\n"
        f"SIZE1={image.shape[1]};\nSIZE2={image.shape[0]};\n"
        "PIXEL_SIZE=0.1026;\nWAVELENGTH=0.9793;\nDISTANCE=200.0;\nOSC_RANGE=0.5;\n}"
    )
    path.write_bytes(text.encode().ljust(512) + image.tobytes())


def _edf(path: Path) -> None:
    image = spots().astype("<i4")
    text = (
        "{\nHeaderID = EH:000001:000000:000000 ;\nImage = 1 ;\nByteOrder = LowByteFirst ;\nDataType = SignedInteger ;\n"
        f"Dim_1 = {image.shape[1]} ;\nDim_2 = {image.shape[0]} ;\n"
        "PSize_1 = 7.5e-05 ;\nSampleDistance = 0.1 ;\nWaveLength = 9.5e-11 ;\n"
    )
    path.write_bytes(text.encode().ljust(1022) + b"}\n" + image.tobytes())


def _cbf(path: Path) -> None:
    import fabio.cbfimage

    fabio.cbfimage.CbfImage(data=spots(), header={}).write(str(path))


def _bruker(path: Path) -> None:
    import fabio.bruker100image

    image = np.clip(spots()[:256, :256], 0, 60000).astype(np.uint16)
    fabio.bruker100image.Bruker100Image(data=image).write(str(path))


def write_mar345(path: Path, image: NDArray[Any]) -> None:
    """Write an image of a mar345 with fabio; what exceeds 16 bits goes where strong pixels go."""
    import fabio.mar345image
    from fabio.fabioutils import ENDIANNESS

    writer = fabio.mar345image.Mar345Image(data=image.astype(np.uint32), header={})
    writer.byteorder = ENDIANNESS.LITTLE
    writer.write(str(path))


def _mar345(path: Path) -> None:
    write_mar345(path, np.clip(spots()[:256, :256], 0, 60000))


def _eiger(path: Path) -> None:
    import h5py
    import hdf5plugin

    images = np.stack([spots().astype(np.uint32)] * 2)  # -1 becomes the greatest number: masked
    with h5py.File(path, "w") as file:
        file.create_dataset("entry/data/data", data=images, chunks=(1, *images.shape[1:]), **hdf5plugin.Bitshuffle(cname="lz4"))
        file["entry/instrument/detector/x_pixel_size"] = 75e-6
        file["entry/instrument/beam/incident_wavelength"] = 0.9795


def _pilatus(path: Path) -> None:
    tifffile.imwrite(path, spots(), description=_PILATUS, metadata=None)


def _png(path: Path) -> None:
    Image.fromarray(np.random.default_rng(9).integers(0, 255, (90, 120, 4), np.uint8)).save(path, "PNG")


def _jpeg(path: Path) -> None:
    y, x = np.mgrid[:300, :400]
    Image.fromarray(((x + y) % 256).astype(np.uint8)).save(path, "JPEG")


def _volume(path: Path) -> None:
    write_mrc_stack(path, _map(), 2.0, "float32")
    content = bytearray(path.read_bytes())
    content[88:92] = (1).to_bytes(4, "little")  # ISPG: a volume, not a stack of images
    path.write_bytes(content)


# name -> what writes it; those of fabio's need the extra `diffraction`
PICTURES: dict[str, Callable[[Path], None]] = {
    "movie.mrc": lambda path: write_mrc_stack(path, _movie("int16"), 1.06, "int16"),
    "micrograph.mrc": lambda path: write_mrc(path, _movie("float32").sum(axis=0), 1.06),
    "map.mrc": _volume,
    "movie.tif": lambda path: write_tiff_movie(path, _movie("uint8"), 0.83),
    "cells.ome.tif": _ome,
    "imagej.tif": _imagej,
    "slide.tif": _slide,
    "movie.eer": _eer,
    "image.dm4": lambda path: write_dm(path, _movie("int16"), 1.2),
    "picture.png": _png,
    "photo.jpg": _jpeg,
    "adsc.img": _adsc,
    "frame.edf": _edf,
    "pilatus.tif": _pilatus,
    "pilatus.cbf": _cbf,
    "bruker.sfrm": _bruker,
    "plate.mar2300": _mar345,
    "eiger_data_000001.h5": _eiger,
}
