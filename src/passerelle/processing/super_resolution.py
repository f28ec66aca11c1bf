"""By how much the frames of a movie are finer than the pixels of its camera."""

from __future__ import annotations

# (longer side, shorter side) of a frame. Cameras that also read out in super resolution, which places electrons on half pixels
_SUPER_RESOLUTION = {(7676, 7420), (11520, 8184)}  # Gatan K2, K3
_PHYSICAL = {(3838, 3710), (5760, 4092)}


def super_resolution_factor(height: int, width: int, *, said: bool | None = None, eer_upsampling: int = 1) -> int:
    """Return how many pixels of a frame, a side, make one of the camera's: 1, 2 or 4.

    said: what the acquisition program says. The size of a known camera's frame is believed before it: programs that save
    binned frames go on to say that the camera read out in super resolution. eer_upsampling: of a rendered EER.
    """
    if eer_upsampling > 1:
        return eer_upsampling
    size = (max(height, width), min(height, width))
    if size in _SUPER_RESOLUTION:
        return 2
    return 2 if said and size not in _PHYSICAL else 1
