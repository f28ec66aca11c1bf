"""The same frames give the same bits wherever memory puts them: a movie done again after a crash must not differ."""

from itertools import pairwise

import pytest
from numba import njit

from passerelle.imaging.kernels_guard import guarded


@njit
def _addresses(length: int, count: int) -> list[int]:
    arrays = [guarded(length) for _ in range(count)]
    return [array.ctypes.data for array in arrays]


@pytest.mark.parametrize("length", [1, 6, 40, 4096])
def test_nothing_lies_within_a_kibibyte_of_guarded_room(length: int) -> None:
    starts = sorted(_addresses(length, 50))
    assert min(b - a for a, b in pairwise(starts)) >= 4 * length + 2 * 1024
