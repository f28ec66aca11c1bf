"""A facility with a real smbd: accounts, instrument PCs, zones; for the tests of shares."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from passerelle.service.access import this_account
from passerelle.service.settings import Settings
from passerelle.service.shares import MODERN, Shares
from passerelle.service.zones import Zones
from passerelle.store import connect
from passerelle.testing.accounts import SharedAccounts, changing_accounts
from passerelle.testing.ports import kept_port

PASSWORD = "pw-of-the-test"
PCS = {"krios-pc": "pt-krios", "glacios-pc": "pt-glacios"}
PEOPLE = ("pt-alice", "pt-bob", "pt-carol")
GROUP = "pt-cryo"
ROOT = this_account()


def missing() -> str:
    """Say why no smbd can be run here, or nothing."""
    for program in ("smbd", "smbclient", "smbpasswd", "testparm", "smbcontrol", "useradd"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    return "" if os.getuid() == 0 else "a smbd of several accounts is run by root"


def wait_for(address: str, port: int) -> None:
    """Wait until a server listens."""
    ends = time.monotonic() + 90
    while time.monotonic() < ends:
        with contextlib.suppress(OSError), socket.create_connection((address, port), 5):
            return
        time.sleep(0.05)
    raise AssertionError(f"nothing listens at {address}:{port}")


def merged(table: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Return a table with the values of another added, section by section."""
    both = dict(table)
    for key, value in more.items():
        inner = both.get(key)
        both[key] = merged(inner, value) if isinstance(inner, Mapping) and isinstance(value, Mapping) else value
    return both


def toml(table: Mapping[str, Any], name: str = "") -> str:
    """Return a table as TOML: numbers, texts and lists of them are written as in JSON."""
    plain = {key: value for key, value in table.items() if not isinstance(value, Mapping)}
    lines = [f"[{name}]"] if name else []
    lines += [f"{key} = {json.dumps(value, default=str)}" for key, value in plain.items()]
    inner = [toml(value, f"{name}.{key}".lstrip(".")) for key, value in table.items() if isinstance(value, Mapping)]
    return "\n".join([*lines, *inner])


class SambaFacility:
    """Two instruments with a PC each, three people, and smbd on a free port of 127.0.0.1."""

    def __init__(self, folder: Path, **sections: Any) -> None:
        """folder: a new one, whose parent is this test's own: people must be able to reach what is below.

        sections: further ones of the configuration, or values that are added to those here.
        """
        self.folder = folder
        folder.mkdir(mode=0o711)
        folder.parent.chmod(0o711)
        self._accounts = SharedAccounts((*PCS.values(), *PEOPLE), [GROUP])
        with changing_accounts():
            subprocess.run(["gpasswd", "-a", "pt-carol", GROUP], check=True, capture_output=True)
        self._keeper, self.port = kept_port()
        self.table = merged(
            {
                "state": {"folder": folder / "state"},
                "zones": {"folder": folder / "zones", "server": "127.0.0.1"},
                "instruments": {name: {"folder": folder / "gateway" / name} for name in ("krios", "glacios")},
                "pcs": {
                    name: {"instrument": name.removesuffix("-pc"), "account": account, "address": "127.0.0.1"}
                    for name, account in PCS.items()
                },
                "shares": {
                    "folder": folder / "shares",
                    "private": folder / "samba",
                    "gateway_address": "127.0.0.1/8",
                    "zone_address": "127.0.0.1/8",
                    "gateway_interface": "lo",
                    "port": self.port,
                },
            },
            sections,
        )
        self.settings = Settings.model_validate(self.table)
        (folder / "gateway").mkdir()
        self.database = connect(self.settings.database_url)
        self.shares = Shares(self.database, self.settings)
        self.zones = Zones(self.database, self.settings, rights_changed=self.shares.follow)
        self.config = folder / "shares" / MODERN
        self.smbd: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Apply the shares, give everybody a password, start smbd and wait until it answers."""
        self.shares.apply(ROOT)
        for name in (*PCS.values(), *PEOPLE):
            words = f"{PASSWORD}\n{PASSWORD}\n".encode()
            subprocess.run(["smbpasswd", "-c", self.config, "-s", "-a", name], input=words, check=True, capture_output=True)
        log = (self.folder / "smbd.log").open("wb")
        self.smbd = subprocess.Popen(
            ["smbd", "--foreground", "--no-process-group", "--debug-stdout", "-s", self.config],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        log.close()
        wait_for("127.0.0.1", self.port)

    def stop(self) -> None:
        if self.smbd is not None:
            self.smbd.terminate()
            self.smbd.wait(60)
        self._keeper.close()
        self.database.close()
        self._accounts.close()

    def client(self, share: str, account: str, commands: str, *, password: str = PASSWORD) -> str:
        """Run commands of smbclient and return all that it says."""
        ended = subprocess.run(
            ["smbclient", f"//127.0.0.1/{share}", "-p", str(self.port), "-U", f"{account}%{password}", "-c", commands],
            check=False,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=120,
        )
        return ended.stdout + ended.stderr
