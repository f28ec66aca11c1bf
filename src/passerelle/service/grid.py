"""The map of a session's grid: EPU's files read from the instrument's folder, joined with the movies."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from passerelle.service.instruments import Instrument
from passerelle.service.view import GridView
from passerelle.store import Database

_LARGEST_FILE = 64 << 20
_PICTURES = frozenset({".jpg", ".jpeg", ".png"})
_Value = TypeVar("_Value")


class Grids:
    """Makes maps. Files that were read are kept until they change."""

    def __init__(self, database: Database, instruments: Mapping[str, Instrument]) -> None:
        self.database = database
        self.instruments = instruments

    def view(self, session_id: int) -> GridView | None:
        """Return the map of a session; None where nothing is known of its grid.

        Raises:
            NotFound: no such session.
        """
        raise NotImplementedError

    def picture(self, session_id: int, square_id: str | None) -> Path:
        """Return the picture of the atlas (None) or of a square.

        Raises:
            NotFound: no such session, or no picture of it.
        """
        raise NotImplementedError
