"""Names and folders that a zone may have: those that Windows, Samba and POSIX all take for the same place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from passerelle.core.errors import BadInput, Conflict, printable

ZONE_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,38}[A-Za-z0-9])?")
ACCOUNT_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9_$])?")
GROUP_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._ -]{0,62}[A-Za-z0-9_])?")

# what Samba, Windows and the product itself use as names of shares
_TAKEN = {"global", "homes", "printers", "ipc", "admin", "netlogon", "sysvol", "profiles"}
_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}
_WINDOWS_REFUSES = set('<>:"|?*\\')
_WINDOWS_LONGEST_PATH = 259
# a % or a quotation mark would be read as something else by smb.conf
_UNSAFE_IN_ROOT = re.compile(r'[%"\\]')
_SYSTEM = tuple(
    PurePosixPath(name)
    for name in ("/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/root", "/run", "/sbin", "/sys", "/usr", "/var/lib")
)


def check_zone_name(name: str) -> None:
    """Pass if a zone may have this name.

    Raises:
        BadInput: says what a name may be.
    """
    if not ZONE_NAME.fullmatch(name):
        raise BadInput(
            f"A zone cannot be called `{printable(name, 80)}`.",
            advice="Use 1 to 40 letters (a to z), digits, - and _, beginning and ending with a letter or digit.",
        )
    if name.lower() in _TAKEN | _DEVICES:
        raise BadInput(f"`{name}` means something else to Windows or Samba.", advice="Choose another name for the zone.")


def check_account(name: str, what: str = "person") -> None:
    """Pass if this can be the name of an account (or, for what="group", of a group) here, in POSIX and in Samba.

    Raises:
        BadInput: says what a name may be.
    """
    pattern = GROUP_NAME if what == "group" else ACCOUNT_NAME
    if not pattern.fullmatch(name):
        raise BadInput(
            f"`{printable(name, 80)}` cannot be the name of a {what}.", advice="Use letters, digits, '.', '_' and '-'."
        )


def check_root(root: Path, others: Mapping[str, Path]) -> None:
    """Pass if a zone may have this folder. others: folders that are in use, by what uses them.

    Raises:
        BadInput: it is not absolute, holds characters that Samba reads otherwise, or belongs to the system.
        Conflict: it lies within another's folder, or another's within it.
    """
    text = str(root)
    if (
        not root.is_absolute()
        or ".." in root.parts
        or _UNSAFE_IN_ROOT.search(text)
        or not text.isprintable()
        or text != text.strip()
    ):
        raise BadInput(
            "cannot be the folder of a zone.",
            advice='Give an absolute path without "..", control characters, %, quotation marks and backslashes.',
            path=text,
        )
    if len(root.parts) < 3 or any(root.is_relative_to(each) for each in _SYSTEM):
        raise BadInput("belongs to the system, or is a whole disk.", advice="Give a folder of its own to the zone.", path=text)
    for owner, folder in others.items():
        if root.is_relative_to(folder) or folder.is_relative_to(root):
            raise Conflict(f"lies within {folder} of {owner}, or around it.", advice="Give each its own folder.", path=text)


def windows_trouble(path: PurePosixPath, *, share: str = "") -> str:
    r"""Say why Windows cannot open a path by its own name (Samba then shows a short one), or nothing where it can.

    share: what stands before the path, `\\server\zone`.
    """
    for part in path.parts:
        if any(0xDC80 <= ord(c) <= 0xDCFF for c in part):
            return f"{printable(part)}: not a name in UTF-8"
        if wrong := sorted({c for c in part if c in _WINDOWS_REFUSES or ord(c) < 32}):
            return f"{printable(part)}: Windows does not take {printable(' '.join(wrong))} in names"
        if part.endswith((".", " ")):
            return f"{printable(part)}: Windows takes no full stop or blank at the end of a name"
        if part.split(".")[0].lower() in _DEVICES:
            return f"{printable(part)}: the name of a device in Windows"
    length = len(share) + 1 + len(str(path))
    return f"{length} characters: older Windows programs open {_WINDOWS_LONGEST_PATH}" if length > _WINDOWS_LONGEST_PATH else ""
