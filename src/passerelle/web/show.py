"""How values are written for people: numbers with their unit, durations, bytes, names; the filters of the templates."""

from __future__ import annotations

import json
import math
import time
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup

from passerelle.core.errors import printable
from passerelle.core.states import MovieState, Verdict
from passerelle.processing.metrics import BY_NAME, Metric
from passerelle.service.view import Disk, MovieRow
from passerelle.zones import exact_size

# how the names of values end, and the unit that this means
_UNITS = {
    "_e_per_angstrom2": "e/Å²",
    "_angstrom2": "Å²",
    "_angstrom": "Å",
    "_percent": "%",
    "_seconds": "s",
    "_deg": "°",
    "_kv": "kV",
    "_mm": "mm",
    "_um": "µm",
    "_px": "px",
}
_PROGRAMS = {
    "epu": "EPU",
    "serialem": "SerialEM",
    "digital_micrograph": "DigitalMicrograph",
    "falcon": "Falcon",
    "auto": "",
    "generic": "",
}
_UNSHOWN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_NAMES = {
    "voltage_kv": "Voltage",
    "spherical_aberration_mm": "Spherical aberration",
    "dose_e_per_angstrom2": "Dose",
    "dose_per_frame_e_per_angstrom2": "Dose per frame",
    "pixel_size_angstrom": "Pixel size",
    "exposure_seconds": "Exposure",
    "bfactor_angstrom2": "B-factor",
    "eer_dose_per_fraction": "EER dose per fraction",
    "eer_upsampling": "EER upsampling",
    "width_px": "Width",
    "height_px": "Height",
}


def visible(text: str) -> str:
    """Escape lone surrogates, control and direction characters; leave everything that can be read."""
    return "".join(printable(c) if unicodedata.category(c) in _UNSHOWN and c not in "\n\t" else c for c in text)


def number(value: float | None, digits: int = 1) -> str:
    """12345.678 -> "12 345.7" with narrow no-break spaces; None and NaN -> "–"."""
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{value:z,.{digits}f}"  # z: no minus before nothing
    return text.replace(",", "\u202f").replace("-", "−")


def significant(value: Any) -> str:
    """Write a value of unknown size: numbers by four significant digits, truth as yes or no."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return number(value, 0)
    if isinstance(value, float):
        if not math.isfinite(value):
            return "–"
        if value == 0 or not 1e-3 <= abs(value) < 1e7:
            return f"{value:.4g}".replace("-", "−")
        digits = max(0, 4 - math.floor(math.log10(abs(value))) - 1)
        text = number(value, digits)
        return text.rstrip("0").rstrip(".") if "." in text else text
    return printable(str(value), 200)


def duration(seconds: float | None) -> str:
    """17.2 -> "17 s"; 4000 -> "1 h 07 min"; 200000 -> "2 d 8 h"."""
    if seconds is None or not math.isfinite(seconds):
        return "–"
    seconds = max(0.0, seconds)
    if seconds == 0:
        return "0 s"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = int(seconds // 60)
    if minutes < 120:
        return f"{minutes} min"
    hours = minutes // 60
    if hours < 48:
        return f"{hours} h {minutes % 60:02d} min"
    return f"{hours // 24} d {hours % 24} h"


def place(path: str) -> str:
    """/srv/gateway/krios1/falcon -> "…/krios1/falcon"."""
    parts = [part for part in path.split("/") if part]
    return printable(path if len(parts) < 3 else "…/" + "/".join(parts[-2:]), 32)


def one_a_disk(disks: Iterable[Disk]) -> list[Disk]:
    """Folders on the same disk have the same room: show it once."""
    return list({(disk.total_bytes, disk.free_bytes): disk for disk in reversed(list(disks))}.values())[::-1]


def program(name: str) -> str:
    """epu -> "EPU"; nothing where the program is not known."""
    return _PROGRAMS.get(name, name)


def size(count: int | None) -> str:
    """Write bytes by powers of ten, as disks are sold."""
    if count is None:
        return "–"
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def plain_size(count: int | None) -> str:
    """Write bytes as forms take them, exactly."""
    return exact_size(count) if count else ""


def label(name: str) -> str:
    """spherical_aberration_mm -> "Spherical aberration"."""
    if name in _NAMES:
        return _NAMES[name]
    if name in BY_NAME:
        return BY_NAME[name].label
    for ending in (*_UNITS, "_at"):
        name = name.removesuffix(ending)
    return name.replace("_", " ").capitalize()


def unit(name: str) -> str:
    """spherical_aberration_mm -> "mm"."""
    if name == "magnification":
        return "×"
    return next((unit for ending, unit in _UNITS.items() if name.endswith(ending)), "")


def metric(value: float | None, which: Metric | str, *, with_unit: bool = True) -> str:
    """Write a metric's value in the unit that is shown."""
    known = BY_NAME[which] if isinstance(which, str) else which
    if value is None:
        return "–"
    shown = known.shown_unit or known.unit
    text = number(value * known.scale, known.digits)
    return f"{text}\u202f{shown}" if with_unit and shown else text


