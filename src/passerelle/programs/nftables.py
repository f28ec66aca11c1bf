"""The firewall of the acquisition network, as a file for nft: instrument PCs reach SMB on the gateway, and nothing else."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from passerelle.core.errors import BadConfiguration
from passerelle.programs.run import run_to_end

_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Segment:
    """A network of instrument PCs. interface: of this machine towards it. address: of this machine in it. pcs: theirs."""

    interface: str
    address: str
    pcs: tuple[str, ...]


_HEAD = """\
#!/usr/sbin/nft -f
# Written by passerelle from its configuration; nothing applies it by itself. Read it, then, as root:
#
#     nft -c -f FILE      says whether nft takes it, and changes nothing
#     nft -f FILE         puts it in force, until the next start of the machine
#     systemctl enable nftables, with `include "FILE"` in /etc/nftables.conf: for good
#     nft delete table inet passerelle_acquisition      takes it back
#
# What it does. Instrument PCs are old, cannot be patched, and are never to be reached from outside, nor to reach anything:
#   - a PC that is listed opens SMB (TCP {port}) on this machine, and gets its answers;
#   - it may ask ping, so that a person can see whether the cable is right;
#   - everything else that comes from there is dropped and counted, and so is everything that this machine would start towards it;
#   - nothing is passed on between these networks and any other, in neither direction.
# Other interfaces of this machine are not touched: their firewall is yours.
"""


def acquisition_firewall(segments: Iterable[Segment], *, port: int = 445) -> str:
    """Return the text of the file: a table of its own, that replaces the one before as a whole."""
    found = list(segments)
    names = ", ".join(f'"{segment.interface}"' for segment in found)
    lines = [
        _HEAD.format(port=port).rstrip(),
        "",
        "table inet passerelle_acquisition",
        "delete table inet passerelle_acquisition",
    ]
    lines += ["", "table inet passerelle_acquisition {"]
    if found:
        lines += [f"    set networks {{ type ifname; elements = {{ {names} }} }}", ""]
        for number, segment in enumerate(found):
            lines += _sets(number, segment)
        lines += ["    chain in {", "        type filter hook input priority filter; policy accept;"]
        lines += ["        iifname != @networks accept", "        ct state established,related accept"]
        for number, segment in enumerate(found):
            lines += _rules(number, segment, port)
        lines += ["        counter drop", "    }", ""]
        lines += ["    chain out {", "        type filter hook output priority filter; policy accept;"]
        lines += ["        oifname != @networks accept", "        ct state established,related accept"]
        lines += ["        icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept", "        counter drop", "    }", ""]
        lines += ["    chain pass {", "        type filter hook forward priority filter; policy accept;"]
        lines += ["        iifname @networks counter drop", "        oifname @networks counter drop", "    }"]
    return "\n".join([*lines, "}", ""])


def check_firewall(path: Path) -> None:
    """Let nft read a file without putting it in force.

    Raises:
        BadConfiguration: nft does not take it; its own words are in the message. NotFound: nft is not installed.
    """
    ended = run_to_end(["nft", "--check", "--file", path], seconds=_SECONDS)
    if ended.code:
        raise BadConfiguration(f"nft does not take it: {ended.last_words or ended.code}", path=path)


def _sets(number: int, segment: Segment) -> list[str]:
    return [
        f"    set pcs{number}_v{version} {{ type ipv{version}_addr; elements = {{ {', '.join(addresses)} }} }}"
        for version, addresses in _by_version(segment).items()
    ] + [""]


def _rules(number: int, segment: Segment, port: int) -> list[str]:
    rules: list[str] = []
    for version in _by_version(segment):
        family = "ip" if version == 4 else "ip6"
        here = ipaddress.ip_interface(segment.address)
        to = f" {family} daddr {here.ip}" if here.version == version else ""
        known = f'        iifname "{segment.interface}" {family} saddr @pcs{number}_v{version}{to}'
        ping = "icmp type echo-request" if version == 4 else "icmpv6 type echo-request"
        rules += [f"{known} tcp dport {port} accept", f"{known} {ping} accept"]
        if version == 6:
            rules += [f'        iifname "{segment.interface}" icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} accept']
    return rules


def _by_version(segment: Segment) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for text in sorted(set(segment.pcs)):
        address = ipaddress.ip_address(text)
        found.setdefault(address.version, []).append(str(address))
    return found
