"""What is in the microscope: a picture in electrons at rest, with everything that is known of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerelle.simulation.electrons import counts_to_electrons, draw_electrons


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

    picture: (y, x); counts of a real micrograph, or the expected electrons of a computed one. fresh_noise: whether each movie
    draws its own shot noise (a computed picture) or deals out the picture's own (a real one). Defocus in angstrom, positive
    underfocus; None where it is not known. dose: electrons per square angstrom over the whole exposure.
    """

    name: str
    picture: NDArray[Any]
    fresh_noise: bool
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
        """Return whole electrons (y, x) of one exposure."""
        if self.fresh_noise:
            return draw_electrons(np.asarray(self.picture, np.float32), seed)
        return counts_to_electrons(self.picture, self.electrons_per_pixel, seed)

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
