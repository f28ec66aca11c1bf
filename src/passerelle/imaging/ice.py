"""The ring of ice at 3.7 Å: how much it stands out of a spectrum."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerelle.imaging.spectrum import Spectrum, measure_spectrum

_RING_ANGSTROM = (3.9, 3.6)  # hexagonal ice 3.90, 3.67; cubic ice 3.67; the rings of crystals lie within
_BESIDE_ANGSTROM = ((4.6, 4.15), (3.45, 3.25))
_FINEST_PIXEL_ANGSTROM = 1.4


def ice_ring_score(image_or_spectrum: NDArray[Any] | Spectrum, pixel_size_angstrom: float, *, threads: int = 1) -> float | None:
    """Return the power of the ring at 3.6 to 3.9 Å above that beside it, relative to it; None where Nyquist is coarser than it.

    0 means no ring; vitreous ice gives little, by its thickness, crystalline ice more. The power beside the ring is a straight
    line, in the logarithm, through the bands 4.15–4.6 Å and 3.25–3.45 Å; where Nyquist cuts the second, the first alone is used.
    """
    if 2.0 * pixel_size_angstrom >= _RING_ANGSTROM[1]:
        return None
    if isinstance(image_or_spectrum, Spectrum):
        spectrum = image_or_spectrum
    else:
        spectrum = measure_spectrum(
            image_or_spectrum, pixel_size_angstrom, finest_pixel_angstrom=_FINEST_PIXEL_ANGSTROM, threads=threads
        )
    if spectrum.edge_per_angstrom < 1.0 / _RING_ANGSTROM[1]:
        return None
    spacing = 1.0 / np.sqrt(spectrum.squared)
    weight = spectrum.weight.sum(axis=0, dtype=np.float64)
    power = spectrum.ring_power.astype(np.float64)

    def band(edges: tuple[float, float]) -> NDArray[np.intp]:
        return np.flatnonzero((spacing <= edges[0]) & (spacing >= edges[1]) & (weight > 0))

    ring = band(_RING_ANGSTROM)
    beside = [cells for cells in map(band, _BESIDE_ANGSTROM) if cells.size >= 3]
    if ring.size < 3 or not beside:
        return None
    middle = [float(spectrum.squared[cells].mean()) for cells in beside]
    level = [float(np.log(np.median(power[cells]))) for cells in beside]
    base = np.exp(np.interp(spectrum.squared[ring], middle, level))
    if len(beside) == 2:
        slope = (level[1] - level[0]) / (middle[1] - middle[0])
        base = np.exp(level[0] + slope * (spectrum.squared[ring] - middle[0]))
    return float(np.average(power[ring] / base, weights=weight[ring])) - 1.0
