"""Where compiled kernels are kept from one start to the next, and whether all of this program's are there already."""

from __future__ import annotations

import hashlib
import os
import platform
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

_VARIABLE = "NUMBA_CACHE_DIR"
_PACKAGE = Path(__file__).resolve().parents[1]
_KERNELS = _PACKAGE / "imaging"


def settle_code_place(fallback: Path | None = None) -> None:
    """See to it that this process, and those that it starts, have a place where compiled kernels can be kept.

    A variable NUMBA_CACHE_DIR that is set already is left alone. Where the package's own folders can be written, numba keeps them
    there. Else they go to the person's cache folder; else to `fallback`; else to a folder of this process alone. Call it before
    anything loads numba.
    """
    if os.environ.get(_VARIABLE) or _writable(_KERNELS / "__pycache__"):
        return
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111 - Path.home raises without one
    for folder in (Path(home) / "passerelle" / "kernels", fallback):
        if folder is not None and folder.is_absolute() and _writable(folder):
            break
    else:
        folder = Path(tempfile.mkdtemp(prefix="passerelle-kernels-"))
    os.environ[_VARIABLE] = str(folder)


def rehearsed() -> bool:
    """Say whether this very program was rehearsed to the end on such a processor: all that it may need is compiled."""
    return _mark().is_file()


def mark_rehearsed() -> None:
    """Leave the mark that `rehearsed` looks for, in place of older ones."""
    mark = _mark()
    mark.parent.mkdir(parents=True, exist_ok=True)
    for old in mark.parent.glob("rehearsed-*"):
        old.unlink(missing_ok=True)
    mark.touch()


def _mark() -> Path:
    """The mark lies with the compiled code, so that it goes when that is cleared away."""
    known = hashlib.sha256()
    for word in _identity():
        known.update(word.encode("utf-8", "surrogateescape") + b"\0")
    folder = Path(os.environ[_VARIABLE]) if os.environ.get(_VARIABLE) else _KERNELS / "__pycache__"
    return folder / f"rehearsed-{known.hexdigest()[:24]}"


def _identity() -> Iterator[str]:
    yield from (version("numba"), version("numpy"), platform.python_version(), platform.machine(), _processor())
    # as numba does it: a source is known by its time and size
    for path in sorted(_PACKAGE.rglob("*.py")):
        status = path.stat()
        yield f"{path.relative_to(_PACKAGE)} {status.st_mtime_ns} {status.st_size}"


def _processor() -> str:
    """Return what the processor can do: code that was compiled for another may not run."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), "") + os.environ.get("NUMBA_CPU_NAME", "")


def _writable(folder: Path) -> bool:
    """Try it: root may do everything by its rights, and nothing on a disk that is mounted for reading only."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
