"""Pixels that cannot be trusted: finding them in the mean frame, and good pixels that stand in for them."""

# numpy, scipy and numba leave types unknown
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from passerelle.imaging.kernels_local import mean_of_live, neighbourhood_mean, stabilise, standing_out, subtract_from

_STAND_INS = 4
_HOT_SIGMA = 8.0
_MANY = 2e-3


def find_hot_pixels(
    mean_frame: NDArray[Any],
    *,
    noise_variance: float,
    gain: NDArray[np.float32] | None = None,
    defects: NDArray[np.bool_] | None = None,
    sigma: float = _HOT_SIGMA,
) -> NDArray[np.bool_]:
    """Find pixels that are far brighter or darker than their neighbourhood in the mean of raw frames (y, x); True = bad.

    noise_variance: of a pixel of the mean (FrameStatistics.noise_variance): counts scatter in proportion to their mean, so a
    variance-stabilising square root (Anscombe 1948) is compared with the mean of 7 × 7 pixels. A drifting specimen has no
    detail of one pixel, so what stands out is the camera. Pixels known as defects are not reported again.
    """
    mean_frame = np.ascontiguousarray(mean_frame, np.float32)
    live = np.ones(mean_frame.shape, np.bool_) if defects is None else ~defects
    none = np.zeros((0, 0), np.float32)
    stable = np.empty(mean_frame.shape, np.float32)
    mean = mean_of_live(mean_frame, none if gain is None else np.ascontiguousarray(gain, np.float32), live, stable)
    found = np.zeros(stable.shape, np.bool_)
    if noise_variance <= 0 or mean <= 0:
        return found
    known = ~live
    stabilise(stable, np.float32(mean / noise_variance))  # from counts to events
    step = max(1, len(stable) // 256)
    for _ in range(2):
        away = neighbourhood_mean(stable, live, 3)
        subtract_from(stable, away)
        sample = away[::step][live[::step]]
        centre = float(np.median(sample)) if sample.size else 0.0
        spread = max(1.4826 * float(np.median(np.abs(sample - centre))) if sample.size else 1.0, 1.0)
        if standing_out(away, np.float32(centre), np.float32(sigma * spread), known, found) < _MANY * found.size:
            break
        live = ~(known | found)  # many: again, without the neighbours that are bad themselves
    return found


@dataclass(frozen=True, slots=True)
class Repairs:
    """Defects by row and the good pixels that replace them. rows: (y + 1,) first defect of each row; table: (n, 1 + 2 · 4) int32,
    (x, y1, x1 … y4, x4)."""

    rows: NDArray[np.int64]
    table: NDArray[np.int32]


def plan_repairs(defects: NDArray[np.bool_] | None, shape: tuple[int, int]) -> Repairs:
    """Choose for every defect (y, x) four good pixels near it, to stand in for it frame by frame in turn.

    Counts are copied, not averaged, so that the noise of a repaired pixel is that of its neighbours. Where all pixels are
    defects, none is replaced.
    """
    height = shape[0]
    empty = Repairs(np.zeros(height + 1, np.int64), np.zeros((0, 1 + 2 * _STAND_INS), np.int32))
    if defects is None or not defects.any() or defects.all():
        return empty
    ys, xs = np.nonzero(defects)
    offsets = [(dy, dx) for dy in range(-3, 4) for dx in range(-3, 4) if (dy, dx) != (0, 0)]
    offsets.sort(key=lambda o: (o[0] ** 2 + o[1] ** 2, (o[0] * 7 + o[1] * 13) % 5))
    chosen = np.full((len(ys), _STAND_INS, 2), -1, np.int32)
    have = np.zeros(len(ys), np.intp)
    for dy, dx in offsets:
        open_ = np.flatnonzero(have < _STAND_INS)
        if not open_.size:
            break
        y, x = ys[open_] + dy, xs[open_] + dx
        ok = (y >= 0) & (y < shape[0]) & (x >= 0) & (x < shape[1])
        ok[ok] = ~defects[y[ok], x[ok]]
        take = open_[ok]
        chosen[take, have[take]] = np.stack([y[ok], x[ok]], axis=1)
        have[take] += 1
    if (have == 0).any():
        nearest = np.asarray(distance_transform_edt(defects, return_distances=False, return_indices=True))
        far = np.flatnonzero(have == 0)
        chosen[far, 0] = nearest[:, ys[far], xs[far]].T
        have[far] = 1
    for slot in range(1, _STAND_INS):
        missing = np.flatnonzero(have <= slot)
        chosen[missing, slot] = chosen[missing, slot % np.maximum(have[missing], 1)]
    table = np.concatenate([xs[:, None].astype(np.int32), chosen.reshape(len(ys), -1)], axis=1)
    return Repairs(np.searchsorted(ys, np.arange(height + 1)).astype(np.int64), np.ascontiguousarray(table, np.int32))


def with_unusable(defects: NDArray[np.bool_] | None, gain: NDArray[np.float32] | None) -> NDArray[np.bool_] | None:
    """Return the defects (y, x) and the pixels whose gain is not a positive number; None where there are none."""
    if gain is None:
        return defects
    unusable = ~(np.isfinite(gain) & (gain > 0))
    if not unusable.any():
        return defects
    return unusable if defects is None else unusable | defects
