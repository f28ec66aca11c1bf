"""Damage files at random, repeatably, and see that a reader survives: for every reader of files that others write.

    for damaged in mutations(base, count=1000, seed=1):
        survive(read, damaged, folder / "x.mrc", permitted=(PasserelleError,))

A reader survives when it returns or raises one of its own errors, within two seconds, with memory of at most four times the
file (and a constant for what a process allocates anyway).
"""

from __future__ import annotations

import random
import struct
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

MAX_SECONDS = 2.0
MEMORY_FACTOR = 4
MEMORY_CONSTANT = 1 << 20

# what headers must not be believed: ends of ranges, signs, and sizes that overflow when they are multiplied
_NUMBERS = (
    0, 1, 2, 3, 7, 8, 127, 128, 255, 256, 257, 1023, 4096, 32767, 32768, 46341, 65535, 65536, 65537, (1 << 24) + 1,
    (1 << 31) - 1, 1 << 31, (1 << 31) + 1, (1 << 32) - 1, 1 << 32, (1 << 62), (1 << 63) - 1, 1 << 63, (1 << 64) - 1,
)  # fmt: skip
_FLOATS = (0.0, -0.0, 1.0, -1.0, 1e-40, 1e30, -1e30, float("inf"), float("-inf"), float("nan"))
_TEXTS = (
    b"\0", b"\n", b"\r", b"\r\n", b"\t", b" ", b"'", b'"', b";", b"#", b"_", b"<", b">", b"&", b"=", b"[", b"]", b"]]>",
    b"\xff\xfe", b"\xef\xbb\xbf", b"data_", b"loop_", b"_rlnX #1", b"\n\n", b"-1", b"1e999", b"nan",
    b"999999999999999999999", b"<!DOCTYPE x [<!ENTITY a 'b'>]>", b"&a;", b"<a>" * 200, b"</a>", b"<![CDATA[",
    b"[ZValue = -1]", b"A" * 5000,
)  # fmt: skip


class Unsurvived(AssertionError):
    """A reader crashed, hung or took too much memory; says how to get the file again."""


def mutations(base: bytes, count: int, seed: int, *, text: bool = False, head: int = 512) -> Iterator[bytes]:
    """Yield `count` damaged copies of `base`, the same ones for the same `seed`.

    text: also insert what parsers of texts stumble over. head: bytes at the front that are hit as often as all the rest.
    """
    chance = random.Random(seed)
    for _ in range(count):
        content = bytearray(base)
        for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
            _damage(content, chance, text, head)
        yield bytes(content)


def _damage(content: bytearray, chance: random.Random, text: bool, head: int) -> None:
    if not content:
        content.extend(chance.randbytes(chance.randrange(1, 64)))
        return
    at = chance.randrange(min(head, len(content)) if chance.random() < 0.5 else len(content))
    kind = chance.randrange(10 if text else 8)
    length = chance.choice((1, 2, 4, 8, 16, 64, 256))
    if kind == 0:
        content[at] ^= 1 << chance.randrange(8)
    elif kind == 1:
        content[at : at + length] = chance.randbytes(min(length, len(content) - at))
    elif kind in (2, 3):
        _overwrite(content, at - at % 2, _number(chance))
    elif kind == 4:
        del content[at : chance.choice((at + length, len(content)))]
    elif kind == 5:
        other = chance.randrange(len(content))
        content[at:at] = content[other : other + length]
    elif kind == 6:
        content[at : at + length] = bytes(min(length, len(content) - at))
    elif kind == 7:
        other = chance.randrange(len(content))
        _overwrite(content, at, bytes(content[other : other + length]))
    else:
        content[at:at] = chance.choice(_TEXTS)


def _number(chance: random.Random) -> bytes:
    order = chance.choice("<>")
    if chance.random() < 0.2:
        return struct.pack(order + chance.choice(("f", "d")), chance.choice(_FLOATS))
    bits, form = chance.choice(((16, "H"), (32, "I"), (32, "I"), (64, "Q")))
    return struct.pack(
        order + form, (chance.choice(_NUMBERS) * chance.choice((1, 1, 1, -1)) + chance.choice((0, 0, 1))) % (1 << bits)
    )


def _overwrite(content: bytearray, at: int, new: bytes) -> None:
    content[at : at + len(new)] = new[: len(content) - at]


def survive(
    read: Callable[[Path], object],
    content: bytes,
    path: Path,
    permitted: tuple[type[BaseException], ...],
    *,
    label: str = "",
    spare: int = MEMORY_CONSTANT,
) -> bool:
    """Write `content` to `path`, call `read(path)`, and return whether it was read (True) or refused (False).

    spare: bytes that may be taken beside four times the file.

    Raises:
        Unsurvived: any other error, more than two seconds of work, or more memory than the rule allows.
    """
    path.unlink(missing_ok=True)  # ext4 writes a file that is cut and written again to the disk at once: twenty thousand waits
    path.write_bytes(content)
    own_trace = not tracemalloc.is_tracing()
    if own_trace:
        tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    start = time.process_time()
    try:
        read(path)
        accepted = True
    except permitted:
        accepted = False
    except Exception as error:
        raise Unsurvived(f"{label} raised {type(error).__name__}: {error}") from error
    finally:
        seconds = time.process_time() - start
        _, peak = tracemalloc.get_traced_memory()
        if own_trace:
            tracemalloc.stop()
    allowed = MEMORY_FACTOR * len(content) + spare
    if seconds > MAX_SECONDS:
        raise Unsurvived(f"{label} took {seconds:.1f} s, {MAX_SECONDS} allowed")
    if peak - before > allowed:
        raise Unsurvived(f"{label} took {peak - before:,} bytes for a file of {len(content):,}; {allowed:,} allowed")
    return accepted
