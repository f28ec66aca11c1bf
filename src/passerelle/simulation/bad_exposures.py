"""Exposures that a person would reject: an empty hole, ice crystals on the specimen."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from passerelle.imaging.fft import irfft2, rfft2
from passerelle.simulation.phantom import Conditions
from passerelle.simulation.specimen import Specimen

_COARSE_PX = 8  # crystals are drawn on blocks of this side
_CRYSTAL_RINGS_PER_ANGSTROM = (1 / 3.90, 1 / 3.67, 1 / 3.44)  # hexagonal ice
_RING_WIDTH_PER_ANGSTROM = 0.003


def empty_hole(height: int, width: int, conditions: Conditions) -> Specimen:
    """Compute a hole without ice: the beam and nothing else."""
    flat = np.full((height, width), conditions.dose_e_per_angstrom2 * conditions.pixel_size_angstrom**2, np.float32)
    return Specimen(
        name="empty-hole",
        picture=flat,
        pixel_size_angstrom=conditions.pixel_size_angstrom,
        dose_e_per_angstrom2=conditions.dose_e_per_angstrom2,
        voltage_kv=conditions.voltage_kv,
        spherical_aberration_mm=conditions.spherical_aberration_mm,
        amplitude_contrast=conditions.amplitude_contrast,
        applied_defocus_angstrom=conditions.defocus_u_angstrom,
    )


def contaminate(
    electrons: NDArray[np.uint16], pixel_size_angstrom: float, *, seed: int, coverage: float = 0.2, lattice_contrast: float = 0.12
) -> NDArray[np.uint16]:
    """Return what is left of a picture's electrons (y, x) under thick crystals of ice that cover `coverage` of it.

    The crystals let 25 to 50 % through and, where the pixels are fine enough, show the lattice spacings of hexagonal ice with a
    standard deviation of `lattice_contrast`.
    """
    height, width = electrons.shape
    thickness = crystals(height, width, seed=seed, coverage=coverage)
    passed = 1 - 0.75 * thickness
    if 2 * pixel_size_angstrom < 1 / _CRYSTAL_RINGS_PER_ANGSTROM[0]:
        passed *= 1 + np.float32(lattice_contrast) * thickness * _lattice(height, width, pixel_size_angstrom, seed)
    passed *= electrons
    passed += np.random.default_rng([seed, 1]).random(electrons.shape, np.float32)  # unbiased rounding
    return np.clip(passed, 0, 65535).astype(np.uint16)


def crystals(height: int, width: int, *, seed: int, coverage: float) -> NDArray[np.float32]:
    """Return the thickness of ice crystals (y, x), from 0 to 1, that cover about `coverage` of the picture."""
    rng = np.random.default_rng(seed)
    h, w = -(-height // _COARSE_PX), -(-width // _COARSE_PX)
    y, x = np.ogrid[:h, :w]
    thickness = np.zeros((h, w), np.float32)
    for _ in range(400):
        if (thickness > 0.5).mean() >= coverage:
            break
        cy, cx, radius = rng.uniform(0, h), rng.uniform(0, w), rng.uniform(0.05, 0.16) * min(h, w)
        angle, corners = rng.uniform(0, math.pi), rng.integers(5, 8)
        bearing = np.arctan2(y - cy, x - cx) + angle
        edge = radius * np.cos(math.pi / corners) / np.cos((bearing % (2 * math.pi / corners)) - math.pi / corners)
        inside = np.clip((edge - np.hypot(y - cy, x - cx)) / 3.0, 0, 1)
        np.maximum(thickness, inside * rng.uniform(0.7, 1.0), out=thickness)
    rows = np.minimum(np.arange(height) // _COARSE_PX, h - 1)
    columns = np.minimum(np.arange(width) // _COARSE_PX, w - 1)
    return thickness[rows[:, None], columns[None, :]]


def _lattice(height: int, width: int, pixel: float, seed: int) -> NDArray[np.float32]:
    """Noise of unit variance at the spacings of hexagonal ice."""
    spectrum = rfft2(np.random.default_rng([seed, 2]).standard_normal((height, width), np.float32))
    fx2 = np.fft.rfftfreq(width, pixel)[None, :] ** 2
    fy = np.fft.fftfreq(height, pixel)
    for start in range(0, height, 256):
        s = np.sqrt(fx2 + fy[start : start + 256, None] ** 2)
        rings = sum(np.exp(-0.5 * ((s - ring) / _RING_WIDTH_PER_ANGSTROM) ** 2) for ring in _CRYSTAL_RINGS_PER_ANGSTROM)
        spectrum[start : start + 256] *= np.asarray(rings, np.float32)
    noise = irfft2(spectrum, (height, width))
    return noise / max(float(noise.std()), 1e-12)
