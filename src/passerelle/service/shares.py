"""The verbs on shares: what Samba shows follows zones, people and instrument PCs; who may no longer is cut off at once."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from pydantic import BaseModel

from passerelle.core.atomic import write_text
from passerelle.core.errors import BadConfiguration, NotFound, PasserelleError, storage_errors
from passerelle.core.states import PersonState
from passerelle.programs.nftables import Segment, acquisition_firewall, check_firewall
from passerelle.programs.samba import (
    Status,
    check_samba_config,
    close_denied,
    close_share,
    reload_samba,
    samba_status,
)
from passerelle.programs.samba_config import GatewayShare, Server, ZoneExport, read_sections, samba_config, samba_settings
from passerelle.service.access import Actor, Power, require
from passerelle.service.audit import acting
from passerelle.service.settings import Settings
from passerelle.service.zone_view import zone_of
from passerelle.store import Database, people, zones
from passerelle.zones import Who, entitled

MODERN, LEGACY, FIREWALL = "smb.conf", "smb-legacy.conf", "acquisition.nft"
_REACH_SECONDS = 3.0
_PRIVATE = ("private", "lock", "state", "cache", "pid", "ncalrpc", "log")


class SharesView(BaseModel):
    """What was applied. cut_off: shares whose clients were looked at again, or dropped. notes: what a person should know."""

    files: list[str]
    shares: list[str]
    changed: list[str]
    cut_off: list[str]
    notes: list[str]


@dataclass(frozen=True, slots=True)
class _Instance:
    """One smbd: its file and what is meant to be in it."""

    path: Path
    server: Server
    meant: dict[str, dict[str, str]]


class Shares:
    """The shares of a facility."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database, self._settings = database, settings

    @property
    def wanted(self) -> bool:
        """Say whether the configuration asks for shares at all."""
        return self._settings.shares.folder is not None

    def apply(self, actor: Actor, *, at: float | None = None) -> SharesView:
        """Write Samba's configuration and the firewall file as they must be now, and let running smbds follow.

        A file that testparm does not take never takes the place of the one in force.

        Raises:
            NotAllowed: only who keeps shares may. NotFound: Samba is not installed.
            BadConfiguration: shares.folder is not set, or Samba does not take what would be written; says what.
        """
        require(actor, Power.KEEP_SHARES)
        return self._apply(actor, time.time() if at is None else at)

    def follow(self, actor: Actor) -> list[str]:
        """Do as `apply` after somebody changed rights in a zone; return words about what it did not reach."""
        if not self.wanted:
            return []
        try:
            return self._apply(actor, time.time()).notes
        except PasserelleError as problem:
            return [f"Samba's shares are as before: {problem}"]

    def status(self, actor: Actor) -> Status:
        """Return who is connected and what is open, of all smbds that run.

        Raises:
            NotAllowed: only who keeps shares may ask. BadConfiguration: shares.folder is not set.
        """
        require(actor, Power.KEEP_SHARES)
        found = [samba_status(self._folder / name) for name in (MODERN, LEGACY) if (self._folder / name).is_file()]
        return Status(
            tuple(each for status in found for each in status.connections),
            tuple(each for status in found for each in status.open_files),
        )

    def stale(self) -> list[str]:
        """Return which shares Samba's files do not show as zones, people and PCs ask for now; nothing is written.

        Raises:
            BadConfiguration: as `apply`; or testparm does not take what is in force. NotFound: Samba is not installed.
        """
        found: list[str] = []
        for instance in self._instances():
            found += _changed(_in_force(instance.path), instance.meant) if instance.path.is_file() else [instance.path.name]
            if not found:
                check_samba_config(instance.path, instance.meant)
        return found

    def servers(self) -> list[tuple[Path, tuple[str, ...]]]:
        """Return the smbds that must run: the configuration of each, and the addresses at which it listens.

        Raises:
            BadConfiguration: as `apply`.
        """
        return [(each.path, tuple(each.server.addresses)) for each in self._instances()]

    def reachable(self, address: str) -> bool:
        """Say whether something listens for SMB at an address of ours."""
        host = address.partition("/")[0]
        try:
            with socket.create_connection((host, self._settings.shares.port), timeout=_REACH_SECONDS):
                return True
        except OSError:
            return False

    # -- within --

    @property
    def _folder(self) -> Path:
        folder = self._settings.shares.folder
        if folder is None:
            raise BadConfiguration("shares.folder is not set.", advice="Say where Samba's configuration is to be written.")
        return folder

    def _apply(self, actor: Actor, now: float) -> SharesView:
        folder = self._folder
        files: list[str] = []
        changed: list[str] = []
        cut: list[str] = []
        notes: list[str] = []
        with acting(self._database, actor, "shares_apply", "shares", at=now) as deed:
            for instance in self._instances():
                before = _in_force(instance.path)
                _write_checked(instance)
                files.append(str(instance.path))
                changed += _changed(before, instance.meant)
                try:
                    cut += _tell(instance, before)
                except NotFound as problem:  # nobody runs by it: nobody is connected
                    notes.append(str(problem))
                with storage_errors(instance.path):
                    _before(instance.path).unlink(missing_ok=True)
            firewall = folder / FIREWALL
            write_text(firewall, self._firewall())
            files.append(str(firewall))
            try:
                check_firewall(firewall)
            except NotFound:
                notes.append("nft is not installed here: the firewall file is not checked.")
            deed.data = {"changed": changed, "cut_off": cut}
        shares = [name for instance in self._instances() for name in instance.meant if name != "global"]
        return SharesView(files=files, shares=shares, changed=changed, cut_off=cut, notes=notes)

    def _instances(self) -> list[_Instance]:
        settings = self._settings.shares
        exports = self._exports()
        pcs = self._settings.pcs
        found: list[_Instance] = []
        addresses = [each for each in (settings.gateway_address, settings.zone_address) if each]
        modern: list[GatewayShare | ZoneExport] = [self._gateway(name) for name, pc in pcs.items() if not pc.legacy]
        if addresses:
            server = Server(settings.workgroup, tuple(addresses), settings.port, settings.private)
            found.append(_Instance(self._folder / MODERN, server, samba_settings(server, [*modern, *exports])))
        elif modern or exports:
            raise BadConfiguration(
                "shares.gateway_address and shares.zone_address are not set.", advice="Say at which addresses smbd listens."
            )
        old = [self._gateway(name) for name, pc in pcs.items() if pc.legacy]
        if old:
            if not settings.legacy_address:
                raise BadConfiguration(
                    f"pcs.{old[0].name} speaks SMB 1 only, and shares.legacy_address is not set.",
                    advice="Give it an interface of its own: SMB 1 is spoken nowhere else.",
                )
            private = (settings.private or self._folder) / "legacy"
            server = Server(settings.workgroup, (settings.legacy_address,), settings.port, private, legacy=True)
            found.append(_Instance(self._folder / LEGACY, server, samba_settings(server, old)))
        return found

    def _gateway(self, name: str) -> GatewayShare:
        pc = self._settings.pcs[name]
        return GatewayShare(name, self._settings.instruments[pc.instrument].folder / pc.folder, pc.account, pc.address)

    def _exports(self) -> list[ZoneExport]:
        settings = self._settings.shares
        if not settings.zone_address:
            return []
        with self._database.read() as connection:
            found = zones.every(connection)
            barred = tuple(each.name for each in people.every(connection) if each.state is PersonState.DISABLED)
        return [
            ZoneExport(
                row.name,
                zone_of(row).root,
                _names(entitled(zone_of(row)).readers),
                _names(entitled(zone_of(row)).writers),
                barred,
                settings.zone_networks,
                settings.encrypt_zones,
            )
            for row in found
        ]

    def _firewall(self) -> str:
        settings = self._settings.shares
        segments = [
            Segment(interface, address, tuple(pc.address for pc in self._settings.pcs.values() if pc.legacy is legacy))
            for interface, address, legacy in (
                (settings.gateway_interface, settings.gateway_address, False),
                (settings.legacy_interface, settings.legacy_address, True),
            )
            if interface and address
        ]
        return acquisition_firewall(segments, port=settings.port)


