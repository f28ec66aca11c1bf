"""The units of the house, and the few conversions between them and the units of others.

A length on the specimen is in angstrom, on a detector in pixels (`px`); doses in electrons per square angstrom;
angles in degrees; times in seconds; instants as UTC seconds since 1970 (`_at`) or nanoseconds (`_ns`). The unit stands
in the name.
"""

from __future__ import annotations

import math

ANGSTROM_PER_METRE = 1e10
ANGSTROM_PER_MICROMETRE = 1e4
ANGSTROM_PER_NANOMETRE = 10.0
KILOVOLT_PER_VOLT = 1e-3
ANGSTROM_PER_MILLIMETRE = 1e7


def electron_wavelength_angstrom(voltage_kv: float) -> float:
    """Return the relativistic wavelength of an electron, in angstrom (Kirkland, Advanced Computing in EM, eq. 2.5).

    300 kV gives 0.019687 Å, 200 kV 0.025079 Å.
    """
    volt = voltage_kv * 1e3
    return 12.2643 / math.sqrt(volt * (1.0 + 0.978466e-6 * volt))
