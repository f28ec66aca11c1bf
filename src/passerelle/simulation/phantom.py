"""A computed specimen: particles in ice under a known contrast transfer function."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from passerelle.imaging.ctf_model import Optics, ctf_2d
from passerelle.imaging.fft import irfft2, rfft2
from passerelle.simulation.specimen import Pose, Specimen

_TEMPLATES = 12


@dataclass(frozen=True, slots=True)
class Conditions:
    """How a computed specimen is looked at. Defocus in angstrom, U ≥ V, positive underfocus; B factor of the envelope in Å²."""

    pixel_size_angstrom: float = 1.0
    dose_e_per_angstrom2: float = 40.0
    defocus_u_angstrom: float = 15000.0
    defocus_v_angstrom: float = 14800.0
    defocus_angle_deg: float = 30.0
    voltage_kv: float = 300.0
    spherical_aberration_mm: float = 2.7
    amplitude_contrast: float = 0.07
    bfactor_angstrom2: float = 60.0

    def optics(self) -> Optics:
        return Optics(self.voltage_kv, self.spherical_aberration_mm, self.amplitude_contrast, self.pixel_size_angstrom)


def phantom(
    height: int,
    width: int,
    conditions: Conditions,
    *,
    seed: int,
    particle_diameter_angstrom: float = 130.0,
    coverage: float = 0.35,
    ice_ring: float = 0.3,
    ice_contrast: float = 0.10,
    particle_contrast: float = 0.12,
) -> Specimen:
    """Compute particles in vitreous ice.

    Particles are band-limited random densities (to 4 Å) inside a soft ball, not overlapping. The ice is white noise with a band
    at 3.7 Å whose power stands `ice_ring` above its surroundings. Contrasts are standard deviations of the potential, relative
    to the dose, before the transfer function. coverage: share of the picture that particles cover.
    """
    rng = np.random.default_rng(seed)
    density = np.zeros((height, width), np.float32)
    poses = _place_particles(
        rng, density, conditions.pixel_size_angstrom, particle_diameter_angstrom, coverage, particle_contrast
    )
    transform = rfft2(density)
    transform += _ice(rng, height, width, conditions.pixel_size_angstrom, ice_contrast, ice_ring)
    return _look(transform, (height, width), conditions, "phantom", poses)


def expose_potential(
    potential: NDArray[np.float32],
    conditions: Conditions,
    *,
    seed: int,
    name: str,
    poses: tuple[Pose, ...],
    ice_contrast: float = 0.08,
    ice_ring: float = 0.2,
) -> Specimen:
    """Put a projected potential (y, x), in relative contrast, into ice and under the transfer function."""
    height, width = potential.shape
    rng = np.random.default_rng(seed)
    transform = rfft2(potential)
    transform += _ice(rng, height, width, conditions.pixel_size_angstrom, ice_contrast, ice_ring)
    return _look(transform, (height, width), conditions, name, poses)


def _place_particles(
    rng: np.random.Generator,
    density: NDArray[np.float32],
    pixel: float,
    diameter_angstrom: float,
    coverage: float,
    contrast: float,
) -> tuple[Pose, ...]:
    height, width = density.shape
    box = min(2 * round(0.6 * diameter_angstrom / pixel), height, width)
    radius = 0.5 * diameter_angstrom / pixel
    templates = [_particle(rng, box, radius, pixel, contrast) for _ in range(_TEMPLATES)]
    wanted = int(coverage * height * width / (math.pi * radius**2))
    places = apart(rng, height - box, width - box, wanted, 2.04 * radius)
    for y, x in places:
        density[y : y + box, x : x + box] += templates[int(rng.integers(_TEMPLATES))]
    return tuple(Pose(y + box // 2, x + box // 2) for y, x in places)


def apart(rng: np.random.Generator, rows: int, columns: int, wanted: int, distance: float) -> list[tuple[int, int]]:
    """Throw up to `wanted` points into rows × columns, one after another, none nearer than `distance` to another."""
    placed = np.empty((0, 2))
    for y, x in zip(rng.integers(0, rows + 1, 8 * wanted), rng.integers(0, columns + 1, 8 * wanted), strict=True):
        if len(placed) == wanted:
            break
        if not len(placed) or np.hypot(placed[:, 0] - y, placed[:, 1] - x).min() >= distance:
            placed = np.vstack([placed, [y, x]])
    return [(int(y), int(x)) for y, x in placed]


def _particle(rng: np.random.Generator, box: int, radius: float, pixel: float, contrast: float) -> NDArray[np.float32]:
    axis = np.arange(box) - box // 2
    distance = np.hypot(axis[:, None], axis[None, :])
    thickness = np.sqrt(np.clip(1 - (distance / radius) ** 2, 0, 1))  # of a ball, at most 1
    s2 = np.fft.fftfreq(box, pixel)[:, None] ** 2 + np.fft.rfftfreq(box, pixel)[None, :] ** 2
    band = np.exp(-s2 / (2 * 0.08**2)) + 0.25 * (s2 < 0.25**2)  # strong below 12 Å, some to 4 Å
    noise = np.fft.irfft2(np.fft.rfft2(rng.normal(size=(box, box))) * band, (box, box))
    noise /= noise.std()
    return (contrast * (thickness * 0.8 + thickness * noise)).astype(np.float32)


def _ice(rng: np.random.Generator, height: int, width: int, pixel: float, contrast: float, ring: float) -> NDArray[np.complex64]:
    """The transform of the ice's projected potential: white noise, its power raised in a band at 3.7 Å."""
    spectrum = rfft2(rng.standard_normal((height, width), np.float32) * np.float32(contrast))
    if ring > 0:
        fx2 = np.fft.rfftfreq(width, pixel)[None, :] ** 2
        fy = np.fft.fftfreq(height, pixel)
        for start in range(0, height, 256):
            s = np.sqrt(fx2 + fy[start : start + 256, None] ** 2).astype(np.float32)
            spectrum[start : start + 256] *= np.sqrt(1 + ring * np.exp(-0.5 * ((s - 1 / 3.7) / 0.012) ** 2))
    return spectrum


