"""Where the numerics run: on the processors, or on a graphics card."""

from __future__ import annotations

import re
from importlib.util import find_spec

from passerelle.core.devices import DEVICE_PATTERN
from passerelle.core.errors import BadConfiguration
from passerelle.imaging.kernels import Kernels


def kernels_for(device: str | Kernels, threads: int = 1) -> Kernels:
    """Return the operations of a device: "cpu" runs numba in `threads` threads; "cuda", "cuda:1" run torch on a graphics card.

    Kernels are returned as they are. Results of two devices differ by less than 0.02 px in motion and 1e-3 in the image.

    Raises:
        BadConfiguration: there is no such device, or what it needs is not installed.
    """
    if not isinstance(device, str):
        return device
    # both import files that import this one, and torch is not installed everywhere
    if device == "cpu":
        from passerelle.imaging.kernels_numba import NumbaKernels

        return NumbaKernels(threads)
    if not re.fullmatch(DEVICE_PATTERN, device):
        raise BadConfiguration(f"There is no device {device!r}.", advice='Give "cpu", "cuda", or "cuda:1" for the second card.')
    if find_spec("torch") is None:
        raise BadConfiguration(
            f"The device {device!r} needs torch, which is not installed.",
            advice='Install it with `pip install "passerelle[gpu]"`, or set the device to "cpu".',
        )
    from passerelle.imaging.torch_kernels import card_kernels

    return card_kernels(device, threads)
