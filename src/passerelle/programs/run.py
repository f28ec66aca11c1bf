"""Start a program, wait for it, and say in words what went wrong. No shell is ever involved."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from passerelle.core.errors import Busy, NotFound, ProgramFailed, printable


def run(command: Sequence[str | Path], *, seconds: float, folder: Path | None = None) -> str:
    """Run a program to its end and return what it wrote on standard output.

    seconds: it is killed after that time. folder: where it runs; here, if left out.

    Raises:
        NotFound: the program is not installed.
        Busy: it took longer than `seconds`.
        ProgramFailed: it ended with another code than 0; its last line of standard error is in the message.
    """
    words = [str(word) for word in command]
    try:
        done = subprocess.run(words, cwd=folder, capture_output=True, timeout=seconds, check=False, stdin=subprocess.DEVNULL)
    except FileNotFoundError as error:
        raise NotFound("is not installed.", path=words[0]) from error
    except PermissionError as error:
        raise NotFound("may not be run by this account.", path=words[0]) from error
    except subprocess.TimeoutExpired as error:
        raise Busy(f"did not end within {seconds:g} s.", path=words[0]) from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["it gave no reason"]
        raise ProgramFailed(f"ended with code {done.returncode}: {printable(said[-1])}", path=words[0])
    return done.stdout.decode(errors="surrogateescape")
