"""Keep numba's cache of compiled kernels right when several processes write to it.

numba reads a function's index, picks the next number, writes the index, then the machine code. Two workers that save two
signatures of one function at a time pick the same number, and the index then names the one's code for the other's signature; a
process killed between the two writes leaves the index naming what an older source left there. So here code is saved under a
lock, before the index, under a name that is never given again.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Generator
from pathlib import Path
from typing import Any

from numba.core.caching import IndexDataCacheFile

_LOCK = "passerelle.lock"


def guard_code_cache() -> None:
    """Have numba save compiled code safely, in this process, from now on. May be called again."""
    IndexDataCacheFile.save = _save


def _save(self: Any, key: Any, data: Any) -> None:
    index = Path(self._index_path)
    with _locked(index.parent):
        overloads = dict(self._load_index())
        former = overloads.get(key)
        if not overloads:  # none yet, or of another source: nobody will ask for that code again
            for old in index.parent.glob(f"{_escaped(index.stem)}.*.nbc"):
                old.unlink(missing_ok=True)
        name = f"{index.stem}.{secrets.token_hex(6)}.nbc"
        self._save_data(name, data)
        self._save_index(overloads | {key: name})
        if former is not None:
            (index.parent / former).unlink(missing_ok=True)


def _escaped(name: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


@contextlib.contextmanager
def _locked(folder: Path) -> Generator[None]:
    """Hold the folder's lock; without one where the file system has none (then a name never given again still helps)."""
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
