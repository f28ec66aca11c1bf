"""All that a disk may have beside plain files with plain names arrives as it was; what cannot is said."""

from __future__ import annotations

import os
import socket
import stat
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from passerelle.transfer import Copied, copy_dataset, verify_dataset

Check = Callable[[int, int, Copied], bool]  # source and target folder, open, and what the copy said
LONG = "d" * 200


def _file(name: str | bytes, content: bytes = b"x") -> Callable[[int], None]:
    def make(folder: int) -> None:
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=folder)
        os.write(descriptor, content)
        os.close(descriptor)

    return make


def _link(name: str, to: str) -> Callable[[int], None]:
    return lambda folder: os.symlink(to, name, dir_fd=folder)


def _read(folder: int, name: str | bytes) -> bytes:
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=folder)
    try:
        return os.read(descriptor, 1 << 20)
    finally:
        os.close(descriptor)


def same(name: str | bytes) -> Check:
    """The name is there, of the same kind, with the same content, mode, owner and time."""

    def check(source: int, target: int, _done: Copied) -> bool:
        one, other = (os.stat(name, dir_fd=folder, follow_symlinks=False) for folder in (source, target))
        if stat.S_ISREG(one.st_mode):
            assert _read(source, name) == _read(target, name)
        if stat.S_ISLNK(one.st_mode):
            assert os.readlink(name, dir_fd=source) == os.readlink(name, dir_fd=target)
        facts = [(each.st_mode, each.st_uid, each.st_gid, each.st_size, each.st_mtime_ns, each.st_nlink) for each in (one, other)]
        return facts[0][:3] == facts[1][:3] and facts[0][4] == facts[1][4] and (stat.S_ISDIR(one.st_mode) or facts[0] == facts[1])

    return check


def said(name: str) -> Check:
    return lambda source, target, done: any(path == f"items/{name}" and "not copied" in note for path, note in done.notes)


def _with(make: Callable[[int], None], then: Callable[[int], None]) -> Callable[[int], None]:
    def both(folder: int) -> None:
        make(folder)
        then(folder)

    return both


def _on(name: str, change: Callable[[int], None]) -> Callable[[int], None]:
    def do(folder: int) -> None:
        descriptor = os.open(name, os.O_RDONLY, dir_fd=folder)
        change(descriptor)
        os.close(descriptor)

    return do


def _timed(name: str, ns: int) -> tuple[Callable[[int], None], Check]:
    return _with(_file(name), lambda folder: os.utime(name, ns=(ns, ns), dir_fd=folder)), same(name)


def _socket(folder: int) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"/proc/self/fd/{folder}/socket")


def _sparse(folder: int) -> None:
    descriptor = os.open("sparse", os.O_RDWR | os.O_CREAT, 0o644, dir_fd=folder)
    os.ftruncate(descriptor, 256 << 20)
    os.pwrite(descriptor, b"in the middle", 100 << 20)
    os.close(descriptor)


def _still_sparse(source: int, target: int, _done: Copied) -> bool:
    one, other = (os.stat("sparse", dir_fd=folder) for folder in (source, target))
    return one.st_size == other.st_size == 256 << 20 and other.st_blocks <= one.st_blocks + 64


def _deep(folder: int) -> None:
    held = os.dup(folder)
    for _ in range(25):  # 5,000 bytes, beyond what the kernel takes as one path
        os.mkdir(LONG, dir_fd=held)
        deeper = os.open(LONG, os.O_RDONLY, dir_fd=held)
        os.close(held)
        held = deeper
    _file("bottom", b"deep")(held)
    os.close(held)


def _deep_there(_source: int, target: int, _done: Copied) -> bool:
    held = os.dup(target)
    for _ in range(25):
        deeper = os.open(LONG, os.O_RDONLY, dir_fd=held)
        os.close(held)
        held = deeper
    content = _read(held, "bottom")
    os.close(held)
    return content == b"deep"


def _extended(name: str) -> Check:
    def check(source: int, target: int, _done: Copied) -> bool:
        found = []
        for folder in (source, target):
            descriptor = os.open("extended" if name.startswith("user") else "acl", os.O_RDONLY, dir_fd=folder)
            found.append(os.getxattr(descriptor, name))
            os.close(descriptor)
        return found[0] == found[1]

    return check


