"""The smooth model of motion: free drift of the whole picture, frame by frame, plus local motion smooth in space and time."""

# numpy, scipy and numba leave types unknown
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import BSpline

from passerelle.imaging.kernels_solve import inverse_of_positive

_LEAST_VARIANCE_PX2 = 1e-6
_LEARNING_ROUNDS = 4
_GRID = 17  # control points a side of the field that is handed out


def space_terms(y: NDArray[np.float64], x: NDArray[np.float64], degree_y: int, degree_x: int) -> NDArray[np.float64]:
    """Return the polynomials of places (n,) in -1 … 1 without the constant one: shape (n, terms), total degree ≤ the larger
    degree."""
    highest = max(degree_y, degree_x)
    legendre_y = [np.polynomial.legendre.legval(y, np.eye(i + 1)[i]) for i in range(degree_y + 1)]
    legendre_x = [np.polynomial.legendre.legval(x, np.eye(i + 1)[i]) for i in range(degree_x + 1)]
    terms = [legendre_y[i] * legendre_x[j] for i in range(degree_y + 1) for j in range(degree_x + 1) if 0 < i + j <= highest]
    return np.stack(terms, axis=-1) if terms else np.zeros((*y.shape, 0))


def time_terms(frames: int, wanted: int) -> NDArray[np.float64]:
    """Return splines over the frames, shape (frames, terms): cubic, finer at the start of the exposure, where specimens move
    most."""
    terms = max(1, min(wanted, frames))
    degree = min(3, terms - 1)
    inner = terms - degree - 1
    places = (np.arange(1, inner + 1) / (inner + 1)) ** 1.4
    knots = np.concatenate([np.zeros(degree + 1), places, np.ones(degree + 1)])
    t = np.linspace(0, 1, frames) if frames > 1 else np.zeros(1)
    return np.asarray(BSpline.design_matrix(np.clip(t, 0, 1 - 1e-12), knots, degree).toarray(), np.float64)


@dataclass(frozen=True, slots=True)
class Basis:
    """Bases of the model. space (patches, s) at the patch centres, time (frames, k). degree: of the polynomials along y and x."""

    space: NDArray[np.float64]
    time: NDArray[np.float64]
    degree: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Coefficients:
    """drift (frames, 2): of the whole picture; local (s, k, 2): of space × time terms. Pixels of the movie."""

    drift: NDArray[np.float64]
    local: NDArray[np.float64]


def basis_for(
    centres_px: NDArray[np.float64], patches: tuple[int, int], size: tuple[int, int], frames: int, time_count: int
) -> Basis:
    """Choose the bases that `patches` (along y, x) and the number of frames can carry."""
    y, x = 2 * centres_px[:, 0] / max(size[0] - 1, 1) - 1, 2 * centres_px[:, 1] / max(size[1] - 1, 1) - 1
    degree = tuple(0 if n < 2 else 1 if n < 3 else 2 if n < 5 else 3 for n in patches)
    return Basis(space_terms(y, x, degree[0], degree[1]), time_terms(frames, time_count), (degree[0], degree[1]))


def model_shifts(basis: Basis, coefficients: Coefficients) -> NDArray[np.float64]:
    """Return the model at the patch centres, shape (patches, frames, 2), pixels."""
    local = np.einsum("ps,tk,skc->ptc", basis.space, basis.time, coefficients.local)
    return coefficients.drift[None] + local


