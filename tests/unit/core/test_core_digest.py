"""A fingerprint changes when, and only when, a value changes."""

import hashlib

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from passerelle.core.digest import file_digest, fingerprint
from passerelle.core.units import electron_wavelength_angstrom

_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=5), _json, max_size=5))
def test_the_order_of_keys_does_not_matter(parts):
    assert fingerprint(parts) == fingerprint(dict(reversed(parts.items())))


def test_any_changed_value_changes_it():
    base = {"patches": [5, 5], "bfactor": 150.0, "gain": None}
    others = [base | {"patches": [5, 6]}, base | {"bfactor": 151.0}, base | {"gain": "x"}, base | {"more": 1}]
    assert len({fingerprint(parts) for parts in [base, *others]}) == 5


def test_a_file_of_several_blocks_has_the_digest_of_its_bytes(tmp_path):
    content = hashlib.shake_128(b"seed").digest(3_000_001)
    path = tmp_path / "x"
    path.write_bytes(content)
    assert file_digest(path) == blake3(content).hexdigest()


@pytest.mark.parametrize(("kilovolt", "angstrom"), [(300, 0.019687), (200, 0.025079), (120, 0.033492)])
def test_the_wavelength_of_electrons_is_the_textbook_value(kilovolt, angstrom):
    assert electron_wavelength_angstrom(kilovolt) == pytest.approx(angstrom, abs=2e-6)
