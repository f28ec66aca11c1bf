"""`passerelle serve` in a process that is forked from one which has loaded everything: a tenth of a second a start, not two.

The fork server of `multiprocessing` holds what is loaded; each service is a process of its own, with its threads and locks.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from multiprocessing.context import ForkServerProcess

from passerelle.cli import main


def service(*words: str, log: str = os.devnull) -> ForkServerProcess:
    """Start `passerelle WORDS`; what it says goes to the end of `log`."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["passerelle.testing.kill_service", "passerelle.web"])
    made = context.Process(target=_run, args=(words, log))
    made.start()
    return made


def _run(words: tuple[str, ...], log: str) -> None:
    said = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(said, 1)
    os.dup2(said, 2)
    sys.argv = ["passerelle", *words]
    main()
