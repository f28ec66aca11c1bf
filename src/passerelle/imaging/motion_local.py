"""Local motion: patches of the binned frames, fitted together by one smooth model."""

# numpy, scipy and numba leave types unknown
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from passerelle.imaging import fft
from passerelle.imaging.kernels import Held, Kernels
from passerelle.imaging.motion_model import (
    Basis,
    Coefficients,
    added,
    basis_for,
    field_arrays,
    model_shifts,
    solve_step,
)
from passerelle.imaging.motion_modes import Match, echo_of, edge_window, mode_grid, reliability, without_echo

_OVERLAP = 1.3  # side of a patch over the distance of patches
_START_PX = 5.0  # width of the correlation peak that local motion is first looked for with
_OUTLIER = 3.0
_LEAST_PATCH_PX = 96  # pixels of the movie; fewer patches where they would be smaller


@dataclass(frozen=True, slots=True)
class LocalMotion:
    """See MotionEstimate; global_px and local_px as in MotionField."""

    global_px: NDArray[np.float64]
    local_px: NDArray[np.float32]
    centres_px: NDArray[np.float64]
    shifts_px: NDArray[np.float64]
    patch_rejected: NDArray[np.bool_]
    shift_rejected: NDArray[np.bool_]
    residual_px: float


def find_local_motion(
    binned: Held,
    track_px: NDArray[np.float64],
    *,
    usable: NDArray[np.bool_],
    size: tuple[int, int],
    binning: int,
    pixel_size_angstrom: float,
    bfactor_angstrom2: float,
    patches: tuple[int, int],
    time_count: int,
    kernels: Kernels,
    pattern: float = 0.0,
) -> LocalMotion:
    """Find the motion of patches of binned frames (t, y, x) about the drift track_px (t, 2), and the smooth field that they
    follow."""
    count, height, width = binned.shape
    patches = possible_patches(patches, size)
    side = tuple(_patch_side(n, parts) for n, parts in ((height, patches[0]), (width, patches[1])))
    corners = [(y, x) for y in _spread(height - side[0], patches[0]) for x in _spread(width - side[1], patches[1])]
    centres = (np.array(corners, np.float64) + np.array(side) / 2) * binning - 0.5
    basis = basis_for(centres, patches, size, count, time_count)
    state = Coefficients(
        track_px - track_px[usable].mean(axis=0) if usable.any() else track_px,
        np.zeros((basis.space.shape[1], basis.time.shape[1], 2)),
    )
    flat = len(corners) < 2 or int(usable.sum()) < 2 or min(side) < 24
    if flat:
        basis = Basis(np.zeros((len(corners), 0)), basis.time, (0, 0))
        state = Coefficients(state.drift, np.zeros((0, basis.time.shape[1], 2)))
        global_px, local_px = field_arrays(basis, state)
        shifts = np.repeat(global_px[None], len(corners), axis=0)
        nothing = np.zeros((len(corners), count), np.bool_)
        return LocalMotion(global_px, local_px, centres, shifts, nothing[:, 0], nothing | ~usable, 0.0)

    grid = mode_grid((side[0], side[1]), binning, pixel_size_angstrom, bfactor_angstrom2)
    window = edge_window((side[0], side[1]), 0.2)
    offset = np.rint(state.drift / binning).astype(np.intp)
    starts = np.clip(np.array(corners)[:, None] + offset, 0, [height - side[0], width - side[1]])  # (p, t, 2)
    origins = ((starts - np.array(corners)[:, None]) * binning).astype(np.float64)
    modes = kernels.patch_modes(binned, starts, usable, grid, window)

    trust = np.ones((len(corners), count)) * usable
    kept = np.ones(len(corners), np.bool_)
    wide = max(8 * np.pi**2 * (_START_PX * pixel_size_angstrom) ** 2, bfactor_angstrom2)
    between = float(np.sqrt(wide * bfactor_angstrom2))
    schedule = [wide, wide, between, between, *[bfactor_angstrom2] * 4]
    trusted: NDArray[np.float32] | None = None
    frames = int(usable.sum())
    variances = np.full(basis.space.shape[1], 1.0)
    measured = np.zeros((len(corners), count, 2))
    for place, bfactor in enumerate(schedule):
        model = model_shifts(basis, state)
        echo = echo_of(grid, pattern, bfactor, trusted)
        matches = modes.match(model - origins, bfactor, trusted)
        matches = [without_echo(match, echo, model[p], usable) for p, match in enumerate(matches)]
        stiffness, signal = _stiffness(matches, usable)
        kept = signal & kept
        if not kept.any():
            break
        slopes = np.stack([match.slope for match in matches])
        measured = np.einsum("pcd,ptd->ptc", np.linalg.inv(stiffness), slopes)
        trust = _trust(measured, usable, kept)
        limit = 2 * np.sqrt(bfactor / (8 * np.pi**2)) / pixel_size_angstrom
        # the frames' sum stands for the specimen: its log-likelihood is |sum|² / frames; patches overlap and count once
        scale = 2 / frames / _OVERLAP**2
        step, variances = solve_step(
            basis, state, variances, scale * slopes, scale * frames / (frames - 1) * stiffness, trust, learn=place >= 3
        )
        state = added(state, _limited(step, limit))
        if place in (3, 5):
            trusted = reliability(grid, modes.power(model_shifts(basis, state) - origins), frames)
    residual = measured  # of the last round, about the model before its last, small step
    rejected = (trust < 0.5) | ~usable
    good = ~rejected & kept[:, None]
    rms = float(np.sqrt(np.mean(np.sum(residual[good] ** 2, axis=-1)))) if good.any() else 0.0
    global_px, local_px = field_arrays(basis, state)
    shifts = model_shifts(basis, state) + np.clip(residual, -20, 20)
    middle = count // 2
    shifts = shifts - (model_shifts(basis, state)[:, middle : middle + 1])
    return LocalMotion(global_px, local_px, centres, shifts, ~kept, rejected, rms)