def _write_checked(instance: _Instance) -> None:
    """Write a configuration beside the one in force, let testparm read it, and only then give it its name."""
    path = instance.path
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if instance.server.private is not None:
            for name in _PRIVATE:
                # others pass through, but see nothing: ncalrpc holds sockets that smbd's own processes open
                (instance.server.private / name).mkdir(parents=True, exist_ok=True, mode=0o755 if name == "ncalrpc" else 0o700)
    candidate = path.with_name(f".checked-{path.name}")
    text = samba_config(instance.meant)
    write_text(candidate, text)
    try:
        check_samba_config(candidate, instance.meant)
        with storage_errors(path):
            if path.is_file() and not _before(path).exists():
                # kept until everybody who may no longer is cut off: should this end in between, the next time knows whom
                write_text(_before(path), path.read_text(encoding="utf-8", errors="surrogateescape"))
        write_text(path, text)
    finally:
        with storage_errors(candidate):
            candidate.unlink(missing_ok=True)


def _tell(instance: _Instance, before: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Let the running smbd follow, and cut off who may no longer; reading anew alone leaves the connected as they are."""
    reload_samba(instance.path)
    cut: list[str] = []
    for name, settings in before.items():
        if name == "global":
            continue
        loss = lost(settings, instance.meant.get(name))
        if loss is not Loss.NONE:
            (close_share if loss is Loss.FOR_ALL else close_denied)(instance.path, name)
            cut.append(name)
    return cut


class Loss(Enum):
    """Who loses something by a change of a share."""

    NONE = "none"
    FOR_SOME = "for some"  # smbd finds out who may no longer connect
    FOR_ALL = "for all"  # everybody connects again: what one may write is looked at only then


def lost(before: Mapping[str, str], now: Mapping[str, str] | None) -> Loss:
    """Say who must be cut off because of a change of a share. Whoever only gains stays connected, and connects anew to gain."""
    if now is None or any(before.get(key) != now.get(key) for key in ("path", "read only", "server smb encrypt")):
        return Loss.FOR_ALL
    if _words(before, "write list") - _words(now, "write list"):
        return Loss.FOR_ALL
    some = _words(before, "valid users") - _words(now, "valid users") or _words(now, "invalid users") - _words(
        before, "invalid users"
    )
    return Loss.FOR_SOME if some or before.get("hosts allow") != now.get("hosts allow") else Loss.NONE


def _words(settings: Mapping[str, str], key: str) -> set[str]:
    return set(re.findall(r'"[^"]*"|\S+', settings.get(key, "")))


def _before(path: Path) -> Path:
    return path.with_name(f".before-{path.name}")


def _changed(before: Mapping[str, Mapping[str, str]], meant: Mapping[str, Mapping[str, str]]) -> list[str]:
    return sorted(name for name in before.keys() | meant.keys() if before.get(name) != meant.get(name) and name != "global")


def _in_force(path: Path) -> dict[str, dict[str, str]]:
    """Return what connected clients may have been let in by."""
    path = _before(path) if _before(path).is_file() else path
    if not path.is_file():
        return {}
    with storage_errors(path):
        return read_sections(path.read_text(encoding="utf-8", errors="surrogateescape"))


def _names(who: Who) -> tuple[str, ...]:
    return (*sorted(who.people), *(f"+{group}" for group in sorted(who.groups)))
