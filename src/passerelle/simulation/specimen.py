"""What is in the microscope: a picture in electrons at rest, with everything that is known of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from passerelle.simulation.electrons import draw_electrons


@dataclass(frozen=True, slots=True)
class Pose:
    """A particle of the specimen: centre in pixels (row 0 at the bottom), rotation as RELION's Euler angles in degrees."""

    y_px: float
    x_px: float
    rot_deg: float = 0.0
    tilt_deg: float = 0.0
    psi_deg: float = 0.0


@dataclass(frozen=True, slots=True)
class Specimen:
    """A specimen at rest.

    picture: (y, x), the electrons that a perfect camera would count on average; every exposure draws its own shot noise on it. A
    real micrograph's noise is part of its picture. Defocus in angstrom, positive underfocus; None where it is not known. dose:
    electrons per square angstrom over the whole exposure.
    """

    name: str
    picture: NDArray[np.float32]
    pixel_size_angstrom: float
    dose_e_per_angstrom2: float
    voltage_kv: float = 300.0
    spherical_aberration_mm: float = 2.7
    amplitude_contrast: float = 0.07
    applied_defocus_angstrom: float | None = None
    defocus_u_angstrom: float | None = None
    defocus_v_angstrom: float | None = None
    defocus_angle_deg: float | None = None
    poses: tuple[Pose, ...] = ()
    turned: str = "as_written"

    @property
    def electrons_per_pixel(self) -> float:
        return self.dose_e_per_angstrom2 * self.pixel_size_angstrom**2

    def electrons(self, seed: int) -> NDArray[np.uint16]:
        """Return the electrons (y, x) of one exposure: a Poisson number for each pixel."""
        return draw_electrons(self.picture, seed)

    def crop(self, height: int, width: int) -> Specimen:
        """Return the middle of the picture, at most `height` × `width`."""
        y0 = max((self.picture.shape[0] - height) // 2, 0)
        x0 = max((self.picture.shape[1] - width) // 2, 0)
        poses = tuple(replace(pose, y_px=pose.y_px - y0, x_px=pose.x_px - x0) for pose in self.poses)
        return replace(self, picture=self.picture[y0 : y0 + height, x0 : x0 + width], poses=poses)

    def flipped(self, flip_y: bool, flip_x: bool) -> Specimen:
        """Return the mirror image, so that one micrograph serves for several exposures. Poses of particles are dropped."""
        if not (flip_y or flip_x):
            return self
        picture = self.picture[:: -1 if flip_y else 1, :: -1 if flip_x else 1]
        angle = self.defocus_angle_deg
        if angle is not None and flip_y != flip_x:
            angle = -angle
        name = {(True, True): "rotate_180", (True, False): "flip_y", (False, True): "flip_x"}[(flip_y, flip_x)]
        return replace(self, picture=picture, poses=(), turned=name, defocus_angle_deg=angle)
