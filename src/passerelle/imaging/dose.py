"""Dose weighting: how much of each spatial frequency is left after a dose (Grant & Grigorieff, eLife 2015,
doi:10.7554/eLife.06980)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# The critical dose was measured at 300 kV; slower electrons damage more (0.8 at 200 kV in the paper; 100 kV by the same step).
_VOLTAGES_KV = (100.0, 200.0, 300.0)
_VOLTAGE_FACTORS = (0.64, 0.8, 1.0)


def critical_dose(frequency_per_angstrom: NDArray[Any], voltage_kv: float) -> NDArray[np.float64]:
    """Return the dose (e/Å²) after which the amplitude at a frequency (1/Å) has fallen to exp(-1/2): 0.245 k^-1.665 + 2.81 at
    300 kV."""
    k = np.maximum(np.asarray(frequency_per_angstrom, np.float64), 1e-6)
    return (0.245 * k**-1.665 + 2.81) * float(np.interp(voltage_kv, _VOLTAGES_KV, _VOLTAGE_FACTORS))


def dose_weights(
    frames: int,
    frequency_per_angstrom: NDArray[Any],
    *,
    voltage_kv: float,
    dose_per_frame: float,
    pre_exposure: float = 0.0,
) -> NDArray[np.float64]:
    """Return the weight exp(-N / 2 Nc(k)) of each frame at each frequency, shape (frames, len(frequency)).

    N is the dose on the specimen at the end of the frame, e/Å²; dose_per_frame and pre_exposure likewise. The weights are not
    normalised: a sum is divided by sqrt(sum of squared weights / frames), which keeps its noise that of the unweighted sum.
    """
    doses = pre_exposure + dose_per_frame * np.arange(1, frames + 1, dtype=np.float64)
    return np.exp(-0.5 * doses[:, None] / critical_dose(frequency_per_angstrom, voltage_kv)[None, :])


@dataclass(frozen=True, slots=True)
class DoseFactors:
    """Weights of frames × frequencies as a sum of few products: weights[t, k] ≈ mean_curve[k] + sum_r frame_factors[t, r] *
    curves[r, k].

    The constant part needs only the unweighted sum, the others one weighted sum each: so dose weighting costs about five
    transforms instead of one a frame. curves are normalised by sqrt(sum of squared weights / frames).
    """

    frame_factors: NDArray[np.float32]  # (frames, rank)
    mean_curve: NDArray[np.float32]  # (frequencies,)
    curves: NDArray[np.float32]  # (rank, frequencies)
    error: float  # largest difference from the exact normalised weights


def factorise(weights: NDArray[np.float64], tolerance: float = 1e-3, max_rank: int = 7) -> DoseFactors:
    """Split dose weights (frames, frequencies) into the fewest factors whose error stays below `tolerance` of the largest
    weight."""
    frames = weights.shape[0]
    normalised = weights / np.sqrt(np.maximum(np.mean(weights**2, axis=0, keepdims=True), 1e-12))
    mean = normalised.mean(axis=0)
    rest = normalised - mean
    left, values, right = np.linalg.svd(rest, full_matrices=False)
    rank, error = 0, float(np.abs(rest).max(initial=0.0))
    limit = min(max_rank, frames - 1, len(values))
    while rank < limit and error > tolerance * float(np.abs(normalised).max()):
        rank += 1
        approximation = (left[:, :rank] * values[:rank]) @ right[:rank]
        error = float(np.abs(rest - approximation).max())
    return DoseFactors(
        (left[:, :rank] * values[:rank]).astype(np.float32), mean.astype(np.float32), right[:rank].astype(np.float32), error
    )
