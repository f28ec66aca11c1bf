"""Who has a file open: asked of the kernel by a lease, which it grants only while nobody has."""

from __future__ import annotations

import errno
import fcntl
import signal

from passerelle.gateway.settle import Writers


def writers_of(descriptor: int) -> Writers:
    """Say whether a file, open here for reading only, is open for writing anywhere on this machine (or mapped so).

    Works for the file's owner and for root (CAP_LEASE) on local file systems; else UNKNOWN. The lease is given back at once.
    Should a writer come in that instant, the kernel lets it wait until then and sends us a signal: SIGURG, which is ignored by
    default, instead of SIGIO, which would end the process.
    """
    return _asked(descriptor, fcntl.F_RDLCK)


def users_of(descriptor: int) -> Writers:
    """Say whether a file, open here once, is open anywhere else on this machine, for reading too; as `writers_of`."""
    return _asked(descriptor, fcntl.F_WRLCK)


def _asked(descriptor: int, lease: int) -> Writers:
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, lease)
    except OSError as error:
        return Writers.SOME if error.errno == errno.EAGAIN else Writers.UNKNOWN
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError:
        return Writers.UNKNOWN
    return Writers.NONE
