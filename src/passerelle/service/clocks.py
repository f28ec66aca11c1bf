"""Clocks: does this machine's follow others, and do those of instrument PCs agree with it?"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from statistics import median

DRIFT_SECONDS = 120.0
_FEWEST = 8  # files from which a drift is believed
_AGREE_SECONDS = 60.0
_AGREE_SHARE = 0.8
_UNSYNCHRONISED = 0x0040  # STA_UNSYNC of adjtimex(2)
_TIMEX_BYTES = 512  # more than struct timex has anywhere
_STATUS_OFFSET = 5 * ctypes.sizeof(ctypes.c_long)  # modes (int, padded), offset, freq, maxerror, esterror, then status


def clock_is_synchronised() -> bool | None:
    """Return whether the kernel says that this clock follows others (NTP, PTP); None where it does not tell."""
    answer = ctypes.create_string_buffer(_TIMEX_BYTES)
    state = ctypes.CDLL(None).adjtimex(answer)
    if state < 0:
        return None
    status = ctypes.c_int.from_buffer(answer, _STATUS_OFFSET).value
    return not status & _UNSYNCHRONISED


def drift_seconds(offsets: Sequence[float]) -> float | None:
    """Return how far a PC's clock is ahead (below 0: behind), from the times of its latest files.

    offsets: time of last change minus the moment when the file was closed, by our clock. Where most do not agree within a minute,
    or there are too few, nothing can be said: programs that copy keep the times of what they copy.
    """
    if len(offsets) < _FEWEST:
        return None
    middle = median(offsets)
    alike = sum(abs(each - middle) <= _AGREE_SECONDS for each in offsets)
    return middle if alike >= _AGREE_SHARE * len(offsets) else None


def drift_words(drift: float) -> str:
    """Say a drift as a person would."""
    size = abs(drift)
    told = f"{size / 60:.0f} minutes" if size < 2 * 3600 else f"{size / 3600:.1f} hours"
    return f"{told} {'ahead of' if drift > 0 else 'behind'} this machine's"
