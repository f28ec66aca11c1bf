"""The firewall file in force, in network namespaces of this test alone: a PC reaches SMB on the gateway, and nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from passerelle.programs.nftables import Segment, acquisition_firewall, check_firewall

LISTEN = """
import socket, sys, time
servers = [socket.create_server(("", int(port))) for port in sys.argv[1:]]
time.sleep(600)
"""
CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 5, (sys.argv[3], 0)).close()"
GATEWAY, PC, STRANGER, OFFICE = "10.98.1.1", "10.98.1.11", "10.98.1.66", "10.98.2.2"


class Networks:
    """A gateway between an acquisition network with a PC, and an office; routing is on, as if somebody had left it so."""

    def __init__(self) -> None:
        tag = f"p{os.getpid() % 10000}"
        self.gateway, self.pc, self.office = f"{tag}g", f"{tag}p", f"{tag}o"
        self.acquisition = f"{tag}a0"
        self.processes: list[subprocess.Popen[bytes]] = []
        for name in (self.gateway, self.pc, self.office):
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        for here, there, name, addresses, own in (
            (self.acquisition, f"{tag}a1", self.pc, (PC, STRANGER), GATEWAY),
            (f"{tag}b0", f"{tag}b1", self.office, (OFFICE,), "10.98.2.1"),
        ):
            run("ip", "link", "add", here, "netns", self.gateway, "type", "veth", "peer", "name", there, "netns", name)
            run("ip", "-n", self.gateway, "addr", "add", f"{own}/24", "dev", here)
            run("ip", "-n", self.gateway, "link", "set", here, "up")
            for address in addresses:
                run("ip", "-n", name, "addr", "add", f"{address}/24", "dev", there)
            run("ip", "-n", name, "link", "set", there, "up")
            run("ip", "-n", name, "route", "add", "default", "via", own)
        self.inside(self.gateway, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        self.listen(self.gateway, 445, 80)
        self.listen(self.pc, 139)
        self.listen(self.office, 445)

    def inside(self, name: str, *words: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(["ip", "netns", "exec", name, *words], capture_output=True, timeout=60, check=False)

    def listen(self, name: str, *ports: int) -> None:
        command = ["ip", "netns", "exec", name, sys.executable, "-c", LISTEN, *map(str, ports)]
        self.processes.append(subprocess.Popen(command, start_new_session=True))

    def reaches(self, name: str, source: str, target: str, port: int) -> bool:
        return self.inside(name, sys.executable, "-c", CONNECT, target, str(port), source).returncode == 0

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
        for name in (self.gateway, self.pc, self.office):
            run("ip", "netns", "delete", name)


def run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True, timeout=60)


@pytest.fixture(scope="module")
def networks() -> Iterator[Networks]:
    if os.getuid() != 0:
        pytest.skip("network namespaces are made by root")
    for program in ("ip", "nft"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    try:
        made = Networks()
    except subprocess.CalledProcessError as error:
        pytest.skip(f"this machine makes no network namespaces: {error.stderr.decode(errors='replace').strip()}")
    yield made
    made.close()


def everything(networks: Networks) -> dict[str, bool]:
    return {
        "pc to smb": networks.reaches(networks.pc, PC, GATEWAY, 445),
        "pc to the web page": networks.reaches(networks.pc, PC, GATEWAY, 80),
        "pc to the office": networks.reaches(networks.pc, PC, OFFICE, 445),
        "pc to the gateway's other address": networks.reaches(networks.pc, PC, "10.98.2.1", 445),
        "a stranger in the same network to smb": networks.reaches(networks.pc, STRANGER, GATEWAY, 445),
        "gateway to pc": networks.reaches(networks.gateway, GATEWAY, PC, 139),
        "office to pc": networks.reaches(networks.office, OFFICE, PC, 139),
        "office to the gateway": networks.reaches(networks.office, OFFICE, "10.98.2.1", 80),
    }


def test_a_pc_reaches_smb_on_the_gateway_and_nothing_else_and_nothing_reaches_it(networks: Networks, tmp_path: Path) -> None:
    path = tmp_path / "acquisition.nft"
    path.write_text(acquisition_firewall([Segment(networks.acquisition, f"{GATEWAY}/24", (PC,))]))
    check_firewall(path)
    ends = time.monotonic() + 120  # until all listen
    while not all((found := everything(networks)).values()):  # without it, everything is open: what follows is the file's doing
        assert time.monotonic() < ends, found
    for _ in range(2):  # once more: it replaces itself
        assert networks.inside(networks.gateway, "nft", "-f", str(path)).returncode == 0
    assert {name for name, open_ in everything(networks).items() if open_} == {"pc to smb", "office to the gateway"}
    assert networks.inside(networks.gateway, "nft", "delete", "table", "inet", "passerelle_acquisition").returncode == 0
    assert networks.reaches(networks.pc, PC, GATEWAY, 80)
