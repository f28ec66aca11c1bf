"""What a transfer may and may not do to a place, decided from values: whose folder it is, and whether it fits."""

from __future__ import annotations

from collections.abc import Iterable

from passerelle.core.errors import BadInput, Conflict, OutOfSpace
from passerelle.core.states import TransferState
from passerelle.store.transfers import STANDING, Transfer
from passerelle.transfer import Weight

_OWN = (".p-", ".passerelle")  # temporary names and manifests of copies


def check_folder(folder: str) -> None:
    """Pass if a dataset may lie in this folder of a zone.

    Raises:
        BadInput: it is the zone itself, or a name that copies use for themselves.
    """
    if not folder:
        raise BadInput("A dataset lies in a folder of the zone, not in the zone itself.", advice="Name a folder.")
    if any(part.startswith(_OWN) for part in folder.split("/")):
        raise BadInput("Names that begin with .p- or .passerelle are the copy's own.", advice="Choose another folder.")


def check_place(folder: str, instrument: str, source: str, earlier: Iterable[Transfer]) -> None:
    """Pass if a dataset may be sent to this folder, after all transfers that went to the same zone.

    The same dataset may be sent to the same folder again when the transfer before has ended: only what is new is copied then.

    Raises:
        Conflict: it is on its way there already; or another dataset lies there, or is on its way, or lies within or around.
    """
    for other in earlier:
        if not _overlap(folder, other.folder):
            continue
        same = (other.folder, other.instrument, other.source) == (folder, instrument, source)
        standing = other.state in STANDING
        if same and standing:
            raise Conflict(
                f"{other.person} is sending this dataset there already (transfer {other.id}, {other.state}).",
                advice="Wait for that transfer, or choose another folder.",
            )
        if not same and (standing or other.files or other.state is TransferState.DONE):
            what = "is on its way to" if standing else "lies in"
            raise Conflict(
                f"Another dataset, {other.name} of {other.instrument}, {what} `{other.folder}` there (transfer {other.id}).",
                advice="Choose another folder.",
            )


def check_room(need: Weight, there: int, free: int | None, total: int | None, *, leave_free_percent: float) -> None:
    """Pass if so much more has room. there: bytes of it that are in the target already. free, total: None if nobody knows.

    Raises:
        OutOfSpace: says how much there is and how much is needed.
    """
    if free is None:
        return
    usable = free - int((total or 0) * leave_free_percent / 100)
    missing = max(0, need.bytes - there)
    if missing > usable:
        raise OutOfSpace(
            f"There is no room in the zone: {in_words(missing)} would come, and {in_words(max(0, usable))} can be taken.",
            advice="Free space there, choose another zone, or send a part only.",
        )


def in_words(count: int) -> str:
    """Return bytes as people read them."""
    for unit, size in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")
