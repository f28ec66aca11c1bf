"""Seal a file that was taken over from an instrument PC: that PC may no longer write, rename or delete it."""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePosixPath

from passerelle.core.errors import NotAllowed, storage_errors
from passerelle.zones.beneath import TOP, open_file, open_folder

_SEALED = 0o440
_FOLDER = stat.S_ISVTX | stat.S_ISGID


def seal(root: Path, within: PurePosixPath, *, uid: int) -> bool:
    """Give a file to the account `uid` (the service), for reading only, and its folders with the sticky bit; say what changed.

    In a sticky folder only the owner of a file, or of the folder, renames and deletes it (unlink(2), EPERM). What the PC has not
    finished stays the PC's. Needs root, or CAP_CHOWN and CAP_FOWNER; doing it again changes nothing.

    Raises:
        NotFound: the file is not there, is no regular file, or a link stands in the way.
        NotAllowed: this account may not give files away.
    """
    with storage_errors(root / within):
        with open_file(root, within) as descriptor:
            status = os.fstat(descriptor)
        if status.st_uid == uid and stat.S_IMODE(status.st_mode) == _SEALED:
            return False
        try:
            # from the top: a folder that is the PC's could be renamed with all that is sealed in it; once it is not, the way
            # to the file cannot change any more
            for depth in range(len(within.parts)):
                with open_folder(root, TOP.joinpath(*within.parts[:depth])) as folder:
                    _keep(folder, uid)
            with open_file(root, within) as descriptor:
                os.fchmod(descriptor, _SEALED)  # first: from now on nobody opens it for writing
                os.fchown(descriptor, uid, -1)
        except PermissionError as error:
            raise NotAllowed(
                "cannot be sealed by this account.", advice="Let the service's helper run as root.", path=root / within
            ) from error
    return True


def _keep(folder: int, uid: int) -> None:
    status = os.fstat(folder)
    mode = stat.S_IMODE(status.st_mode)
    if status.st_uid != uid:
        os.fchown(folder, uid, -1)
    if mode & _FOLDER != _FOLDER or status.st_uid != uid:
        os.fchmod(folder, mode | _FOLDER)
