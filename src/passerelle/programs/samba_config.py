"""Samba's configuration as values, and as the text that smbd reads. What could be read otherwise than it is meant is refused."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from passerelle.core.errors import BadInput, printable

# smb.conf has no way to write these: % begins a variable, a backslash at the end joins lines, the rest ends a value or a list
_UNSAFE = re.compile(r'[%"\\]')
_SHARE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,78}[A-Za-z0-9])?")

_HEAD = """\
# Written by passerelle, and written again at each change of zones, people and instrument PCs: changes made here are lost.
# Settings of your own belong into the [shares] section of passerelle.toml.
"""


@dataclass(frozen=True, slots=True)
class GatewayShare:
    """What one instrument PC writes through. account: of this PC alone. address: of the PC; nothing else reaches the share."""

    name: str
    path: Path
    account: str
    address: str


@dataclass(frozen=True, slots=True)
class ZoneExport:
    """A zone as its people see it. readers: all who may open it, writers among them; groups begin with +.

    barred: people whose accounts are disabled. networks: from where it is reached; empty: from everywhere that smbd listens to.
    """

    name: str
    path: Path
    readers: tuple[str, ...]
    writers: tuple[str, ...]
    barred: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    encrypted: bool = True
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Server:
    """One smbd. addresses: that it listens at, with their networks (10.20.0.1/24). private: folder of databases of its own.

    legacy: it speaks SMB 1 and nothing else, for PCs of the age of Windows XP.
    """

    workgroup: str
    addresses: tuple[str, ...]
    port: int = 445
    private: Path | None = None
    legacy: bool = False


def samba_settings(server: Server, shares: Iterable[GatewayShare | ZoneExport]) -> dict[str, dict[str, str]]:
    """Return what is meant: section -> setting -> value, [global] first.

    Raises:
        BadInput: a name, path or account that smb.conf cannot hold, or a share that is there twice.
    """
    meant = {"global": dict(_global(server))}
    for share in shares:
        if not _SHARE.fullmatch(share.name):
            raise BadInput(f"No share can be called `{printable(share.name, 80)}`.")
        if share.name.lower() in {name.lower() for name in meant}:
            raise BadInput(f"There would be two shares {share.name}.", advice="Call the zone or the instrument PC otherwise.")
        meant[share.name] = dict(_gateway(share) if isinstance(share, GatewayShare) else _export(share))
    return meant


def samba_config(meant: Mapping[str, Mapping[str, str]]) -> str:
    """Return the text of smb.conf that says what is meant."""
    lines = [_HEAD.rstrip()]
    for section, values in meant.items():
        lines += ["", f"[{section}]", *(f"   {key} = {value}" for key, value in values.items())]
    return "\n".join(lines) + "\n"


def read_sections(text: str) -> dict[str, dict[str, str]]:
    """Return what `samba_config` or testparm wrote: section -> setting -> value."""
    found: dict[str, dict[str, str]] = {}
    current: dict[str, str] = {}
    for line in text.split("\n"):
        words = line.strip()
        if words.startswith("[") and words.endswith("]"):
            current = found.setdefault(words[1:-1], {})
        elif "=" in words and not words.startswith(("#", ";")):
            key, _, value = words.partition("=")
            current[key.strip()] = value.strip()
    return found


def _global(server: Server) -> Iterator[tuple[str, str]]:
    yield "server role", "standalone server"
    yield "workgroup", server.workgroup
    yield "disable netbios", "yes"
    yield "smb ports", str(server.port)
    yield "interfaces", " ".join(server.addresses)
    yield "bind interfaces only", "yes"
    yield "server min protocol", "NT1" if server.legacy else "SMB2"
    if server.legacy:
        yield "server max protocol", "NT1"
        yield "smb1 unix extensions", "no"
    # NTLM version 2 is spoken since Windows NT 4 SP 4; on Windows XP: LmCompatibilityLevel = 3
    yield "ntlm auth", "ntlmv2-only"
    yield "map to guest", "never"
    yield "restrict anonymous", "2"
    yield "load printers", "no"
    yield "printing", "bsd"
    yield "printcap name", "/dev/null"
    yield "disable spoolss", "yes"
    yield "rpc start on demand helpers", "no"
    yield "log level", "1 auth_audit:3"
    yield "max log size", "5000"
    if server.private is not None:
        place = server.private
        yield "passdb backend", f"tdbsam:{_path(place / 'passdb.tdb')}"
        yield "log file", _path(place / "log") + "/smbd.%m"
        for name in ("private dir", "lock directory", "state directory", "cache directory", "pid directory", "ncalrpc dir"):
            yield name, _path(place / name.split()[0])


def _gateway(share: GatewayShare) -> Iterator[tuple[str, str]]:
    yield "comment", "of one instrument PC"
    yield "path", _path(share.path)
    yield "valid users", _name(share.account)
    yield "hosts allow", share.address
    yield "read only", "no"
    yield "browseable", "no"
    # What the PC writes is the PC's until it is sealed: then it belongs to the service, in a sticky folder of the service, and
    # the kernel lets the PC neither write, rename nor delete it. So there is no `force user` here.
    yield "inherit acls", "yes"
    yield "create mask", "0660"
    yield "directory mask", "03770"
    yield "force directory mode", "03770"
    yield "nt acl support", "no"
    yield "store dos attributes", "no"
    yield "map archive", "no"
    yield "map readonly", "yes"  # a sealed file is read-only
    yield "delete readonly", "no"  # and is not deleted
    yield "follow symlinks", "no"
    # Windows keeps a file with an oplock open long after the program has closed it: nobody could tell that it is whole
    yield "oplocks", "no"
    yield "level2 oplocks", "no"
    yield "veto files", "/.p-*/.passerelle*/"


def _export(share: ZoneExport) -> Iterator[tuple[str, str]]:
    if share.comment:
        yield "comment", _safe(share.comment, "comment")
    yield "path", _path(share.path)
    yield "valid users", " ".join(map(_name, share.readers)) if share.readers else "nobody"
    if share.barred:
        yield "invalid users", " ".join(map(_name, share.barred))
    yield "read only", "yes"
    if share.writers:
        yield "write list", " ".join(map(_name, share.writers))
    if share.networks:
        yield "hosts allow", " ".join(share.networks)
    yield "browseable", "yes"
    yield "access based share enum", "yes"  # nobody sees shares of others in the list
    yield "server smb encrypt", "required" if share.encrypted else "default"
    yield "inherit acls", "yes"
    yield "create mask", "0770"
    yield "directory mask", "02770"
    yield "force directory mode", "02000"
    yield "nt acl support", "no"  # rights are the zone's to say, not the Security page's of a file
    yield "map archive", "no"
    yield "store dos attributes", "yes"
    yield "follow symlinks", "no"
    yield "veto files", "/.p-*/.passerelle*/"


def _safe(value: str, what: str) -> str:
    if not value.isprintable() or _UNSAFE.search(value) or value != value.strip():
        raise BadInput(f"smb.conf cannot hold the {what} `{printable(value, 200)}`.")
    return value


def _path(path: Path) -> str:
    return _safe(str(path), "path")


def _name(name: str) -> str:
    """Return an account or +group for a list of users."""
    bare = name.removeprefix("+")
    if not bare or bare[0] in "+@&" or "," in bare or ";" in bare:
        raise BadInput(f"smb.conf cannot hold the account `{printable(name, 80)}`.")
    _safe(bare, "account")
    return f'"{name}"' if " " in name else name
