"""The gain reference: which way it lies on the movie, and how much of the camera's pattern it leaves behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerelle.core.errors import BadInput
from passerelle.imaging.kernels_local import neighbourhood_mean

# As seen with row 0 at the bottom and x to the right (MRC): rotations are counter-clockwise, flip_x mirrors left and right,
# flip_y bottom and top, transpose mirrors on the diagonal y = x, antitranspose on the other one.
_TURNS: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "as_written": lambda g: g,
    "rotate_90": lambda g: np.rot90(g, -1),
    "rotate_180": lambda g: g[::-1, ::-1],
    "rotate_270": lambda g: np.rot90(g, 1),
    "flip_x": lambda g: g[:, ::-1],
    "flip_y": lambda g: g[::-1],
    "transpose": lambda g: g.T,
    "antitranspose": lambda g: g[::-1, ::-1].T,
}
ORIENTATIONS: tuple[str, ...] = tuple(_TURNS)

_DETAIL_PX = 9  # pattern finer than this counts; what is coarser may be the specimen
_SMOOTH_PX = 32
_CERTAIN_SIGMA = 8.0


def orient(gain: NDArray[Any], name: str) -> NDArray[Any]:
    """Turn a gain (y, x) as `name` of ORIENTATIONS says; a contiguous array.

    Raises:
        BadInput: no such orientation.
    """
    if name not in _TURNS:
        raise BadInput(f"There is no gain orientation {name!r}.", advice=f"Use one of {', '.join(ORIENTATIONS)}.")
    return np.ascontiguousarray(_TURNS[name](gain))


def multiplier(gain: NDArray[Any], *, divide: bool = False) -> NDArray[np.float32]:
    """Return the factors (y, x) that correct raw counts by `corrected = raw * factor`; 0 marks pixels without a usable gain.

    divide: the reference is one to divide by (EER .gain). The factors' median is scaled to 1 in that case.
    """
    factors = np.asarray(gain, np.float32)
    usable = np.isfinite(factors) & (factors > 0)
    if divide:
        scale = np.float32(np.median(factors[usable])) if usable.any() else np.float32(1)
        factors = np.divide(scale, factors, out=np.zeros_like(factors), where=usable)
    return np.where(usable, factors, np.float32(0))


@dataclass(frozen=True, slots=True)
class OrientationScore:
    """How well a gain in one orientation explains the fine pattern of the mean raw frame.

    correlation: of the mean frame's fine pattern with the gain's expected one, -1 … 1. strength: regression of the one on the
    other: 1 where the gain is right, near 0 where it is in a wrong orientation or was applied already, -1 where its inverse was
    meant. residual_sd: standard deviation of the fine pattern that stays after correction, relative to the mean. significance:
    correlation over its standard error.
    """

    name: str
    correlation: float
    strength: float
    residual_sd: float
    significance: float


def rank_orientations(mean_frame: NDArray[Any], gain: NDArray[Any]) -> tuple[OrientationScore, ...]:
    """Rank the orientations of `gain` (multipliers) on the mean of raw, uncorrected frames (y, x), best first.

    Only orientations whose shape fits are ranked. Use the mean over all frames of one to three movies.

    Raises:
        BadInput: no orientation has the shape of the frames.
    """
    names = [name for name in ORIENTATIONS if _TURNS[name](gain).shape == mean_frame.shape]
    if not names:
        raise BadInput(
            f"The gain is {gain.shape[1]} × {gain.shape[0]} pixels, the movie's frames are "
            f"{mean_frame.shape[1]} × {mean_frame.shape[0]}: no orientation fits.",
            advice="Give the gain of this camera and mode.",
        )
    factors = multiplier(gain)
    live = factors > 0
    wanted = _detail(np.divide(1, factors, out=np.zeros_like(factors), where=live), live)
    seen = _detail(np.asarray(mean_frame, np.float32), np.asarray(mean_frame) > 0)
    scores = [_score(name, seen, np.ascontiguousarray(_TURNS[name](wanted))) for name in names]
    return tuple(sorted(scores, key=lambda score: score.correlation, reverse=True))


def better_orientation(scores: tuple[OrientationScore, ...], used: str) -> OrientationScore | None:
    """Return the orientation that beyond doubt fits better than `used`, or None: then `used` may stay.

    Beyond doubt: its pattern is found with certainty, and its correlation exceeds that of `used` by 8 standard errors and a
    fifth.
    """
    current = next((score for score in scores if score.name == used), None)
    best = scores[0]
    if best.name == used or best.significance < _CERTAIN_SIGMA:
        return None
    if current is None:
        return best
    error = best.correlation / best.significance
    ahead = best.correlation - max(current.correlation, 0.0)
    return best if ahead > _CERTAIN_SIGMA * error and ahead > 0.2 * best.correlation else None


def _detail(picture: NDArray[np.float32], live: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Relative difference of each pixel from its neighbourhood; 0 at dead pixels and at extremes."""
    known = np.where(live, picture, np.float32(0))
    local = neighbourhood_mean(known, live, _DETAIL_PX // 2, 0.3)
    usable = live & (local > 0)
    detail = np.divide(known, local, out=np.ones_like(known), where=usable) - np.float32(1)
    spread = 1.4826 * float(np.median(np.abs(detail[:: max(1, detail.shape[0] // 512)])))
    detail[np.abs(detail) > 6 * max(spread, 1e-6)] = 0
    return detail


def _score(name: str, seen: NDArray[np.float32], wanted: NDArray[np.float32]) -> OrientationScore:
    n = seen.size
    both = float(np.vdot(seen, wanted)) / n
    power_seen, power_wanted = float(np.vdot(seen, seen)) / n, float(np.vdot(wanted, wanted)) / n
    if power_seen <= 0 or power_wanted <= 0:
        return OrientationScore(name, 0.0, 0.0, float(np.sqrt(power_seen)), 0.0)
    correlation = both / float(np.sqrt(power_seen * power_wanted))
    left = max(power_seen - 2 * both + power_wanted, 0.0)
    return OrientationScore(name, correlation, both / power_wanted, float(np.sqrt(left)), correlation * float(np.sqrt(n)))


def residual_gain(mean_frame_corrected: NDArray[Any], *, noise_variance: float = 0.0) -> tuple[float, float]:
    """Measure what pattern is left in the mean of gain-corrected frames (y, x): (sd, ratio).

    sd: standard deviation of the pattern finer than 9 pixels, relative to the mean, beyond shot noise; `noise_variance` is that
    of a pixel of the mean (FrameStatistics.noise_variance). ratio: 97.5th over 2.5th percentile of the smoothed mean frame,
    which the specimen and the illumination also widen.
    """
    picture = np.asarray(mean_frame_corrected, np.float32)
    live = np.isfinite(picture) & (picture > 0)
    if not live.any():
        return 0.0, 1.0
    mean = float(picture[live].mean(dtype=np.float64))
    picture = np.where(live, picture, np.float32(mean))
    detail = _detail(picture, live)
    # the local mean takes 1/81 of the noise with it
    variance = float(np.vdot(detail, detail)) / detail.size / (1 - 1 / _DETAIL_PX**2) - noise_variance / mean**2
    smooth = neighbourhood_mean(picture, live, _SMOOTH_PX // 2)
    smooth = smooth[smooth > 0]
    sd = float(np.sqrt(max(variance, 0.0)))
    if not smooth.size:  # so few counts that nowhere a neighbourhood is known
        return sd, 1.0
    low, high = (float(v) for v in np.percentile(smooth[:: max(1, smooth.size // 200_000)], (2.5, 97.5)))
    return sd, high / low if low > 0 else 1.0