ACL = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", tag, permission, owner)
    for tag, permission, owner in [(1, 6, 2**32 - 1), (2, 4, 12345), (4, 4, 2**32 - 1), (16, 4, 2**32 - 1), (32, 0, 2**32 - 1)]
)
NAMES: list[str | bytes] = [
    *("new\nline", "tab\tbell\a", b"invalid \xff\xfe utf-8", b"lone \xed\xa0\x80 surrogate", "n" * 255, "å" * 127 + "x", "-rf"),
    *(
        'it\'s "quoted"',
        "$(touch gotcha)",
        "back\\slash",
        " leading",
        "trailing ",
        "dot.",
        "a:b",
        "*?",
        "caf\u00e9",
        "cafe\u0301",
    ),
    *("...", ".p-0123abcd-7", "aux", "percent%2e", "\u202eright to left"),
]
ITEMS: dict[str, tuple[Callable[[int], None], Check]] = {
    **{f"name {name!r}"[:60]: (_file(name), same(name)) for name in NAMES},
    "case twins": (
        _with(_file("Twin", b"1"), _file("twin", b"2")),
        lambda s, t, d: same("Twin")(s, t, d) and same("twin")(s, t, d),
    ),
    "link in a loop": (_link("loop", "loop"), same("loop")),
    "link outwards": (_link("outwards", "/etc/passwd"), same("outwards")),
    "dangling link": (_link("dangling", "../nowhere"), same("dangling")),
    "hard links": (
        _with(_file("one"), lambda folder: os.link("one", "two", src_dir_fd=folder, dst_dir_fd=folder)),
        lambda s, t, d: os.stat("one", dir_fd=t).st_ino == os.stat("two", dir_fd=t).st_ino,
    ),
    "256 MiB hole": (_sparse, _still_sparse),
    "empty folder": (lambda folder: os.mkdir("empty", dir_fd=folder), same("empty")),
    "folder of mode 0555": (
        _with(lambda f: os.mkdir("closed", dir_fd=f), _on("closed", lambda d: os.fchmod(d, 0o555))),
        same("closed"),
    ),
    "mode 0000": (_with(_file("secret"), _on("secret", lambda d: os.fchmod(d, 0))), same("secret")),
    "set user id": (_with(_file("suid"), _on("suid", lambda d: os.fchmod(d, 0o4755))), same("suid")),
    "fifo": (lambda folder: os.mkfifo("fifo", dir_fd=folder), said("fifo")),
    "socket": (_socket, said("socket")),
    "device": (lambda folder: os.mknod("device", stat.S_IFCHR | 0o600, os.makedev(1, 3), dir_fd=folder), said("device")),
    "link out of the zone": (_link("up and out", "../../../../../etc"), same("up and out")),
    "nanoseconds": _timed("ns", 1_700_000_000_123_456_789),
    "before 1970": _timed("before", -86_400_000_000_001),
    "in 2100": _timed("later", 4_102_444_800_000_000_009),
    "extended attribute": (
        _with(_file("extended"), _on("extended", lambda d: os.setxattr(d, "user.grid", b"\0square 7"))),
        _extended("user.grid"),
    ),
    "access list": (
        _with(_file("acl"), _on("acl", lambda d: os.setxattr(d, "system.posix_acl_access", ACL))),
        _extended("system.posix_acl_access"),
    ),
    "owner": (_with(_file("owned"), _on("owned", lambda d: os.fchown(d, 4321, 8765))), same("owned")),
    "path beyond 4096 bytes": (_deep, _deep_there),
}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files to others")
def test_nasty_names_and_attributes_arrive_as_they_were(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "items").mkdir(parents=True)
    folder = os.open(source / "items", os.O_RDONLY)
    for make, _ in ITEMS.values():
        make(folder)
    time.sleep(0.03)
    done = copy_dataset(source, target)
    there = os.open(target / "items", os.O_RDONLY)
    wrong = [name for name, (_, check) in ITEMS.items() if not check(folder, there, done)]
    os.close(folder)
    os.close(there)
    print(f"\n{len(ITEMS) - len(wrong)} of {len(ITEMS)}")
    assert not wrong
    assert len(ITEMS) >= 39
    assert done.whole
    assert verify_dataset(target).whole
    assert copy_dataset(source, target).copied_bytes == 0