def moment(at: float | None) -> Markup:
    """A `time` element in UTC; the page turns it into the reader's own time."""
    if at is None:
        return Markup("–")
    then = datetime.fromtimestamp(at, UTC)
    return Markup('<time datetime="{}" data-at="{}">{} UTC</time>').format(
        then.isoformat(timespec="seconds"), f"{at:.3f}", then.strftime("%Y-%m-%d %H:%M:%S")
    )


def instant(at: float | None) -> str:
    """A moment for paper, where nobody knows the reader's clock: 2026-11-29 01:22:08 UTC."""
    return "–" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def age(at: float | None) -> Markup:
    """An age that the page keeps counting."""
    if at is None:
        return Markup("–")
    return Markup('<span class="age" data-since="{}">{}</span>').format(f"{at:.3f}", duration(time.time() - at))


def mark(row: MovieRow) -> str:
    """The one word by which a movie is drawn: its verdict when it is done, else its state."""
    if row.state is MovieState.DONE:
        return (row.chosen or row.verdict or Verdict.ACCEPT).value
    return row.state.value


MARK_WORDS: Mapping[str, str] = {
    "accept": "accepted",
    "warn": "warned",
    "reject": "rejected",
    "failed": "failed",
    "found": "waiting for its file",
    "queued": "queued",
    "running": "in progress",
    "gone": "file removed",
}


def event_words(kind: str) -> str:
    """movie_found -> "Movie found"."""
    return printable(kind.replace("_", " ").capitalize(), 60)


_BROWSERS = (("Edg/", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"))
_SYSTEMS = (
    ("Windows", "Windows"),
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Mac OS", "macOS"),
    ("Linux", "Linux"),
)


def browser(agent: str) -> str:
    """Name browser and system as far as its header tells; the header itself, cut, where it tells neither."""
    name = next((word for sign, word in _BROWSERS if sign in agent), "")
    system = next((word for sign, word in _SYSTEMS if sign in agent), "")
    return f"{name} on {system}" if name and system else name or printable(agent, 40) or "a program"


def json_text(value: Any) -> str:
    """Write values as JSON that is safe to read: control characters stay escaped."""
    return printable(json.dumps(value, ensure_ascii=False, default=str), 2000)


def as_groups(names: Iterable[str]) -> list[str]:
    """cryo -> "@cryo": how groups are written where people stand, too."""
    return [f"@{name}" for name in names]


FILTERS: Mapping[str, Callable[..., Any]] = {
    "age": age,
    "browser": browser,
    "as_groups": as_groups,
    "duration": duration,
    "event_words": event_words,
    "instant": instant,
    "label": label,
    "mark": mark,
    "mark_words": lambda mark: MARK_WORDS.get(mark, mark),
    "metric": metric,
    "moment": moment,
    "number": number,
    "one_a_disk": one_a_disk,
    "place": place,
    "plain_size": plain_size,
    "printable": printable,
    "program": program,
    "significant": significant,
    "size": size,
    "tojson_shown": json_text,
    "unit": unit,
}
