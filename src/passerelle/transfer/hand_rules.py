"""What the hand does, whoever asks: rules in a file that only root can change, and what follows from them for a request.

The service decides who may send what. The hand does not believe it: from here follows what a service that somebody has taken over
could still do, which is to copy what lies beneath `sources` into folders that root has given to ordinary accounts, as these.
"""

from __future__ import annotations

import json
import os
import pwd
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

from pydantic import Field

import passerelle
from passerelle.core.config import Section, read_config
from passerelle.core.errors import BadConfiguration, BadInput, NotAllowed, printable, storage_errors
from passerelle.transfer.become import Account
from passerelle.transfer.beneath import Root, checked

DEFAULT_RULES = Path("/etc/passerelle/hand.toml")
_NOBODY = 65534  # also whose files are that a server or a container has no account for


class HandRules(Section):
    """What root's hand does for a service that is not root. Nobody but root may be able to change this file."""

    service: str = Field(description="The account of the service; nobody else is listened to, but root.", examples=["passerelle"])
    socket: Path = Field(
        default=Path("/run/passerelle-hand/socket"),
        description="Where it listens; the service's `transfers.hand` says so, too.",
    )
    zones: tuple[Path, ...] = Field(
        min_length=1,
        description="Folders of root in which zones lie, each a folder in one of them, whose owner is who writes there.",
        examples=[["/zones"]],
    )
    sources: tuple[Path, ...] = Field(
        min_length=1, description="Folders beneath which lies what may be copied.", examples=[["/gateway"]]
    )
    lowest_uid: int = Field(default=1000, ge=1, description="Nothing is written as an account with a smaller number.")
    at_a_time: int = Field(default=16, ge=1, le=1024, description="So many transfers run at most; more are told to come later.")


class Request(NamedTuple):
    """What the service asks for. source, target: folder, and path beneath it, as in an order; None: it asks who is there."""

    version: str
    source: tuple[str, str] | None
    target: tuple[str, str] | None


class Ends(NamedTuple):
    """What a request comes to. source: a folder of the rules, and a path beneath; target: a zone's folder, and one beneath."""

    source: tuple[str, str]
    target: tuple[str, str]


def read_rules(path: Path) -> HandRules:
    """Read the rules, and see to it that neither they, nor the places that they name, nor our own code can be changed by others.

    Raises:
        NotFound: there is no such file. BadConfiguration: says what is wrong, or open to others.
    """
    keep_closed(path.absolute())
    rules = read_config(path, HandRules)
    if user_of(rules.service, path) == 0:
        raise BadConfiguration("`service` is root: a service of root needs no hand.", path=path)
    for folder in rules.zones:
        keep_closed(folder)
    for folder in rules.sources:
        keep_closed(folder, itself=False)  # whoever writes there may change what lies in it, and not what it is
    for zone in rules.zones:
        for source in rules.sources:
            if zone.is_relative_to(source) or source.is_relative_to(zone):
                raise BadConfiguration(
                    f"zones in {zone} could be read as sources in {source}.", advice="Name folders apart.", path=path
                )
    for code in {sys.executable, sys.prefix, passerelle.__file__}:
        keep_closed(Path(code).resolve())
    return rules


def user_of(name: str, path: Path) -> int:
    """Return the number of the service's account.

    Raises:
        BadConfiguration: there is no such account.
    """
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError as error:
        raise BadConfiguration(f"`service`: this machine has no account {printable(name)}.", path=path) from error


def keep_closed(path: Path, *, itself: bool = True) -> None:
    """Pass if nobody but root can change what a path leads to: what it names (`itself`), and all folders above.

    A folder in which everybody may write, with the sticky bit, is none of others' as long as what lies in it is root's.

    Raises:
        NotFound: it is not there. BadConfiguration: it leads over a link, or others can change it.
    """
    with storage_errors(path):
        if not path.is_absolute() or path.resolve(strict=True) != path:
            raise BadConfiguration("is no path from / without links.", advice="Write the folder itself.", path=path)
        below: os.stat_result | None = None
        for each in (path, *path.parents):
            status = each.lstat()
            closed = status.st_uid == 0 and not status.st_mode & 0o022
            sticky = status.st_uid == 0 and status.st_mode & stat.S_ISVTX and below is not None and below.st_uid == 0
            if not closed and not sticky and (below is not None or itself):
                raise BadConfiguration(
                    f"could be changed by others than root, by way of {printable(str(each))}.",
                    advice=f"chown root {each}; chmod go-w {each}",
                    path=path,
                )
            below = status


