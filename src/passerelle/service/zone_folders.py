"""The folder of a zone: where it may lie, how it is made, and how its files come to the rights that the zone has."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from passerelle.core.errors import BadInput, NotFound, storage_errors
from passerelle.core.states import ZoneState
from passerelle.service.access import Actor, Through
from passerelle.service.settings import Settings
from passerelle.service.zone_hand import keep_to_folders, left_to_root, may_make
from passerelle.store import zones
from passerelle.zones import Accounts, Settled, Zone, ZoneKind, check_root, has_list, settle_rights, wanted


class ZoneFolders:
    """The folders of a facility's zones. accounts: those of the machine, asked anew each time."""

    def __init__(self, settings: Settings, accounts: Callable[[], Accounts]) -> None:
        self._settings, self._accounts = settings, accounts

    def chosen(self, actor: Actor, name: str, kind: ZoneKind, root: Path | None) -> Path:
        """Return where a zone's folder shall lie. root: what was asked for, if anything.

        Raises:
            BadInput: no zone of this kind may lie there.
        """
        settings = self._settings
        if kind is ZoneKind.INSTRUMENT:
            folders = {key: each.folder for key, each in settings.instruments.items()}
            chosen = root or folders.get(name)
            if chosen is None or chosen not in folders.values():
                raise BadInput(
                    "The zone of an instrument is the instrument's own folder.",
                    advice=f"Call it by one of the instruments: {', '.join(folders) or 'none is configured'}.",
                )
            return chosen
        if root is None:
            return settings.zones.folder / name
        root = Path(os.path.normpath(root))
        bases = (settings.zones.folder, *settings.zones.other_folders)
        if actor.through is not Through.COMMAND and not any(root.is_relative_to(base) and root != base for base in bases):
            raise BadInput(
                "is no folder where zones may lie.",
                advice=f"Choose one within {', '.join(map(str, bases))}, or let an admin make the zone on the server.",
                path=root,
            )
        return root

    def check(self, zone: Zone, others: Sequence[zones.ZoneRow]) -> None:
        """Pass if a zone's folder is apart from all others, and from what is the product's own.

        Raises:
            Conflict, BadInput: it is not.
        """
        settings = self._settings
        used = {f"zone {each.name}": Path(each.root) for each in others}
        if zone.kind is not ZoneKind.INSTRUMENT:
            used |= {f"instrument {key}": each.folder for key, each in settings.instruments.items()}
        used |= {"passerelle's state": settings.state.folder, "passerelle's results": settings.results}
        check_root(zone.root, used)

    def make(self, zone: Zone) -> tuple[str, ...]:
        """Make a zone's folder, if it is missing, with the zone's rights; return words about what was not reached.

        Raises:
            NotAllowed: it is for root to make. NotFound: a link or a file has its name. StorageError and kin.
        """
        accounts = self._accounts()
        keep_to_folders(zone, self._settings, accounts)
        may_make(zone.root, zone.name, zone.owner)
        made = _make_folder(zone.root)
        return self._bring(zone, accounts, fresh=made)

    def settle(self, zone: Zone) -> tuple[str, ...]:
        """Bring a zone's files to its rights; return words about what was not reached.

        Raises:
            NotAllowed: root leaves what lies elsewhere alone. UnsupportedFile: the file system keeps no access control lists.
        """
        accounts = self._accounts()
        keep_to_folders(zone, self._settings, accounts)
        return self._bring(zone, accounts, fresh=False)

    def repair(self, zone: Zone, *, dry: bool) -> Settled:
        """Bring all files to the zone's rights, and count. dry: only count.

        Raises:
            NotAllowed, UnsupportedFile: as `settle`.
        """
        accounts = self._accounts()
        keep_to_folders(zone, self._settings, accounts)
        return settle_rights(zone.root, wanted(zone, accounts, hands=self._hands(zone)), dry=dry)

    def _bring(self, zone: Zone, accounts: Accounts, *, fresh: bool) -> tuple[str, ...]:
        if words := left_to_root(zone, self._settings, accounts):
            return words
        alone = not (zone.readers.people | zone.readers.groups | zone.writers.people | zone.writers.groups)
        own = accounts.user_of(zone.owner) in (None, accounts.service_uid)
        if not accounts.may_give and alone and own and zone.state is ZoneState.ACTIVE and not has_list(zone.root):
            # one person, no root: what lies there has the rights that the person gave it
            if fresh:
                with storage_errors(zone.root):
                    zone.root.chmod(0o700)
            return ()
        want = wanted(zone, accounts, hands=self._hands(zone))
        settled = settle_rights(zone.root, want)
        words = [f"This machine knows no account {name}: nothing is shown to it." for name in want.unknown]
        words += [f"Rights were not changed: {left}." for left in settled.left]
        return (*words, *_ways(zone.root, want.folder.users))

    def _hands(self, zone: Zone) -> list[str]:
        settings = self._settings
        return [
            pc.account
            for pc in settings.pcs.values()
            if pc.instrument in settings.instruments and settings.instruments[pc.instrument].folder == zone.root
        ]


def _ways(root: Path, users: Mapping[int, int]) -> list[str]:
    """Say which folder above a root keeps everybody else out of it."""
    if not users:
        return []
    return [
        f"{parent} keeps out others than its owner: nobody but it reaches the zone below. Give it mode 0711."
        for parent in root.parents
        if not parent.stat().st_mode & 0o001
    ]


def _make_folder(root: Path) -> bool:
    """Make a zone's folder where it is missing; say whether it was made."""
    with storage_errors(root):
        try:
            root.parent.mkdir(parents=True, exist_ok=True)
            root.mkdir(mode=0o700)
        except FileExistsError:
            if root.is_symlink() or not root.is_dir():
                raise NotFound("is a link or a file, not a folder.", path=root) from None
            return False
        except OSError as error:
            if error.errno == errno.ENOTDIR:
                raise NotFound("lies within something that is no folder.", path=root) from error
            raise
    return True
