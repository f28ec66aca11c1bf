"""System calls that Python does not offer, each as one function that raises OSError as those of `os` do."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import signal
from collections.abc import Callable
from typing import Any

_libc = ctypes.CDLL(None, use_errno=True)

RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08

_OPENAT2 = 437  # the same number on every machine since Linux 5.6
_CACHESTAT = 451  # since Linux 6.5
_RENAMEAT2 = {"x86_64": 316, "aarch64": 276, "ppc64le": 357}.get(os.uname().machine, -1)  # -1: ENOSYS
_RENAME_NOREPLACE = 1
_PR_SET_PDEATHSIG = 1

# the magic numbers of file systems for which syncfs(2) means what it says: on FUSE and NFS it returns at once
_SYNCED_WHOLE = frozenset({0xEF53, 0x58465342, 0x9123683E, 0x2FC12FC1, 0xF2F52010, 0xCA451A4E, 0x01021994})


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


class _Range(ctypes.Structure):
    _fields_ = (("offset", ctypes.c_uint64), ("length", ctypes.c_uint64))


class _CacheStat(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint64) for name in ("cached", "dirty", "writeback", "evicted", "recently_evicted"))


class _StatFs(ctypes.Structure):
    _fields_ = (("type", ctypes.c_long), ("rest", ctypes.c_char * 248))


def _system_call(number: int, *types: type[Any]) -> Callable[..., int]:
    """Return a system call as a function of arguments of these types. It is made again for as long as a signal interrupts it."""
    call = _libc["syscall"]  # a new object each time, with types of its own
    call.argtypes = (ctypes.c_long, *types)
    call.restype = ctypes.c_long

    def made(*arguments: object) -> int:
        while (answer := call(number, *arguments)) == -1:
            if (code := ctypes.get_errno()) != errno.EINTR:
                raise OSError(code, os.strerror(code))
        return answer

    return made


_openat2 = _system_call(_OPENAT2, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t)
_renameat2 = _system_call(_RENAMEAT2, ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
_cachestat = _system_call(_CACHESTAT, ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint)


def openat2(folder: int, path: bytes, flags: int, resolve: int) -> int:
    """Open an existing `path`, seen from an open folder, under the rules of `resolve`; return a descriptor.

    Raises:
        OSError: EXDEV or ELOOP: the path leads out of the folder, or over a link. ENOSYS: the kernel is older than 5.6.
    """
    how = _OpenHow(flags | os.O_CLOEXEC, 0, resolve)
    return _openat2(folder, path, ctypes.byref(how), ctypes.sizeof(how))


def rename_no_replace(folder: int, old: bytes, new: bytes) -> None:
    """Give a file of an open folder another name there, in one step, unless that name is taken.

    Raises:
        FileExistsError: the name is taken. OSError: ENOSYS or EINVAL: the file system cannot do that.
    """
    _renameat2(folder, old, folder, new, _RENAME_NOREPLACE)


def syncfs(descriptor: int) -> None:
    """Bring all that was written to a file system onto its medium; reports lost writes since Linux 5.8."""
    if _libc.syncfs(ctypes.c_int(descriptor)) == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def can_sync_whole(descriptor: int) -> bool:
    """Tell whether `syncfs` of the file system of `descriptor` writes, and reports what could not be written."""
    answer = _StatFs()
    if _libc.fstatfs(ctypes.c_int(descriptor), ctypes.byref(answer)) == -1:
        return False
    return answer.type & 0xFFFFFFFF in _SYNCED_WHOLE


def reserve(descriptor: int, size: int) -> None:
    """Ask for the room of a file at once; where the file system cannot do that, nothing happens.

    glibc's posix_fallocate is of no use here: where the file system has none, it writes a byte into each block.

    Raises:
        OSError: ENOSPC, EDQUOT, EFBIG: there is no such room.
    """
    length = ctypes.c_int64(size)
    if _libc.fallocate64(ctypes.c_int(descriptor), ctypes.c_int(0), ctypes.c_int64(0), length) == -1:
        code = ctypes.get_errno()
        if code in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}:
            raise OSError(code, os.strerror(code))


def cached_share(descriptor: int, size: int) -> float | None:
    """Return which share of a file's first `size` bytes is in the page cache; None where the kernel does not tell."""
    pages = -(-size // mmap.PAGESIZE)
    span, answer = _Range(0, size), _CacheStat()
    try:
        _cachestat(descriptor, ctypes.byref(span), ctypes.byref(answer), 0)
    except OSError:
        return None
    return answer.cached / pages if pages else 1.0


def die_with_parent(parent: int) -> None:
    """Have this process killed when the one that started it, `parent`, ends, however that ends; at once, if it has."""
    _libc.prctl(ctypes.c_int(_PR_SET_PDEATHSIG), ctypes.c_ulong(signal.SIGKILL))
    if os.getppid() != parent:  # it ended before we asked, and nobody will tell us
        os._exit(1)


# -- rights of this process

CAP_DAC_READ_SEARCH = 2  # read and enter everything, write nothing
_PR_SET_KEEPCAPS = 8
_PR_CAPBSET_READ, _PR_CAPBSET_DROP = 23, 24
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 47, 2
_CAPABILITY_VERSION_3 = 0x20080522
_MOST_CAPABILITIES = 64


class _CapHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("process", ctypes.c_int))


class _CapData(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def _prctl(option: int, *arguments: int) -> int:
    rest = [ctypes.c_ulong(each) for each in (*arguments, *[0] * (4 - len(arguments)))]
    answer = _libc.prctl(ctypes.c_int(option), *rest)
    if answer == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return answer


def keep_capabilities() -> None:
    """Let capabilities survive the change to another account (they leave the effective set all the same)."""
    _prctl(_PR_SET_KEEPCAPS, 1)


def bound_capabilities(kept: int) -> None:
    """Take all capabilities but one away from what this process and its children can ever have. Needs CAP_SETPCAP."""
    for number in range(_MOST_CAPABILITIES):
        try:
            known = _prctl(_PR_CAPBSET_READ, number)
        except OSError:  # the kernel knows no more
            return
        if known and number != kept:
            _prctl(_PR_CAPBSET_DROP, number)


def have_only(capability: int) -> None:
    """Have one capability of those that are permitted, in this thread and in programs that it starts, and no other."""
    header = _CapHeader(_CAPABILITY_VERSION_3, 0)
    mask = 1 << capability
    data = (_CapData * 2)(_CapData(mask, mask, mask), _CapData(0, 0, 0))
    if _libc.capset(ctypes.byref(header), ctypes.byref(data)) == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability)


def no_new_privileges() -> None:
    """Give up for ever, with all children, whatever set-user-ID programs and file capabilities would give."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
