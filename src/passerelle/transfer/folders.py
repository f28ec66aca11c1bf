"""Folders of a copy: made before what lies in them, given their attributes after it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from passerelle.core.errors import Conflict, PasserelleError, storage_errors
from passerelle.transfer.attributes import carry_over
from passerelle.transfer.leg import TEMPORARY_PREFIX, Leg
from passerelle.transfer.tree import Entry, Kind, Listing, Trouble, entry_of, list_folder

_OURS = 0o700  # what a folder must let its owner do while we write into it


def matching_folder(leg: Leg, listing: Listing, trouble: Trouble) -> Listing:
    """List the folder of the target that answers to one of the source, with all its subfolders made.

    A name that the target has for something else than a folder is told to `trouble`, and is not in the listing that is returned.
    """
    path = listing.folder.path
    there = list_folder(leg.target, path)
    new: list[Entry] = []
    for name, entry in listing.entries.items():
        if entry.kind is not Kind.FOLDER:
            continue
        found = there.entries.get(name)
        if found is None:
            new.append(entry)
        elif found.kind is not Kind.FOLDER:
            words = f"is a folder in the source, and a {found.kind} in the target."
            trouble(entry.path, Conflict(words, advice="Move that away.", path=leg.target.named(entry.path)))
            del there.entries[name]
        elif os.geteuid() and found.mode & _OURS != _OURS:
            _open_up(leg, found)
    if new:
        with leg.target.folder(path) as descriptor, storage_errors(leg.target.named(path)):
            for entry in new:
                # what a zone's folder hands down (its access list) is cut by the mode that is asked for here
                os.mkdir(entry.name, _OURS if leg.keep.mode else 0o777, dir_fd=descriptor)
                there.entries[entry.name] = entry
            os.fsync(descriptor)
    return there


def sweep(leg: Leg, there: Listing, runs: Iterable[str]) -> None:
    """Take away what runs that did not end well, or workers that died, left in a folder under temporary names of theirs."""
    prefixes = "|".join(map(re.escape, runs))
    if not prefixes:
        return
    ours = re.compile(rf"{re.escape(TEMPORARY_PREFIX)}({prefixes})-[0-9a-f-]+")
    names = [name for name, entry in there.entries.items() if entry.kind in {Kind.FILE, Kind.LINK} and ours.fullmatch(name)]
    if names:
        with leg.target.folder(there.folder.path) as descriptor, storage_errors(leg.target.named(there.folder.path)):
            for name in names:
                os.unlink(name, dir_fd=descriptor)
                del there.entries[name]


def finish_folders(leg: Leg, folders: Iterable[Entry], trouble: Trouble) -> None:
    """Give folders the attributes of their sources, those within before those around them."""
    for entry in sorted(folders, key=lambda each: each.path.count("/") + bool(each.path), reverse=True):
        try:
            _finish(leg, entry)
        except PasserelleError as error:
            trouble(entry.path, error)


def _finish(leg: Leg, entry: Entry) -> None:
    with leg.target.folder(entry.path) as target, storage_errors(leg.target.named(entry.path)):
        now = entry_of(entry.path, os.fstat(target))
        same_owner = not leg.keep.owner or (now.user, now.group) == (entry.user, entry.group)
        if now.mtime_ns == entry.mtime_ns and (now.mode == entry.mode or not leg.keep.mode) and same_owner:
            return
        with leg.source.folder(entry.path) as source:
            carry_over(source, target, entry, leg.keep)
        os.fsync(target)


def _open_up(leg: Leg, folder: Entry) -> None:
    """Let its owner write into a folder, until it gets its mode at the end."""
    with leg.target.folder(folder.folder) as descriptor, storage_errors(leg.target.named(folder.path)):
        os.chmod(folder.name, folder.mode | _OURS, dir_fd=descriptor)
