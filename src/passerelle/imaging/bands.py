"""Run a loop over rows in a few threads: the kernels release the interpreter, so plain threads are enough."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")


def in_bands(work: Callable[[int, int], Result], rows: int, threads: int) -> list[Result]:
    """Call work(first, last) on disjoint bands that cover 0 … rows, in at most `threads` threads; results in order of the
    bands."""
    threads = max(1, min(threads, rows))
    if threads == 1:
        return [work(0, rows)]
    edges = [rows * i // threads for i in range(threads + 1)]
    with ThreadPoolExecutor(threads, thread_name_prefix="imaging") as pool:
        return list(pool.map(work, edges[:-1], edges[1:]))
