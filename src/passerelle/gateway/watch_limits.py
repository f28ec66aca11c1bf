"""How many of the kernel's watches (inotify) this account uses, and how many it may: beyond that, folders are polled only."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")
_LIMITS = "sys/fs/inotify"


class WatchLimits(NamedTuple):
    """watches, instances: in use by all processes of this account that can be looked at. most_…: what the kernel allows."""

    watches: int
    most_watches: int
    instances: int
    most_instances: int

    @property
    def share(self) -> float:
        """Return how near the nearer of the two limits is: 1.0 at the limit."""
        pairs = ((self.watches, self.most_watches), (self.instances, self.most_instances))
        return max((used / most for used, most in pairs if most), default=0.0)


def watch_limits(proc: Path = _PROC) -> WatchLimits | None:
    """Return the use and the limits of watches of this account; None where the kernel does not tell."""
    try:
        most_watches, most_instances = (
            int((proc / _LIMITS / name).read_text()) for name in ("max_user_watches", "max_user_instances")
        )
        processes = [each for each in os.listdir(proc) if each.isdecimal()]  # noqa: PTH208 - names only
    except (OSError, ValueError):
        return None
    watches = instances = 0
    for process in processes:
        for count in _instances(proc / process):
            instances += 1
            watches += count
    return WatchLimits(watches, most_watches, instances, most_instances)


def _instances(process: Path) -> list[int]:
    """Return the number of watches of each inotify instance of a process of this account."""
    found: list[int] = []
    try:
        if process.stat().st_uid != os.geteuid():
            return []
        for each in (process / "fd").iterdir():
            try:
                if os.readlink(each) != "anon_inode:inotify":  # noqa: PTH115 - it is no path
                    continue
                text = (process / "fdinfo" / each.name).read_text()
            except OSError:
                continue  # closed since it was listed
            found.append(sum(line.startswith("inotify wd:") for line in text.splitlines()))
    except OSError:
        return found  # the process has ended
    return found
