"""The reference page names every program, role and value that the code knows; the public door opens on what it says."""

from pathlib import Path

import pytest

import passerelle.acquisition as acquisition
from passerelle.acquisition import PROGRAMS, TOLERANCES, Metadata, Role

PAGE = (Path(__file__).resolve().parents[3] / "docs/reference/acquisition.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("word", [*PROGRAMS, *Metadata.model_fields, *(role.value for role in Role)])
def test_the_page_names_it(word):
    assert f"`{word}`" in PAGE


def test_every_name_of_the_door_is_there():
    for name in acquisition.__all__:
        assert getattr(acquisition, name) is not None


def test_every_number_has_a_tolerance():
    numbers = {
        name
        for name, field in Metadata.model_fields.items()
        if "float" in str(field.annotation) or "int" in str(field.annotation)
    }
    assert numbers == set(TOLERANCES)
