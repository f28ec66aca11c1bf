"""Where the numerics run: on the processors, or on a graphics card."""

from __future__ import annotations

from passerelle.core.errors import BadConfiguration
from passerelle.imaging.kernels import Kernels


def kernels_for(device: str | Kernels, threads: int = 1) -> Kernels:
    """Return the operations of a device: "cpu" runs numba in `threads` threads. Kernels are returned as they are.

    Raises:
        BadConfiguration: there is no such device.
    """
    if not isinstance(device, str):
        return device
    if device == "cpu":
        from passerelle.imaging.kernels_numba import NumbaKernels  # it imports the files that import this one

        return NumbaKernels(threads)
    raise BadConfiguration(f"There is no device {device!r}.", advice='Give "cpu".')
