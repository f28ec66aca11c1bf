"""The two ends of a copy: a folder as it is named, or one within another that is not left on the way."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from passerelle.core.errors import BadInput, NotFound, storage_errors
from passerelle.transfer.beneath import Root


class Within(NamedTuple):
    """A folder within another, which is all that is trusted: on the way from there no link is followed.

    As a target, what is missing on the way is made. path: relative, "/" between; "" is the other itself.
    """

    root: Path
    path: str

    @property
    def whole(self) -> Path:
        return self.root / self.path


def open_source(place: Path | Within) -> Root:
    """Open the folder that is copied.

    Raises:
        NotFound, NotAllowed, StorageError: it cannot be opened; NotAllowed as well where a link stands on the way.
    """
    if isinstance(place, Path):
        return Root(place)
    with Root(place.root) as root:
        return root.beneath(place.path)


def open_target(place: Path | Within) -> Root:
    """Open the folder that is to hold the copy, made if it is not there.

    Raises:
        As `open_source`; OutOfSpace: it cannot be made.
    """
    if isinstance(place, Within):
        with Root(place.root) as root:
            return root.beneath(place.path, make=True)
    with storage_errors(place):
        try:
            place.mkdir(exist_ok=True)
        except FileNotFoundError as error:
            words = "cannot be made: the folder that it is to lie in is not there."
            raise NotFound(words, advice="Make that first, or is its disk not mounted?", path=place) from error
    return Root(place)


def keep_apart(source: Path | Within, target: Path | Within) -> None:
    """Pass if neither folder lies in the other.

    Raises:
        BadInput: one does, or they are the same.
    """
    one, other = (place.resolve() if isinstance(place, Path) else place.whole.resolve() for place in (source, target))
    if one.is_relative_to(other) or other.is_relative_to(one):
        raise BadInput("lies in the other folder of this copy, or is the same.", advice="Choose folders apart.", path=other)