def possible_patches(wanted: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """Return how many patches along y and x a picture of `size` (pixels of the movie) has room for."""
    return max(1, min(wanted[0], size[0] // _LEAST_PATCH_PX)), max(1, min(wanted[1], size[1] // _LEAST_PATCH_PX))


def _patch_side(length: int, parts: int) -> int:
    if parts < 2:
        return length - length % 2
    side = int(min(length, _OVERLAP * length / parts))
    while side > 8 and fft.fast_length(side) != side:
        side -= 1
    return side


def _spread(room: int, parts: int) -> list[int]:
    return [0] if parts < 2 else [round(room * i / (parts - 1)) for i in range(parts)]


def _stiffness(matches: list[Match], usable: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return each patch's mean stiffness (p, 2, 2) over frames and whether it has any signal; those without get a harmless
    one."""
    single = np.stack([-match.curvature[usable] for match in matches])  # (p, t, 2, 2)
    stiffness = single.mean(axis=1)
    # a patch's own value counts as far as the patches differ by more than what noise makes them differ
    size = np.einsum("ptcc->pt", single)
    error = size.var(axis=1).mean() / max(size.shape[1] - 1, 1)
    between = max(float(size.mean(axis=1).var() - error), 0.0)
    stiffness = stiffness.mean(axis=0) + between / max(between + error, 1e-30) * (stiffness - stiffness.mean(axis=0))
    lowest = np.linalg.eigvalsh(stiffness)[:, 0]
    signal = lowest > 0.02 * max(float(np.median(np.linalg.eigvalsh(stiffness)[:, 1])), 0.0)
    stiffness[~signal] = np.eye(2) * max(float(np.abs(stiffness).max()), 1e-12)
    return stiffness, signal


def _trust(measured: NDArray[np.float64], usable: NDArray[np.bool_], kept: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return weights (p, t): measurements far from the model, seen by the spread of their patch and of all, lose theirs
    (Cauchy)."""
    length = np.hypot(measured[..., 0], measured[..., 1])
    typical = max(float(np.median(length[kept][:, usable])), 0.02)
    own = np.median(length[:, usable], axis=1)
    patch = 1 / (1 + (own / (_OUTLIER * typical)) ** 4)
    single = 1 / (1 + (length / (_OUTLIER * np.maximum(own, typical)[:, None])) ** 2)
    return patch[:, None] * single * usable * kept[:, None]


def _limited(step: Coefficients, limit_px: float) -> Coefficients:
    largest = max(float(np.abs(step.drift).max(initial=0.0)), float(np.abs(step.local).max(initial=0.0)))
    factor = min(1.0, limit_px / max(largest, 1e-9))
    return Coefficients(step.drift * factor, step.local * factor)
