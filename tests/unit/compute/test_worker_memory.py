"""A worker keeps a movie's memory for the next one, and gives it back when asked."""

import os
import platform
import subprocess
import sys

import pytest

from passerelle.compute.work import library_settings

_PROGRAM = """
import resource
import numpy as np
import psutil
from passerelle.compute.work import release_memory

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def movie():
    before = faults()
    frames = np.ones((300, 1 << 20), np.uint8)
    picture = np.ones(1 << 24, np.float32)
    return faults() - before

held = psutil.Process().memory_info
first, second = movie(), movie()
kept = held().rss
release_memory()
print(first, second, kept, held().rss)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only the GNU C library is told to keep memory")
def test_the_second_movie_finds_the_memory_of_the_first_and_an_idle_worker_gives_it_back() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], env=os.environ | library_settings(1), capture_output=True, text=True, check=True
    )
    first, second, kept, released = (int(word) for word in done.stdout.split())
    assert first > 50_000  # pages of 4 KiB, each cleared when it is first touched
    assert second < first / 20
    assert kept > 300e6
    assert released < kept - 300e6
