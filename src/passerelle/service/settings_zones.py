"""The configuration of zones, of what Samba shows of them, and of instrument PCs."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Set
from pathlib import Path

from pydantic import Field, field_validator

from passerelle.core.config import Section
from passerelle.core.errors import BadConfiguration

_INTERFACE = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,14}")
_SHARE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,38}[A-Za-z0-9])?")
_ACCOUNT = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9_$])?")


class ZoneSettings(Section):
    """Places on central storage."""

    folder: Path = Field(default=Path("zones"), description="New zones are made in this folder.")
    other_folders: tuple[Path, ...] = Field(
        default=(), description="Other folders that zones may lie in, where a person of the pages chooses.", examples=[["/data2"]]
    )
    group: str = Field(
        default="", description="The group that files of zones get; empty: that of the service.", examples=["passerelle"]
    )
    server: str = Field(
        default="", description="Name of the server by which Windows opens zones; empty: this machine's.", examples=["zones"]
    )


class ShareSettings(Section):
    """What Samba shows. passerelle writes and checks the configuration; a smbd that runs by it is told of changes."""

    folder: Path | None = Field(
        default=None,
        description="Where smb.conf, smb-legacy.conf and acquisition.nft are written; without it: no shares.",
        examples=["/etc/passerelle/shares"],
    )
    private: Path | None = Field(
        default=None,
        description="Databases of a smbd of passerelle's own; without it: the system's. The legacy smbd always has its own.",
        examples=["/var/lib/passerelle/samba"],
    )
    workgroup: str = Field(default="CRYO", pattern=r"^[A-Za-z0-9-]{1,15}$", description="The workgroup of the server.")
    gateway_address: str = Field(
        default="",
        description="This machine's address in the acquisition network; gateway shares are shown there.",
        examples=["10.20.0.1/24"],
    )
    gateway_interface: str = Field(default="", description="Its network interface, for the firewall file.", examples=["enp3s0"])
    legacy_address: str = Field(
        default="",
        description="This machine's address towards PCs of the age of Windows XP, on an interface of its own.",
        examples=["10.30.0.1/24"],
    )
    legacy_interface: str = Field(default="", description="Its network interface.", examples=["enp4s0"])
    zone_address: str = Field(
        default="",
        description="This machine's address in the institute's network; zones are shown there.",
        examples=["192.168.5.10/24"],
    )
    zone_networks: tuple[str, ...] = Field(
        default=(),
        description="Networks that may reach zones; empty: every one that reaches zone_address.",
        examples=[["192.168.0.0/16"]],
    )
    seal: bool = Field(
        default=True, description="Seal movies that were taken over: their PC can change and delete them no more. Needs root."
    )
    seal_after_minutes: float = Field(
        default=10.0, ge=0, description="How long after it became whole a movie is sealed, if nobody has it open."
    )
    encrypt_zones: bool = Field(default=True, description="Zones are shown encrypted only (SMB 3).")
    port: int = Field(default=445, ge=1, le=65535, description="The port of SMB.")

    @field_validator("gateway_address", "legacy_address", "zone_address")
    @classmethod
    def _address(cls, value: str) -> str:
        if value:
            ipaddress.ip_interface(value)
        return value

    @field_validator("zone_networks")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            ipaddress.ip_network(each)
        return value

    @field_validator("gateway_interface", "legacy_interface")
    @classmethod
    def _interface(cls, value: str) -> str:
        if value and not _INTERFACE.fullmatch(value):
            raise ValueError("is the name of a network interface, such as enp3s0")
        return value


class PcSettings(Section):
    """An instrument PC. It has one share, named as its section, which only its account opens from its address."""

    instrument: str = Field(description="The instrument whose folder it writes to.", examples=["krios"])
    account: str = Field(description="The account that the PC logs in by; of this PC alone.", examples=["pc-krios"])
    address: str = Field(description="Its address in the acquisition network.", examples=["10.20.0.11"])
    folder: str = Field(
        default="", description="A folder within the instrument's, where the PC has its own.", examples=["camera"]
    )
    legacy: bool = Field(default=False, description="The PC is of the age of Windows XP and speaks SMB 1 only.")

    @field_validator("account")
    @classmethod
    def _account(cls, value: str) -> str:
        if not _ACCOUNT.fullmatch(value):
            raise ValueError("is the name of an account: letters, digits, '.', '_' and '-'")
        return value

    @field_validator("address")
    @classmethod
    def _address(cls, value: str) -> str:
        return str(ipaddress.ip_address(value))

    @field_validator("folder")
    @classmethod
    def _folder(cls, value: str) -> str:
        if value.startswith("/") or ".." in value.split("/") or not re.fullmatch(r"[A-Za-z0-9._/ -]*", value):
            raise ValueError("is a path within the instrument's folder, of letters, digits, '.', '_', '-' and blanks")
        return value


def check_pcs(pcs: Mapping[str, PcSettings], instruments: Set[str], path: Path) -> None:
    """Pass if instrument PCs are told apart: by name, account and address, each writing for a known instrument.

    Raises:
        BadConfiguration: says which are not.
    """
    seen: dict[str, str] = {}
    for name, pc in pcs.items():
        if not _SHARE.fullmatch(name):
            raise BadConfiguration(f"pcs.{name}: a share cannot have this name.", advice="Use letters, digits and -.", path=path)
        if pc.instrument not in instruments:
            known = ", ".join(sorted(instruments)) or "none"
            raise BadConfiguration(f"pcs.{name}: there is no instrument {pc.instrument}.", advice=f"Known: {known}.", path=path)
        for what, value in (("name", name), ("account", pc.account), ("address", pc.address)):
            other = seen.setdefault(f"{what} {value.lower()}", name)
            if other != name:
                raise BadConfiguration(
                    f"pcs.{other} and pcs.{name} have the same {what} {value}.",
                    advice="What one may write the other may not read: give each its own.",
                    path=path,
                )
