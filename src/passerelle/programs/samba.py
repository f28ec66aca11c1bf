"""Samba's own programs: check a configuration, tell a running smbd of it, cut off who may no longer, ask what is open."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from passerelle.core.errors import BadConfiguration, NotFound, ProgramFailed, printable
from passerelle.programs.run import run, run_to_end
from passerelle.programs.samba_config import read_sections

_SECONDS = 30.0
_STATUS_SECONDS = 60.0
_TOLD_SHORTER = {"log level"}  # testparm shows the first word only


def check_samba_config(path: Path, meant: Mapping[str, Mapping[str, str]]) -> None:
    """Let testparm read a configuration, and see that it understood what is meant: section -> setting -> value.

    testparm only warns of a setting that it does not know and leaves it out; here that is an error.

    Raises:
        BadConfiguration: testparm complains, or understood something else; says what.
        NotFound: Samba is not installed.
    """
    ended = run_to_end(["testparm", "--suppress-prompt", "--verbose", path], seconds=_SECONDS)
    if ended.code:
        raise BadConfiguration(f"Samba does not take it: {ended.last_words or ended.code}", path=path)
    found = read_sections(ended.output)
    if extra := found.keys() - meant.keys():
        raise BadConfiguration(f"Samba understood a share that is not meant: {printable(', '.join(sorted(extra)))}.", path=path)
    for section, settings in meant.items():
        understood = found.get("global", {}) | found.get(section, {})  # defaults of shares are told once, in [global]
        for key, value in settings.items():
            if key not in _TOLD_SHORTER and _plain(understood.get(key, "")) != _plain(value):
                told = f"{printable(value)!r}, and Samba understood {printable(understood.get(key, 'nothing'))!r}"
                raise BadConfiguration(f"`{key}` of [{section}] is meant to be {told}.", path=path)


def reload_samba(config: Path) -> None:
    """Let the smbd of a configuration read it again: connections to come follow it, those that are there do not.

    Raises:
        NotFound: no smbd runs by it, or Samba is not installed. ProgramFailed: it could not be told.
    """
    _control(config, "reload-config")


def close_denied(config: Path, share: str) -> None:
    """Cut off everybody who is connected to a share and may no longer be, by the configuration that smbd has read.

    Raises:
        NotFound, ProgramFailed: as `reload_samba`.
    """
    _control(config, "close-denied-share", share)


def close_share(config: Path, share: str) -> None:
    """Cut off everybody who is connected to a share: one that is not shown any more.

    Raises:
        NotFound, ProgramFailed: as `reload_samba`.
    """
    _control(config, "close-share", share)


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A file that a client has open through Samba. writing: it may write to it."""

    path: PurePosixPath
    pid: int
    writing: bool


@dataclass(frozen=True, slots=True)
class Connection:
    """A client that is connected to a share."""

    share: str
    account: str
    address: str
    pid: int


@dataclass(frozen=True, slots=True)
class Status:
    """What a smbd tells of itself."""

    connections: tuple[Connection, ...]
    open_files: tuple[OpenFile, ...]


def samba_answers(config: Path) -> None:
    """Pass if a smbd runs by a configuration and answers.

    Raises:
        NotFound: none runs by it, or Samba is not installed. ProgramFailed: it does not answer.
    """
    if "PONG" not in _control(config, "ping"):
        raise ProgramFailed("does not answer.", advice="Start smbd again.", path=config)


def samba_status(config: Path) -> Status:
    """Ask who is connected to the smbd of a configuration, and which files are open.

    Raises:
        NotFound: Samba is not installed. ProgramFailed: it does not tell, or tells nothing that can be read.
    """
    return parse_status(run(["smbstatus", "-s", str(config), "--json"], seconds=_STATUS_SECONDS))


def parse_status(text: str) -> Status:
    """Read what `smbstatus --json` writes (Samba 4.17 and later).

    Raises:
        ProgramFailed: this is not it.
    """
    try:
        found = json.loads(text)
        sessions = {str(key): each for key, each in dict(found.get("sessions") or {}).items()}
        connections = [_connection(each, sessions) for each in dict(found.get("tcons") or {}).values()]
        files = [each for path, entry in dict(found.get("open_files") or {}).items() for each in _opens(path, entry)]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ProgramFailed(f"tells nothing that can be read: {printable(str(error))}", path="smbstatus") from error
    return Status(tuple(connections), tuple(files))


def _connection(entry: Mapping[str, Any], sessions: Mapping[str, Mapping[str, Any]]) -> Connection:
    session = sessions.get(str(entry.get("session_id", "")), {})
    return Connection(
        str(entry["service"]),
        str(session.get("username", "")),
        str(session.get("remote_machine", entry.get("machine", ""))),
        int(entry["server_id"]["pid"]),
    )


def _opens(path: str, entry: Mapping[str, Any]) -> list[OpenFile]:
    # a folder is listed as "." of its share
    place = PurePosixPath(path)
    return [
        OpenFile(place, int(each["server_id"]["pid"]), _writes(each["access_mask"])) for each in dict(entry["opens"]).values()
    ]


def _writes(mask: Mapping[str, Any]) -> bool:
    return bool(mask.get("WRITE_DATA") or mask.get("APPEND_DATA"))


def _control(config: Path, *words: str) -> str:
    ended = run_to_end(["smbcontrol", "-s", str(config), "smbd", *words], seconds=_SECONDS)
    if "find pid" in ended.last_words.lower() or "no such process" in ended.last_words.lower():
        raise NotFound("no smbd runs by it.", advice="Start it, then apply the shares again.", path=config)
    if ended.code:
        raise ProgramFailed(f"could not be told: {ended.last_words or ended.code}", path="smbcontrol")
    return ended.output


def _plain(value: str) -> list[str]:
    """A value without what Samba writes otherwise: case, quotation marks, commas of lists."""
    return value.casefold().replace('"', "").replace(",", " ").split()
