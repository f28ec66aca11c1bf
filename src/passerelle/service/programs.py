"""The external programs of this facility: found where the configuration says, asked for their version once, handed to tasks."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from passerelle.processing import Recipe
from passerelle.processing.task import ProgramUse
from passerelle.programs import Installed, find_program, program_file
from passerelle.service.settings import ProgramSettings

_OURS = "passerelle"


class Programs:
    """Answers which programs a recipe uses. A program is looked for again when its file has changed, or was missing."""

    def __init__(self, settings: ProgramSettings | None = None) -> None:
        self.settings = settings or ProgramSettings()
        self._known: dict[object, Installed] = {}
        self._lock = threading.Lock()

    def uses(self, recipe: Recipe) -> dict[str, ProgramUse]:
        """Return the programs that a recipe names, by name.

        Raises:
            BadConfiguration: one of them is not installed, or does not start.
        """
        named = [name for name in (recipe.motion.program, recipe.ctf.program) if name != _OURS]
        return {name: self._use(name) for name in named}

    def check(self, changes: Mapping[str, Mapping[str, Any]]) -> None:
        """Look whether the programs that a change of a recipe names are here; what is no program is for others to refuse.

        Raises:
            BadConfiguration: as `uses`.
        """
        for group in ("motion", "ctf"):
            name = changes.get(group, {}).get("program", _OURS)
            if name in ProgramSettings.model_fields:
                self._use(name)

    def _use(self, name: str) -> ProgramUse:
        installed = self.find(name)
        arguments = getattr(self.settings, f"{name}_arguments")
        return ProgramUse(
            executable=installed.executable,
            version=installed.version,
            arguments=arguments,
            seconds=self.settings.longest_seconds,
        )

    def find(self, name: str) -> Installed:
        """Return a program that is here. Raises BadConfiguration."""
        executable: str = getattr(self.settings, name)
        file = (name, *program_file(executable))
        with self._lock:
            known = self._known.get(file)
        if known is None:
            known = find_program(name, executable)
            with self._lock:
                self._known[file] = known
        return known
