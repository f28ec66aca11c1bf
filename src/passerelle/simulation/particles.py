"""Project the atoms of particles in random poses onto one picture: a specimen of known structure."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from passerelle.core.errors import BadInput
from passerelle.imaging.fft import irfft2, rfft2
from passerelle.simulation.atoms import Atoms
from passerelle.simulation.phantom import Conditions, apart, expose_potential
from passerelle.simulation.specimen import Pose, Specimen

_VOLT_ANGSTROM2 = (
    47.878  # 2 pi hbar² / (m e): scattering amplitude in Å -> volume integral of potential in V Å³ (Kirkland eq. 5.5)
)
_RADIAN_PER_VOLT_ANGSTROM = 6.526e-4  # interaction constant at 300 kV
_ATOM_BFACTOR = 40.0  # Å²: thermal motion and the atom's own width
_SOLVENT_SHARE, _SOLVENT_BFACTOR = 0.48, 320.0  # ice that an atom displaces: 17.6 Å³ at 3.6 V, smeared by 2 Å


def particles_of_model(
    atoms: Atoms,
    height: int,
    width: int,
    conditions: Conditions,
    *,
    seed: int,
    coverage: float = 0.35,
    ice_contrast: float = 0.08,
    name: str = "model",
) -> Specimen:
    """Compute particles of an atomic model, in random poses, in vitreous ice, as a weak phase object.

    Each atom is a Gaussian of its scattering amplitude less the ice that it displaces; all have one B factor, and one defocus.
    Poses come with the specimen. coverage: share of the picture that particles cover, as far as they find room.

    Raises:
        BadInput: the picture is too small for one particle.
    """
    rng = np.random.default_rng(seed)
    pixel = conditions.pixel_size_angstrom
    radius = atoms.radius_angstrom / pixel
    inside_y, inside_x = height - 2 * math.ceil(radius), width - 2 * math.ceil(radius)
    if min(inside_y, inside_x) < 1:
        raise BadInput(f"a picture of {height} × {width} pixels has no room for a particle of {2 * radius:.0f} pixels.")
    wanted = max(1, int(coverage * height * width / (math.pi * radius**2)))
    projected = np.zeros((height, width), np.float32)
    poses: list[Pose] = []
    for y, x in apart(rng, inside_y - 1, inside_x - 1, wanted, 1.9 * radius):
        tilt = math.degrees(math.acos(rng.uniform(-1, 1)))
        pose = Pose(y + math.ceil(radius), x + math.ceil(radius), rng.uniform(-180, 180), tilt, rng.uniform(-180, 180))
        turned = atoms.place @ euler_matrix(pose)[:2].T / pixel  # (n, 2) as (x, y)
        _splat(turned, atoms.amplitude, pose.y_px, pose.x_px, projected)
        poses.append(pose)
    potential = _blur(projected, pixel)
    # the picture of a weak phase object is 1 + 2 phase * CTF (in Fourier space)
    potential *= np.float32(2 * _VOLT_ANGSTROM2 * _RADIAN_PER_VOLT_ANGSTROM / pixel**2)
    return expose_potential(potential, conditions, seed=seed + 1, name=name, poses=tuple(poses), ice_contrast=ice_contrast)


def euler_matrix(pose: Pose) -> NDArray[np.float64]:
    """Return the rotation (3, 3) of a pose: an atom at r of the model comes to A r (RELION's Euler_angles2matrix, ZYZ)."""
    a, b, g = (math.radians(angle) for angle in (pose.rot_deg, pose.tilt_deg, pose.psi_deg))
    ca, cb, cg, sa, sb, sg = math.cos(a), math.cos(b), math.cos(g), math.sin(a), math.sin(b), math.sin(g)
    return np.array(
        [
            [cg * cb * ca - sg * sa, cg * cb * sa + sg * ca, -cg * sb],
            [-sg * cb * ca - cg * sa, -sg * cb * sa + cg * ca, sg * sb],
            [sb * ca, sb * sa, cb],
        ]
    )


def _blur(projected: NDArray[np.float32], pixel: float) -> NDArray[np.float32]:
    height, width = projected.shape
    transform = rfft2(projected)
    y2, x2 = np.fft.fftfreq(height, pixel) ** 2, np.fft.rfftfreq(width, pixel) ** 2
    for start in range(0, height, 256):
        s2 = (y2[start : start + 256, None] + x2[None, :]).astype(np.float32)
        transform[start : start + 256] *= np.exp(-_ATOM_BFACTOR / 4 * s2) - _SOLVENT_SHARE * np.exp(-_SOLVENT_BFACTOR / 4 * s2)
    return irfft2(transform, (height, width))


@njit(cache=True, nogil=True)
def _splat(
    places: NDArray[np.float64], weights: NDArray[np.float64], centre_y: float, centre_x: float, image: NDArray[np.float32]
) -> None:
    """Add each atom's weight to the four pixels around it."""
    height, width = image.shape
    for i in range(places.shape[0]):
        x, y = places[i, 0] + centre_x, places[i, 1] + centre_y
        x0, y0 = math.floor(x), math.floor(y)
        if x0 < 0 or y0 < 0 or x0 + 1 >= width or y0 + 1 >= height:
            continue
        fx, fy = x - x0, y - y0
        w = weights[i]
        image[y0, x0] += w * (1 - fy) * (1 - fx)
        image[y0, x0 + 1] += w * (1 - fy) * fx
        image[y0 + 1, x0] += w * fy * (1 - fx)
        image[y0 + 1, x0 + 1] += w * fy * fx
