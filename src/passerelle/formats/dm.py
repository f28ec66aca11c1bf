"""Gatan DM3 and DM4 (placeholder until its parser lands)."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from passerelle.core.errors import UnsupportedFile
from passerelle.formats.movie import OpenMovie
from passerelle.formats.source import Source


class DmReader(OpenMovie):
    """A movie or image in a DM3 or DM4 file."""

    def __init__(self, source: Source) -> None:
        raise UnsupportedFile("is a DigitalMicrograph file.", path=source.path)

    def _decode(self, index: int, target: NDArray[Any]) -> None:
        raise NotImplementedError
