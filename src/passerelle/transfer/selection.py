"""What of a dataset is copied, where that is not all: chosen by the path of each file, and said in the manifest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from passerelle.core.errors import PasserelleError
from passerelle.transfer.beneath import Root
from passerelle.transfer.tree import Kind, Listing, walk_tree


@dataclass(frozen=True, slots=True)
class Selection:
    """words: what is chosen, for the manifest. wants: whether a file or link is, by its path beneath the dataset."""

    words: str
    wants: Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Weight:
    """What a copy would bring: names of files and links, and bytes as they take room on the disk."""

    files: int
    bytes: int


def weigh(root: Root, selection: Selection | None = None) -> Weight:
    """Count what lies beneath a root, or what of it is wanted; folders that cannot be read are left out.

    Raises:
        NotFound, NotAllowed, StorageError: the root itself cannot be read.
    """
    files = size = 0
    for listing in walk_tree(root, _let_be):
        for entry in listing.entries.values():
            if entry.kind in {Kind.FILE, Kind.LINK} and (selection is None or selection.wants(entry.path)):
                files += 1
                size += min(entry.size, entry.allocated) if entry.kind is Kind.FILE else 0
    return Weight(files, size)


def folders_wanted(root: Root, selection: Selection) -> frozenset[str]:
    """Return the folders beneath a root that are needed for what is wanted, the root itself among them.

    A folder that cannot be read is among them as well, so that it is told of when the copy comes to it.
    """
    needed = {""}

    def need(path: str) -> None:
        while path not in needed:
            needed.add(path)
            path = path.rpartition("/")[0]

    for listing in walk_tree(root, lambda path, _: need(path)):
        if any(entry.kind is not Kind.FOLDER and selection.wants(entry.path) for entry in listing.entries.values()):
            need(listing.folder.path)
    return frozenset(needed)


def chosen(listing: Listing, selection: Selection, folders: frozenset[str]) -> Listing:
    """Return a listing without what is not wanted."""
    kept = {
        name: entry
        for name, entry in listing.entries.items()
        if (entry.path in folders if entry.kind is Kind.FOLDER else selection.wants(entry.path))
    }
    return Listing(listing.folder, kept)


def _let_be(_path: str, _error: PasserelleError) -> None: ...
