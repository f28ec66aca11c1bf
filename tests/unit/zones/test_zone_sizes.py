"""Sizes as people type them and as forms show them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passerelle.core.errors import BadInput
from passerelle.zones import exact_size, size_bytes


@pytest.mark.parametrize(
    ("typed", "size"),
    [
        ("500G", 500 * 10**9),
        ("500 GB", 500 * 10**9),
        ("2T", 2 * 10**12),
        ("2 TiB", 2 << 40),
        ("2Ti", 2 << 40),
        ("1.5 tib", 3 << 39),
        ("0.5kB", 500),
        ("7", 7),
        ("7 B", 7),
    ],
)
def test_a_size_is_read_in_the_unit_that_is_typed(typed: str, size: int) -> None:
    assert size_bytes(typed) == size


@pytest.mark.parametrize("typed", ["", "0", "-1G", "2 iB", "5 XB", "1e3", "9999999P", "２T", "2T\n3", "NaN"])
def test_what_is_no_size_is_refused_in_words(typed: str) -> None:
    with pytest.raises(BadInput, match="is no size"):
        size_bytes(typed)


@given(
    st.integers(1, (1 << 53) - 1) | st.integers(1, 4000).map(lambda n: n * 10**12) | st.integers(1, 4000).map(lambda n: n << 40)
)
def test_what_a_form_shows_is_read_back_to_the_byte(size: int) -> None:
    assert size_bytes(exact_size(size)) == size
