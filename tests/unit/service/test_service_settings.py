"""The configuration: what is written by init is what is read, and mistakes are told."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from passerelle.core.errors import BadConfiguration
from passerelle.processing import Threshold
from passerelle.service.default_config import default_config_text
from passerelle.service.instruments import instrument_of
from passerelle.service.settings import InstrumentSettings, Settings, anchored, read_settings


def written(folder: Path, text: str) -> Path:
    path = folder / "passerelle.toml"
    path.write_text(text)
    return path


def test_the_written_configuration_is_the_defaults(tmp_path: Path) -> None:
    settings = read_settings(written(tmp_path, default_config_text()))
    assert settings.work == Settings().work
    assert settings.thresholds == Settings().thresholds
    assert settings.instruments["krios"].folder == tmp_path / "gateway/krios"


def test_every_line_of_it_may_be_put_into_force(tmp_path: Path) -> None:
    lines = default_config_text().splitlines()
    uncommented = "\n".join(line[2:] if re.match(r"# \w+ = ", line) else line for line in lines)
    settings = read_settings(written(tmp_path, uncommented))
    assert settings.processing.motion.last_frame == 39
    fields = set(InstrumentSettings.model_fields)
    assert fields == set(tomllib.loads(uncommented)["instruments"]["krios"])


def test_paths_count_from_the_configuration(tmp_path: Path) -> None:
    settings = read_settings(written(tmp_path, '[state]\nfolder = "../state"\n'))
    assert settings.state.folder == tmp_path.parent / "state"
    assert settings.database_url == f"sqlite:///{tmp_path.parent}/state/passerelle.sqlite"
    assert settings.results == tmp_path.parent / "state" / "results"
    relative = anchored(Settings.model_validate({"state": {"database": "sqlite:///x.db"}}), tmp_path)
    assert relative.database_url == f"sqlite:///{tmp_path}/x.db"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[work]\nworker = 3\n", "Did you mean `workers`"),
        ('[instruments."a b"]\nfolder = "/x"\n', "an instrument's name"),
        ("[thresholds.defocos]\nwarn_max = 3.0\n", "no metric is called"),
        ('[instruments.a]\nfolder = "/x"\n[instruments.b]\nfolder = "/x/y"\n', "same folder"),
        ("[work]\norder = 'sideways'\n", "work.order"),
    ],
)
def test_mistakes_are_told(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match=re.escape(words)):
        read_settings(written(tmp_path, text))


def test_an_unknown_time_zone_is_told() -> None:
    with pytest.raises(BadConfiguration, match="Paris/Europe"):
        instrument_of("krios", InstrumentSettings(folder=Path("/x"), time_zone="Paris/Europe"))


def test_own_thresholds_replace_only_what_they_name() -> None:
    settings = Settings.model_validate({"thresholds": {"ctf_resolution_angstrom": {"warn_max": 4.0}}})
    assert settings.thresholds["ctf_resolution_angstrom"] == Threshold(warn_max=4.0, reject_max=10.0)
    assert settings.thresholds["defocus_angstrom"] == Settings().thresholds["defocus_angstrom"]
