"""What a camera's fixed pattern does to correlations, and how it is taken out.

A pattern that stays in place (a gain that does not fit, or none) makes every two frames alike at no shift at all, and with a
weak specimen the drift would lock there. The pattern of single pixels is white, as the shot noise is, so one number says how
strong it is: its variance over that of the noise in a frame. What it adds to each correlation on average then follows, and is
subtracted.
"""

# numpy, scipy and numba leave types unknown
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import j0, j1

from passerelle.imaging.frames import FrameStatistics
from passerelle.imaging.kernels_local import chess_board_power

_REACH_PX, _STEP_PX = 96.0, 0.1
_LEAST_SHARE = 0.03  # of the noise in the sum of all frames; a weaker pattern does no harm


def pattern_strength(statistics: FrameStatistics, board: tuple[float, int], frames: int) -> float:
    """Return the variance of the fixed pattern over that of the noise of one of `frames` frames, from the detail of the mean
    frame near Nyquist: board, see chess_board."""
    power, count = board
    if count < 64 or statistics.noise_variance <= 0:
        return 0.0
    beyond = power / count / 4 / statistics.noise_variance - 1
    return beyond / frames if beyond > _LEAST_SHARE else 0.0


def chess_board(
    mean: NDArray[np.float32], gain: NDArray[np.float32] | None, defects: NDArray[np.bool_] | None
) -> tuple[float, int]:
    """Return the sum of squares, over 2 × 2 pixels of the mean frame (y, x) times the gain, of their sum with signs of a chess
    board, and of how many; where one is bad, none.

    Such a sum sees neither rows, nor columns, nor a specimen that is wider than a pixel.
    """
    return chess_board_power(
        np.ascontiguousarray(mean, np.float32),
        np.zeros((0, 0), np.float32) if gain is None else np.ascontiguousarray(gain, np.float32),
        np.zeros((0, 0), np.bool_) if defects is None else np.ascontiguousarray(defects),
    )


@dataclass(frozen=True, slots=True)
class PatternEcho:
    """The mean correlation that the pattern gives two frames as a function of the distance of their shifts (pixels of the movie):
    value, slope and bend at 0, 0.1, 0.2 … px."""

    value: NDArray[np.float64]
    slope: NDArray[np.float64]
    bend: NDArray[np.float64]

    def at(self, shifts_px: NDArray[np.float64], usable: NDArray[np.bool_]) -> tuple[NDArray[np.float64], ...]:
        """Return what the other usable frames' pattern adds to each frame's correlation (t,), its slope (t, 2) and curvature
        (t, 2, 2)."""
        apart = shifts_px[:, None, :] - shifts_px[None, :, :]
        distance = np.hypot(apart[..., 0], apart[..., 1])
        places = np.arange(len(self.value)) * _STEP_PX
        others = (usable[:, None] & usable[None, :] & ~np.eye(len(usable), dtype=np.bool_)).astype(np.float64)
        value, slope, bend = (np.interp(distance, places, f, right=0.0) * others for f in (self.value, self.slope, self.bend))
        along = apart / np.maximum(distance, 1e-9)[..., None]
        turn = np.where(distance > 1e-6, slope / np.maximum(distance, 1e-6), bend)
        outer = along[..., :, None] * along[..., None, :]
        curvature = bend[..., None, None] * outer + turn[..., None, None] * (np.eye(2) - outer)
        return value.sum(axis=1), (slope[..., None] * along).sum(axis=1), curvature.sum(axis=1)


def pattern_echo(
    strength: float, radius_per_px: NDArray[np.float64], weights: NDArray[np.float64], noise_share: float = 1.0
) -> PatternEcho:
    """Return the echo of a pattern of `strength` in correlations over modes at radius_per_px (cycles per pixel) with `weights`.

    The modes lie on half a plane evenly, so a sum of waves is a sum of Bessel functions. noise_share: noise in the whitened
    power.
    """
    edges = np.linspace(0, float(radius_per_px.max(initial=1e-6)) * 1.0001, 97)
    ring = np.clip(np.digitize(radius_per_px, edges) - 1, 0, 95)
    middle = 0.5 * (edges[:-1] + edges[1:])
    amount = np.bincount(ring, weights, 96) * strength / (1 + strength) * noise_share
    k = 2 * np.pi * middle
    r = np.arange(0, _REACH_PX, _STEP_PX)
    x = np.maximum(r[:, None] * k[None, :], 1e-9)
    zero, one = j0(x), j1(x)
    return PatternEcho(zero @ amount, -(one @ (amount * k)), -((zero - one / x) @ (amount * k * k)))
