"""Micrographs of known contrast transfer: a random specimen imaged by a CTF, in the noise of electrons and of ice."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from passerelle.imaging.ctf_model import Optics, ctf_2d
from passerelle.imaging.fft import irfft2, rfft2

_WATER_PER_ANGSTROM, _WATER_WIDTH = 1 / 3.7, 0.006


def simulate_micrograph(
    shape: tuple[int, int],
    optics: Optics,
    *,
    defocus_u_angstrom: float,
    defocus_v_angstrom: float,
    angle_deg: float,
    phase_shift_deg: float = 0.0,
    signal: float = 1.0,
    bfactor_angstrom2: float = 80.0,
    ice: float = 0.0,
    seed: int = 0,
) -> NDArray[np.float32]:
    """Return a micrograph (y, x), float32, of a random specimen (protein in ice, as its power spectrum) and fresh noise.

    signal: power of the specimen at 1/20 Å⁻¹ over that of the shot noise; 1 gives a 4k picture rings as clear as in a good Krios
    micrograph. bfactor_angstrom2: damps amplitudes by exp(-B s²/4). ice: height of a ring at 3.7 Å over the noise.
    """
    height, width = shape
    random = np.random.default_rng(seed)
    fx = np.fft.rfftfreq(width, optics.pixel_size_angstrom).astype(np.float32)[None, :]
    fy = np.fft.fftfreq(height, optics.pixel_size_angstrom).astype(np.float32)[:, None]
    squared = fx * fx + fy * fy
    spacing = np.sqrt(squared)
    specimen = 1.2 * np.exp(squared / -(2 * 0.02**2)) + np.exp(squared / -(2 * 0.08**2)) + 0.25
    specimen *= signal * np.exp(-0.5 * bfactor_angstrom2 * squared)
    noise = 1.0 + 3.0 * np.exp(spacing / -0.02)
    if ice:
        noise *= 1.0 + ice * np.exp(np.square(spacing - _WATER_PER_ANGSTROM) / -(2 * _WATER_WIDTH**2))
    detector = 0.8 * np.exp(squared / -(2 * 0.5**2)) + 0.2
    transfer = ctf_2d(height, width, optics, defocus_u_angstrom, defocus_v_angstrom, angle_deg, phase_shift_deg)
    transform = rfft2(random.standard_normal(shape, np.float32)) * (np.sqrt(specimen) * transfer)
    transform += rfft2(random.standard_normal(shape, np.float32)) * np.sqrt(noise)
    transform *= np.sqrt(detector)
    return irfft2(transform, shape)
