"""A session as EPU writes it with a Falcon: EpuSession.dm, Metadata, Images-Disc1/GridSquare_*/Data, the atlas beside it."""

from __future__ import annotations

import time
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerelle.simulation.detector import Detector, unturn
from passerelle.simulation.electrons import Events
from passerelle.simulation.epu_xml import ImageXml, atlas_xml, image_xml, session_xml, square_xml
from passerelle.simulation.grid import (
    ATLAS_METRE_PER_PX,
    ATLAS_PX,
    HOLE_METRE_PER_PX,
    SQUARE_HEIGHT_PX,
    SQUARE_METRE_PER_PX,
    SQUARE_WIDTH_PX,
    Grid,
    Hole,
    Square,
    draw_atlas,
    draw_hole,
    draw_square,
    preview,
)
from passerelle.simulation.movie_file import frame_writer, gain_writer, movie_writer
from passerelle.simulation.shot import Camera, Product, Shot, file_of

_SUFFIX = {"mrc": "_fractions.mrc", "tiff": "_fractions.tiff", "eer": "_EER.eer"}
_FORMAT = {"mrc": "Mrc Non-Gain normalized", "tiff": "Tiff Lzw Non-Gain normalized", "eer": "Eer", "frames": "Mrc"}


class EpuLayout:
    """Names and sidecars of EPU 3.4. Works through the grid's chosen squares hole by hole."""

    def __init__(
        self,
        session: str,
        grid: Grid,
        detector: Detector,
        camera: Camera,
        pixel_size_angstrom: float,
        *,
        gain_orientation: str,
        kind: str = "mrc",
        defocus_micrometre: float = -2.0,
    ) -> None:
        self._root = PurePosixPath(session)
        self._session = session
        self._grid = grid
        self._detector = detector
        self._camera = camera
        self._pixel = pixel_size_angstrom
        self._orientation = gain_orientation
        self._kind = kind
        self._defocus = defocus_micrometre
        by_id = {square.id: square for square in grid.squares}
        self._holes: list[tuple[Square, Hole]] = [
            (by_id[i], hole) for i in grid.chosen for hole in by_id[i].holes if hole.selected
        ]
        self._square_images: dict[int, str] = {}

    def opening(self, at: float) -> list[Product]:
        stem = f"Atlas_{self._grid.atlas_id}"
        atlas = PurePosixPath("atlas") / f"Supervisor_{_stamp(at)}_Atlas" / "Sample0" / "Atlas"
        seen_as = "Z:\\" + str(atlas / "Atlas.dm").replace("/", "\\")
        picture = ImageXml(at, ATLAS_PX, ATLAS_PX, ATLAS_METRE_PER_PX, 1.0, -0.001, 135, (0.0, 0.0, 7e-5), beam_diameter=9e-4)
        gain = unturn(self._detector.gain, self._orientation)
        gain_name = "_EER_GainReference.gain" if self._kind == "eer" else "_GainReference.mrc"
        session = session_xml(self._session, self._grid, at, _FORMAT[self._kind], seen_as, self._defocus * 1e-6)
        products = [
            file_of(atlas / f"{stem}.jpg", draw_atlas(self._grid)),
            file_of(atlas / f"{stem}.xml", image_xml(picture)),
            file_of(atlas / "Atlas.dm", atlas_xml(self._grid, stem, at, str(atlas.parent))),
            file_of(self._root / "EpuSession.dm", session),
            Product(
                self._root / "Images-Disc1" / f"{_stamp(at)}{gain_name}", gain_writer(self._kind, gain, self._pixel), large=True
            ),
        ]
        products += [self._square_file(square, "") for square in self._grid.squares if not square.holes]
        return products

    def movie_name(self, shot: Shot) -> str:
        _, hole, (area, setting, _, _) = self._target(shot.number)
        return f"FoilHole_{hole.id}_Data_{area}_{setting}_{_stamp(shot.at)}"

    def exposure(self, shot: Shot, frames: NDArray[Any] | Events, picture: NDArray[Any]) -> list[Product]:
        square, hole, (_, _, dx, dy) = self._target(shot.number)
        folder = self._root / "Images-Disc1" / f"GridSquare_{square.id}"
        stem = self.movie_name(shot)
        specimen, camera = shot.specimen, self._camera
        image = ImageXml(
            at=shot.at,
            height=camera.height,
            width=camera.width,
            pixel_size=specimen.pixel_size_angstrom * 1e-10,
            exposure_seconds=camera.exposure_seconds,
            applied_defocus=shot.defocus_micrometre * 1e-6,
            magnification=105000,
            stage=(hole.stage_x, hole.stage_y, 8.57e-5),
            beam_shift=(dx * 1e5, dy * 1e5),
            voltage=specimen.voltage_kv * 1e3,
            dose=specimen.dose_e_per_angstrom2 * 1e20,
            fractions=shot.frames,
            camera=camera.name,
        )
        products = self._navigation(shot, square, hole)
        data = folder / "Data"
        if self._kind == "frames":
            pixel = specimen.pixel_size_angstrom
            products += [
                Product(data / f"{stem}_frames_n{n}.mrc", frame_writer(frame, pixel))
                for n, frame in enumerate(np.asarray(frames))
            ]
        else:
            products.append(Product(data / f"{stem}{_SUFFIX[self._kind]}", movie_writer(self._kind, shot, frames), large=True))
        products += [file_of(data / f"{stem}.jpg", preview(picture)), file_of(data / f"{stem}.xml", image_xml(image))]
        return products

    def _target(self, number: int) -> tuple[Square, Hole, tuple[int, int, float, float]]:
        areas = self._grid.areas
        square, hole = self._holes[number // len(areas) % len(self._holes)]
        return square, hole, areas[number % len(areas)]

    def _navigation(self, shot: Shot, square: Square, hole: Hole) -> list[Product]:
        """Pictures of the square and the hole, when this exposure is the first in them."""
        products: list[Product] = []
        folder = self._root / "Images-Disc1" / f"GridSquare_{square.id}"
        stamp = _stamp(shot.at - 20)
        if square.id not in self._square_images:
            name = f"GridSquare_{stamp}"
            self._square_images[square.id] = name
            place = (square.stage_x, square.stage_y, 8.57e-5)
            picture = ImageXml(
                shot.at - 20, SQUARE_HEIGHT_PX, SQUARE_WIDTH_PX, SQUARE_METRE_PER_PX, 2.0, -5e-5, 470, place, beam_diameter=2.9e-4
            )
            products += [
                self._square_file(square, name),
                file_of(folder / f"{name}.jpg", draw_square(self._grid, square)),
                file_of(folder / f"{name}.xml", image_xml(picture)),
            ]
        if shot.number % len(self._grid.areas) == 0:
            name = f"FoilHole_{hole.id}_{stamp}"
            place = (hole.stage_x, hole.stage_y, 8.57e-5)
            picture = ImageXml(
                shot.at - 8, SQUARE_HEIGHT_PX, SQUARE_WIDTH_PX, HOLE_METRE_PER_PX, 1.0, -2e-5, 11500, place, beam_diameter=9e-6
            )
            products += [
                file_of(folder / "FoilHoles" / f"{name}.jpg", draw_hole(hole, square.ice)),
                file_of(folder / "FoilHoles" / f"{name}.xml", image_xml(picture)),
            ]
        return products

    def _square_file(self, square: Square, image_name: str) -> Product:
        content = square_xml(self._grid, square, image_name, f"Z:\\{self._session}")
        return file_of(self._root / "Metadata" / f"GridSquare_{square.id}.dm", content)


def _stamp(at: float) -> str:
    return time.strftime("%Y%m%d_%H%M%S", time.gmtime(at))
