"""Configuration refuses what it does not know, and names what was probably meant."""

import time

import pytest
from pydantic import Field

from passerelle.core.config import Section, parse_config, read_config
from passerelle.core.errors import BadConfiguration, NotFound


class Camera(Section):
    pixel_size_angstrom: float | None = Field(None, gt=0)
    gain: str | None = None


class Example(Section):
    workers: int = 2
    camera: Camera = Camera()


def test_values_arrive(tmp_path):
    path = tmp_path / "passerelle.toml"
    path.write_text("workers = 3\n[camera]\npixel_size_angstrom = 0.85\n")
    config = read_config(path, Example)
    assert (config.workers, config.camera.pixel_size_angstrom) == (3, 0.85)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("worker = 3", "`worker` is not a setting.*`workers`"),
        ("[camera]\npixelsize_angstrom = 1", "`camera.pixelsize_angstrom` is not.*`pixel_size_angstrom`"),
        ("pixel_size_angstrom = 1", "`pixel_size_angstrom` is not a setting"),
        ("[camera]\npixel_size_angstrom = -1", "camera.pixel_size_angstrom.*greater than 0.*-1"),
        ("workers = 'many'", "workers.*integer.*many"),
        ("workers = ", "not valid TOML"),
    ],
)
def test_a_mistake_is_refused_by_name(tmp_path, text, expected):
    path = tmp_path / "passerelle.toml"
    path.write_text(text)
    with pytest.raises(BadConfiguration, match=expected) as caught:
        read_config(path, Example)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(NotFound, match=r"nowhere\.toml"):
        read_config(tmp_path / "nowhere.toml", Example)


def test_a_configuration_is_frozen():
    config = parse_config({}, Example, source="test")
    with pytest.raises(ValueError, match="frozen"):
        config.workers = 9


def test_many_wrong_keys_are_not_each_looked_for() -> None:
    begin = time.process_time()
    with pytest.raises(BadConfiguration, match="And 49980 more") as caught:
        parse_config({f"key_{number}": "x" * 1000 for number in range(50_000)}, Example, source="a form")
    assert time.process_time() - begin < 2.0 and len(str(caught.value)) < 20_000