def solve_step(
    basis: Basis,
    now: Coefficients,
    variances: NDArray[np.float64],
    slopes: NDArray[np.float64],
    stiffness: NDArray[np.float64],
    trust: NDArray[np.float64],
    learn: bool,
) -> tuple[Coefficients, NDArray[np.float64]]:
    """Return the change of the coefficients that follows slopes (p, t, 2) best, given each patch's stiffness (p, 2, 2) and trust
    (p, t), and new variances (s,).

    slopes and stiffness are those of the log-likelihood. The local motion of each space term is held to be a random walk from
    knot to knot whose steps have that term's variance (px²), learnt from the movie itself by expectation maximisation: where
    the data say nothing of a term it goes to zero instead of following noise. The drift of the whole picture is free in every
    frame.
    """
    frames = slopes.shape[1]
    space, time = basis.space, basis.time
    s, k = space.shape[1], time.shape[1]
    centred = time - time.mean(axis=0)
    weights = trust[:, :, None, None] * stiffness[:, None]  # (p, t, 2, 2)
    own = weights.sum(axis=0)  # (t, 2, 2): of the drift of each frame
    scale = max(float(np.einsum("tcc->", own)) / (2 * frames), 1e-30)
    own += 1e-6 * scale * np.eye(2)
    pull = np.einsum("pt,ptc->tc", trust, slopes)
    if not s:
        return Coefficients(_centred(np.linalg.solve(own, pull[..., None])[..., 0]), np.zeros((0, k, 2))), variances
    # the drift of each frame is eliminated first: its equations know nothing of other frames
    cross = np.einsum("ptcd,ps->tcsd", weights, space)
    cross = np.einsum("tcsd,tk->tcskd", cross, centred).reshape(2 * frames, 2 * s * k)
    inner = np.einsum("ptcd,psu->tcdsu", weights, space[:, :, None] * space[:, None, :])
    both = np.einsum("tcdsu,tkl->skculd", inner, centred[:, :, None] * centred[:, None, :])
    steps = np.diff(np.eye(k), axis=0)
    walk = steps.T @ steps
    both = both.reshape(2 * s * k, 2 * s * k)
    inverse = np.linalg.inv(own)
    reduced = np.einsum("tcd,tdn->tcn", inverse, cross.reshape(frames, 2, -1)).reshape(2 * frames, -1)
    both -= cross.T @ reduced
    both += np.diag(1e-6 * np.abs(both.diagonal()))
    local_pull = np.einsum("ptc,ps,tk->skc", trust[..., None] * slopes, space, centred)
    local_pull -= (reduced.T @ pull.reshape(-1)).reshape(s, k, 2)
    step = np.zeros_like(local_pull)
    for _ in range(_LEARNING_ROUNDS):
        held = 1e-6 * np.eye(both.shape[0]) + np.einsum("su,kl,cd->skculd", np.diag(1 / variances), walk, np.eye(2)).reshape(
            both.shape
        )
        covariance = inverse_of_positive(both + held)
        step = (covariance @ (local_pull.reshape(-1) - held @ now.local.reshape(-1))).reshape(s, k, 2)
        after = now.local + step
        walked = np.einsum("skc,kl,slc->s", after, walk, after)
        unsure = np.einsum("skcslc,kl->s", covariance.reshape(s, k, 2, s, k, 2), walk)
        if not learn:
            break
        variances = np.maximum((walked + unsure) / max(2 * (k - 1), 1), _LEAST_VARIANCE_PX2)
    drift = np.einsum("tcd,td->tc", inverse, pull - (cross @ step.reshape(-1)).reshape(frames, 2))
    return Coefficients(_centred(drift), step), variances


def _centred(drift: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(drift - drift.mean(axis=0), np.float64)


def added(a: Coefficients, b: Coefficients) -> Coefficients:
    return Coefficients(a.drift + b.drift, a.local + b.local)


def field_arrays(basis: Basis, coefficients: Coefficients) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Return (global_px, local_px) of a MotionField: both zero at the middle frame, the local part's mean over the picture
    zero."""
    if basis.space.shape[1] == 0:
        local = np.zeros((2, len(basis.time), 2, 2))
    else:
        side = np.linspace(-1, 1, _GRID)
        y, x = np.meshgrid(side, side, indexing="ij")
        terms = space_terms(y.ravel(), x.ravel(), *basis.degree)
        local = np.einsum("ps,tk,skc->ctp", terms, basis.time, coefficients.local).reshape(2, -1, _GRID, _GRID)
    middle = len(basis.time) // 2
    local = local - local[:, middle : middle + 1]
    mean = local.mean(axis=(2, 3))
    drift = coefficients.drift + mean.T
    return drift - drift[middle], (local - mean[:, :, None, None]).astype(np.float32)
