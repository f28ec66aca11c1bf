"""A session as SerialEM writes it with a K2 or K3: TIFF frames, one .mdoc a movie, gain reference and defect list beside them."""

from __future__ import annotations

import math
import time
from pathlib import PurePosixPath
from typing import Any

from numpy.typing import NDArray

from passerelle.simulation.detector import Detector, unturn
from passerelle.simulation.electrons import Events
from passerelle.simulation.movie_file import gain_writer, movie_writer
from passerelle.simulation.shot import Camera, Product, Shot, file_of


class SerialemLayout:
    """Names and sidecars of SerialEM 3.8 and later: `frames/<name>_<number>_<date>_<time>.tif`, the same + `.mdoc`."""

    def __init__(
        self,
        session: str,
        detector: Detector,
        camera: Camera,
        pixel_size_angstrom: float,
        *,
        gain_orientation: str,
        kind: str = "tiff",
    ) -> None:
        self._root = PurePosixPath(session)
        self._session = session
        self._detector = detector
        self._camera = camera
        self._pixel = pixel_size_angstrom
        self._orientation = gain_orientation
        self._kind = kind
        self._gain_name = "GainRef_x1.m0.mrc"
        self._defects_name = "defects_GainRef_x1.m0.txt"

    def opening(self, at: float) -> list[Product]:
        gain = unturn(self._detector.gain, self._orientation)
        return [
            Product(self._root / "frames" / self._gain_name, gain_writer("mrc", gain, self._pixel), large=True),
            file_of(self._root / "frames" / self._defects_name, defects_text(self._detector, self._camera)),
        ]

    def movie_name(self, shot: Shot) -> str:
        clock = time.gmtime(shot.at)
        return f"{self._session}_{shot.number + 1:05d}_{time.strftime('%b%d_%H.%M.%S', clock)}"

    def exposure(self, shot: Shot, frames: NDArray[Any] | Events, picture: NDArray[Any]) -> list[Product]:
        suffix = {"tiff": ".tif", "mrc": ".mrc"}[self._kind]
        name = self.movie_name(shot) + suffix
        movie = Product(self._root / "frames" / name, movie_writer(self._kind, shot, frames), large=True)
        mdoc = file_of(self._root / "frames" / f"{name}.mdoc", self._mdoc(shot, name))
        return [movie, mdoc]

    def _mdoc(self, shot: Shot, name: str) -> str:
        date = time.strftime("%d-%b-%y  %H:%M:%S", time.gmtime(shot.at))
        camera, specimen = self._camera, shot.specimen
        per_pixel = specimen.dose_e_per_angstrom2 * specimen.pixel_size_angstrom**2
        column, row = shot.number % 7 - 3, shot.number // 7 % 7 - 3
        lines = [
            f"T = SerialEM: Simulated_Krios Camera -> 0:Ceta 1:K2-Summit          {date}    ",
            f"Voltage = {specimen.voltage_kv:g}",
            "",
            "[FrameSet = 0]",
            f"GainReference = {self._gain_name}",
            "TiltAngle = 0.01",
            f"StagePosition = {120 + 2.6 * column:.3f} {-80 + 2.6 * row:.3f}",
            "StageZ = 31.42",
            "Magnification = 130000",
            "Intensity = 0.112",
            f"ExposureDose = {specimen.dose_e_per_angstrom2:.4f}",
            f"DoseRate = {per_pixel / camera.exposure_seconds:.5f}",
            f"PixelSpacing = {specimen.pixel_size_angstrom:.4f}",
            "SpotSize = 8",
            f"Defocus = {shot.defocus_micrometre - 0.02 * math.sin(shot.number):.5f}",
            f"ImageShift = {0.4 * column:.5f} {0.4 * row:.5f}",
            "RotationAngle = 178.4",
            f"ExposureTime = {camera.exposure_seconds:.4f}",
            "Binning = 1",
            "CameraIndex = 1",
            "DividedBy2 = 0",
            "OperatingMode = 1",
            "UsingCDS = 0",
            "MagIndex = 30",
            "LowDoseConSet = 4",
            "CountsPerElectron = 1",
            f"TargetDefocus = {shot.defocus_micrometre:.3f}",
            f"DefectFile = {self._defects_name}",
            f"SubFramePath = X:\\{self._session}\\frames\\{name}",
            f"NumSubFrames = {shot.frames}",
            f"FrameDosesAndNumber = {shot.dose_per_frame:.5f} {shot.frames}",
            f"DateTime = {date}",
            "FilterSlitAndLoss = 20 0",
            f"UncroppedSize = {-camera.width} {-camera.height}",
        ]
        return "\r\n".join(lines) + "\r\n"


def defects_text(detector: Detector, camera: Camera) -> str:
    """Return the camera's list of defects as SerialEM writes it; rows are counted from the top."""
    lines = [f"CameraSizeX {camera.width}", f"CameraSizeY {camera.height}", "RotationAndFlip 0", "WasScaled 0", "K2Type 1"]
    if detector.dead_columns:
        lines.append("BadColumns " + " ".join(str(c) for c in detector.dead_columns))
    listed = detector.listed[detector.hot_rows, detector.hot_columns]
    pixels = [
        f"{x} {detector.gain.shape[0] - 1 - y}"
        for y, x, known in zip(detector.hot_rows, detector.hot_columns, listed, strict=True)
        if known
    ]
    lines.extend("BadPixels " + "  ".join(pixels[i : i + 8]) for i in range(0, len(pixels), 8))
    return "\n".join(lines) + "\n"