def _look(
    transform: NDArray[np.complex64], shape: tuple[int, int], conditions: Conditions, name: str, poses: tuple[Pose, ...]
) -> Specimen:
    height, width = shape
    pixel = conditions.pixel_size_angstrom
    ctf = ctf_2d(
        height,
        width,
        conditions.optics(),
        conditions.defocus_u_angstrom,
        conditions.defocus_v_angstrom,
        conditions.defocus_angle_deg,
    )
    b = np.float32(-conditions.bfactor_angstrom2 / 4)
    transform *= ctf
    transform *= np.exp(b * (np.fft.fftfreq(height, pixel) ** 2))[:, None].astype(np.float32)
    transform *= np.exp(b * (np.fft.rfftfreq(width, pixel) ** 2))[None, :].astype(np.float32)
    picture = irfft2(transform, shape)
    picture += np.float32(1)
    np.maximum(picture, 0, out=picture)
    mean = conditions.dose_e_per_angstrom2 * pixel**2
    picture *= np.float32(mean / picture.mean(dtype=np.float64))
    return Specimen(
        name=name,
        picture=picture,
        pixel_size_angstrom=pixel,
        dose_e_per_angstrom2=conditions.dose_e_per_angstrom2,
        voltage_kv=conditions.voltage_kv,
        spherical_aberration_mm=conditions.spherical_aberration_mm,
        amplitude_contrast=conditions.amplitude_contrast,
        applied_defocus_angstrom=0.5 * (conditions.defocus_u_angstrom + conditions.defocus_v_angstrom),
        defocus_u_angstrom=conditions.defocus_u_angstrom,
        defocus_v_angstrom=conditions.defocus_v_angstrom,
        defocus_angle_deg=conditions.defocus_angle_deg,
        poses=poses,
    )
