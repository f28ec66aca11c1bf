"""The inverse of a small matrix without the threads that a linear algebra library starts and keeps spinning for it."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def inverse_of_positive(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the inverse of a symmetric positive matrix (n, n) by Cholesky; directions that are not positive get zero."""
    n = matrix.shape[0]
    lower = np.zeros((n, n))
    for i in range(n):
        for j in range(i + 1):
            total = matrix[i, j]
            for k in range(j):
                total -= lower[i, k] * lower[j, k]
            if i == j:
                lower[i, i] = np.sqrt(total) if total > 1e-14 * abs(matrix[i, i]) else np.inf
            else:
                lower[i, j] = total / lower[j, j]
    # columns of the inverse of `lower`, as rows
    turned = np.zeros((n, n))
    for j in range(n):
        turned[j, j] = 1.0 / lower[j, j]
        for i in range(j + 1, n):
            total = 0.0
            for k in range(j, i):
                total -= lower[i, k] * turned[j, k]
            turned[j, i] = total / lower[i, i]
    out = np.empty((n, n))
    for i in range(n):
        for j in range(i + 1):
            total = 0.0
            for k in range(i, n):
                total += turned[i, k] * turned[j, k]
            out[i, j] = total
            out[j, i] = total
    return out
