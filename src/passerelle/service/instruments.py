"""An instrument as the service knows it: its folder, its program, what the configuration says of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from passerelle.acquisition import AcquisitionProgram, Metadata, program_at
from passerelle.core.errors import BadConfiguration
from passerelle.gateway import Expectations, InstrumentFolder
from passerelle.processing import Recipe
from passerelle.service.flow import Patience
from passerelle.service.settings import InstrumentSettings


@dataclass(frozen=True, slots=True)
class Instrument:
    """One microscope with one camera."""

    name: str
    settings: InstrumentSettings
    program: AcquisitionProgram
    configured: Metadata
    patience: Patience
    expectations: Expectations = field(default_factory=Expectations)

    @property
    def folder(self) -> Path:
        return self.settings.folder

    def recipe(self, recipe: Recipe) -> Recipe:
        """Return the facility's recipe with what the configuration says of this instrument's gain: for new sessions."""
        changes = {"orientation": self.settings.gain_orientation, "mode": self.settings.gain_mode}
        said = {name: value for name, value in changes.items() if value is not None}
        return recipe.model_copy(update={"gain": recipe.gain.model_copy(update=said)}) if said else recipe

    def to_watch(self) -> InstrumentFolder:
        """Return what the watch must know."""
        return InstrumentFolder(
            self.name,
            self.folder,
            self.program,
            quiet_seconds=self.settings.quiet_seconds,
            expected_frames=self.expectations,
            polling=self.settings.polling,
        )


def instrument_of(name: str, settings: InstrumentSettings) -> Instrument:
    """Make an instrument of its section of the configuration.

    Raises:
        BadConfiguration: there is no such time zone.
    """
    try:
        zone = ZoneInfo(settings.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise BadConfiguration(
            f"instruments.{name}.time_zone: there is no time zone {settings.time_zone!r}.",
            advice="Use a name such as Europe/Paris.",
        ) from error
    return Instrument(
        name=name,
        settings=settings,
        program=program_at(settings.program, zone),
        configured=settings.metadata(),
        patience=Patience(settings.sidecar_wait_seconds, settings.gain_wait_seconds, settings.frames_wait_seconds),
    )