def request_of(line: bytes) -> Request:
    """Read what the service asks for.

    Raises:
        BadInput: it is nothing that the hand knows; no key that it does not know is passed over.
    """
    try:
        said = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadInput("The hand was asked for something that is no JSON.") from error
    if not isinstance(said, dict):
        raise BadInput("The hand was asked for something that is no request.")
    fields = cast("dict[str, Any]", said)
    if unknown := fields.keys() - set(Request._fields):
        raise BadInput(f"The hand does not know `{printable(min(unknown))}`.")
    version = fields.get("version")
    if not isinstance(version, str):
        raise BadInput("The hand was not told which version asks.")
    if fields.keys() == {"version"}:
        return Request(version, None, None)
    return Request(version, _pair(fields.get("source")), _pair(fields.get("target")))


def _pair(value: object) -> tuple[str, str]:
    """Return a folder and a path beneath it."""
    pair: Sequence[object] = cast("list[object]", value) if isinstance(value, list) else ()
    if len(pair) != 2 or not all(isinstance(each, str) for each in pair):
        raise BadInput("Source and target are a folder, and a path beneath it.")
    folder, path = cast("list[str]", pair)
    try:
        os.fsencode(folder + path)
    except UnicodeEncodeError as error:
        raise BadInput("This is no path of a file system.") from error
    if not folder.startswith("/"):
        raise BadInput("is no path from /.", path=folder)
    checked(folder[1:])
    return folder, checked(path)


def ends_of(request: Request, rules: HandRules) -> Ends:
    """Return between which ends a request has something copied.

    Raises:
        BadInput: it names none. NotAllowed: they lie where the rules do not allow it.
    """
    if request.source is None or request.target is None:
        raise BadInput("The hand was asked for nothing.")
    whole = Path(request.source[0], request.source[1])
    base = next((each for each in rules.sources if whole.is_relative_to(each)), None)
    if base is None:
        advice = "`sources` in hand.toml says from where the hand copies."
        raise NotAllowed("lies beneath no folder that the hand copies from.", advice=advice, path=whole)
    zone = Path(request.target[0])
    if zone.parent not in rules.zones:
        advice = "`zones` in hand.toml says where; each zone is a folder in one of them."
        raise NotAllowed("is no zone that the hand writes to.", advice=advice, path=zone)
    if not request.target[1]:
        raise BadInput("A dataset lies in a folder of the zone, not in the zone itself.", path=zone)
    beneath = str(whole.relative_to(base))
    return Ends((str(base), "" if beneath == "." else beneath), (str(zone), request.target[1]))


def account_of(zone: Path, rules: HandRules, service: int) -> Account:
    """Return who writes into a zone: whoever owns its folder, which only root can have made. service: the service's uid.

    Raises:
        NotFound, NotAllowed, StorageError: there is no such folder, or its owner is nobody to write as.
    """
    with Root(zone.parent) as base, base.folder(zone.name) as folder:
        user = os.fstat(folder).st_uid
    if user < rules.lowest_uid or user in (_NOBODY, service):
        who = "root" if user == 0 else f"account {user}"
        raise NotAllowed(
            f"belongs to {who}: the hand does not write as that one.",
            advice="Let root give it to an ordinary account: sudo passerelle zones change NAME --owner PERSON.",
            path=zone,
        )
    try:
        found = pwd.getpwuid(user)
        groups = os.getgrouplist(found.pw_name, found.pw_gid)
    except (KeyError, OSError) as error:
        advice = "Make the account, or connect the machine to the directory that has it (SSSD)."
        raise NotAllowed(f"belongs to account {user}, which this machine does not know.", advice=advice, path=zone) from error
    return Account(found.pw_name, user, found.pw_gid, tuple(each for each in groups if each))  # become refuses root's own group
