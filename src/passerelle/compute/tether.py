"""Run a program that dies with the service, however the service dies: `python -m passerelle.compute.tether PID TICKS PROGRAM …`.

Parsl's interchange and managers outlive a service that gets SIGKILL, and their workers with them. This process stands between: it
puts the program into a session of its own, waits for either to end, and ends the whole group when the service is gone, or the
shell by which Parsl started it: that is what Parsl kills to end a manager. It leaves the service's group itself: Ctrl-C in a
terminal is for the service, which then ends its programs in their order.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import sys

from passerelle.compute.deaths import KILLED_WITH_SERVICE, open_process

_PR_SET_PDEATHSIG = 1


def main(process_id: int, ticks: str, command: list[str]) -> int:
    """Run `command` until it ends or the service does; return its exit code."""
    starter = os.pidfd_open(os.getppid())
    with contextlib.suppress(PermissionError):  # it leads a group already
        os.setsid()
    service = open_process(process_id, ticks)
    if service is None:
        return KILLED_WITH_SERVICE
    child = os.fork()
    if child == 0:
        _become(command)
    program = os.pidfd_open(child)

    def end(signum: int, _frame: object) -> None:
        _end_group(child, signum)

    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(signum, end)
    ready, _, _ = select.select([service, starter, program], [], [])
    if program not in ready:
        _end_group(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    _end_group(child, signal.SIGKILL)  # whom the program left behind
    return os.waitstatus_to_exitcode(status) & 0xFF


def _become(command: list[str]) -> None:
    os.setsid()
    # should somebody kill this process itself, the program goes, too
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.execvp(command[0], command)


def _end_group(leader: int, signum: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signum)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2], sys.argv[3:]))
