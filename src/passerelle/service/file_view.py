"""Folders and files, wherever they lie, as faces show them."""

from __future__ import annotations

from pydantic import BaseModel

from passerelle.service.proofs import ProofState
from passerelle.service.zone_view import EntryView
from passerelle.zones import Order


class ProofView(BaseModel):
    """What the manifest says of a file. at: when it was read back from the medium."""

    state: ProofState
    at: float | None
    leg: str
    digest: str


class LeafEntry(EntryView):
    """Something in a folder, and what is known of its bytes. windows is empty where Windows does not reach it."""

    proof: ProofView | None


class DatasetView(BaseModel):
    """The dataset that a folder belongs to. path: of its folder. trouble: why its manifest cannot be used."""

    path: str
    files: int
    bytes: int
    digest: str
    legs: list[str]
    trouble: str


class Crumb(BaseModel):
    """A folder on the way down. path: for the next request."""

    shown: str
    path: str


class LeafView(BaseModel):
    """A page of a folder. first: place of the first entry here; total: how many there are."""

    area: str
    path: str
    crumbs: list[Crumb]
    linux: str
    windows: str
    entries: list[LeafEntry]
    first: int
    total: int
    order: Order
    descending: bool
    dataset: DatasetView | None
    writable: bool


class FileView(BaseModel):
    """A file. lines: the first ones, where it is a text."""

    area: str
    folder: str
    path: str
    crumbs: list[Crumb]
    entry: LeafEntry
    dataset: DatasetView | None
    lines: list[str] | None


class PreviewView(BaseModel):
    """What is seen of a file. words: why there is no picture."""

    kind: str
    facts: dict[str, float | str]
    picture: bool
    words: str
