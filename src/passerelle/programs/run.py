"""Start a program, wait for it, and say in words what went wrong. No shell is ever involved."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import IO

from passerelle.core.errors import Busy, NotFound, ProgramFailed, StorageError, printable

_MOST_BYTES = 64 << 20
_TAIL_BYTES = 64 << 10
# Has the kernel end the program when this process ends, however that happens, then becomes the program. A process of its own for
# it: what Python does between fork and exec is not safe in a process of many threads.
_LAUNCHER = (
    sys.executable,
    "-I",
    "-S",
    "-c",
    """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
for number in (signal.SIGPIPE, signal.SIGXFSZ):
    signal.signal(number, signal.SIG_DFL)
try:
    os.execv(sys.argv[2], sys.argv[2:])
except OSError as error:
    print(f"cannot be run: {error.strerror}", file=sys.stderr)
    sys.exit(126)
""",
)
_WORDS_OF_FAULT = (
    "error", "fault", "cannot", "can't", "unable", "fail", "abort", "not found", "no such", "out of memory", "skipped", "too few",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended: its exit code (negative: the signal), what it wrote on standard output, and its last words."""

    executable: str
    code: int
    output: str
    last_words: str

    def check(self) -> None:
        """Raise ProgramFailed if the program ended with another code than 0."""
        if self.code:
            how = f"was ended by signal {-self.code}" if self.code < 0 else f"ended with code {self.code}"
            raise ProgramFailed(f"{how}: {self.last_words or 'it gave no reason'}", path=self.executable)


def run(
    command: Sequence[str | Path],
    *,
    seconds: float,
    folder: Path | None = None,
    answers: str = "",
    environment: Mapping[str, str] | None = None,
) -> str:
    """Run a program to its end and return what it wrote on standard output.

    seconds: it is killed after that time. folder: where it runs; here, if left out. answers: what it reads on standard input.
    environment: variables set beside this process's own.

    Raises:
        NotFound: the program is not installed.
        Busy: it took longer than `seconds`.
        ProgramFailed: it ended with another code than 0; its own words are in the message.
        StorageError: what it said could not be kept.
    """
    ended = run_to_end(command, seconds=seconds, folder=folder, answers=answers, environment=environment)
    ended.check()
    return ended.output


def run_to_end(
    command: Sequence[str | Path],
    *,
    seconds: float,
    folder: Path | None = None,
    answers: str = "",
    environment: Mapping[str, str] | None = None,
) -> Ended:
    """Do as `run`, whatever code the program ends with. It dies with this process, and its children with it at its time limit.

    Raises:
        NotFound, Busy, StorageError: as `run`.
    """
    words = [os.fspath(word) for word in command]
    executable = shutil.which(words[0])
    if executable is None:
        why = "may not be run by this account." if os.path.isfile(words[0]) else "is not installed."  # noqa: PTH113 - or a name
        raise NotFound(why, path=words[0])
    if folder is not None and not folder.is_dir():
        raise NotFound("is no folder to run a program in.", path=folder)
    try:
        with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as complained:
            process = subprocess.Popen(
                [*_LAUNCHER, str(os.getpid()), os.path.abspath(executable), *words[1:]],  # noqa: PTH100 - no link is followed
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=said,
                stderr=complained,
                env=os.environ | dict(environment) if environment else None,
                start_new_session=True,  # so that a time limit ends what a wrapper script has started, too
            )
            try:
                process.communicate(answers.encode(errors="surrogateescape"), timeout=seconds)
            except subprocess.TimeoutExpired as error:
                _end(process)
                raise Busy(f"did not end within {seconds:g} s.", path=words[0]) from error
            except BaseException:
                _end(process)
                raise
            return Ended(words[0], process.returncode, _text(said, _MOST_BYTES), last_words(complained, said))
    except OSError as error:
        raise StorageError(f"could not be run: {error.strerror or error}.", path=words[0]) from error


class Conversation:
    """A program that is spoken with: lines in, lines out. It dies with the thread that has started it, and so with this process.

    One thread speaks; what the program says is kept until it is asked for.
    """

    def __init__(self, command: Sequence[str | Path]) -> None:
        """Start the program.

        Raises:
            StorageError: it cannot be started.
        """
        words = [os.fspath(word) for word in command]
        self._complained = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self._lines: SimpleQueue[bytes] = SimpleQueue()
        try:
            self._process = subprocess.Popen(
                [*_LAUNCHER, str(os.getpid()), *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._complained,
                start_new_session=True,
            )
        except OSError as error:
            self._complained.close()
            raise StorageError(f"could not be run: {error.strerror or error}.", path=words[0]) from error
        self._reader = threading.Thread(target=self._read, name="conversation", daemon=True)
        self._reader.start()

    def say(self, line: str) -> None:
        """Send the program a line; one that has ended does not hear it."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError, ValueError):
            self._process.stdin.write(line.encode(errors="surrogateescape") + b"\n")
            self._process.stdin.flush()

    def heard(self) -> list[str]:
        """Return what the program has said since it was asked last, line by line; what it had begun and not ended is left out."""
        lines: list[str] = []
        with contextlib.suppress(Empty):
            while True:
                lines.append(self._lines.get_nowait().decode(errors="surrogateescape"))
        return lines

    def code(self) -> int | None:
        """Return how the program ended (negative: the signal), once all that it said can be heard; None while it runs."""
        code = self._process.poll()
        return None if code is None or self._reader.is_alive() else code

    def last_words(self) -> str:
        """Return the line of its standard error that tells best what went wrong."""
        return last_words(self._complained)

    def close(self) -> None:
        """End the program, with what it has started, if it has not ended."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        _end(self._process)
        self._reader.join()
        self._complained.close()

    def _read(self) -> None:
        stream = self._process.stdout
        assert stream is not None
        with stream:
            for line in stream:
                if line.endswith(b"\n"):
                    self._lines.put(line)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of the program and of what it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _text(stream: IO[bytes], most: int) -> str:
    """Return the end of what was written, at most so many bytes; undecodable ones can be had back."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - most))
    return stream.read().decode(errors="surrogateescape")


def last_words(*streams: IO[bytes]) -> str:
    """Return the line that tells best what went wrong: the last one that names a fault, else the last one at all."""
    for stream in streams:
        lines = [line.strip() for line in _text(stream, _TAIL_BYTES).splitlines()]
        lines = [line for line in lines if any(character.isalnum() for character in line)]
        faults = [place for place, line in enumerate(lines) if any(word in line.lower() for word in _WORDS_OF_FAULT)]
        if faults:
            place = faults[-1]
            # RELION says "ERROR:" on a line of its own, and what it is on the next
            follows = lines[place + 1 : place + 2] if lines[place].endswith(":") else []
            return printable(" ".join([lines[place], *follows]))
        if lines:
            return printable(lines[-1])
    return ""
