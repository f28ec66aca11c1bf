"""Instants as sidecar files write them -> UTC seconds since 1970."""

from __future__ import annotations

import re
from datetime import UTC, datetime, tzinfo

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_SERIALEM = re.compile(r"\s*(\d{1,4})-([A-Za-z]{3})-(\d{1,4})\s+(\d{1,2}):(\d{2}):(\d{2})\s*")
_EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)  # .NET writes the year 1 where it means "never"


def iso_instant(text: str | None, zone: tzinfo = UTC) -> float | None:
    """Read ISO 8601 as .NET writes it (seven digits after the second); `zone` is used where the text has none.

    None where there is no text, or an instant before 1990. Raises ValueError for anything else.
    """
    if not text:
        return None
    return _seconds(datetime.fromisoformat(text.strip()), zone)


def serialem_instant(text: str | None, zone: tzinfo = UTC) -> float | None:
    """Read SerialEM's local time: `08-Oct-21  07:39:08`, or with four digits of the year, before or after the month.

    SerialEM writes no time zone; `zone` is the microscope's. None where there is no text. Raises ValueError for anything else.
    """
    if not text or not text.strip():
        return None
    match = _SERIALEM.fullmatch(text)
    if match is None or match[2].lower() not in _MONTHS:
        raise ValueError(f"DateTime should read like 08-Oct-21  07:39:08, found {text[:40]!r}.")
    first, last = match[1], match[3]
    year, day = (int(first), int(last)) if len(first) > 2 else (int(last), int(first))
    if year < 100:
        year += 2000
    month = _MONTHS.index(match[2].lower()) + 1
    return _seconds(datetime(year, month, day, int(match[4]), int(match[5]), int(match[6])), zone)


def _seconds(moment: datetime, zone: tzinfo) -> float | None:
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    if moment.year < 1980 or moment < _EARLIEST:
        return None
    return moment.timestamp()
