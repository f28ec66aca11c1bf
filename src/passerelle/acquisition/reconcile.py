"""Compare what the file, its sidecar and the configuration say of an exposure; a contradiction is shown, never silently resolved.

Belief: configuration before sidecar before file, as a person who sets a value means it. What a file says of its own frames and
size is a fact about that file and comes first. A movie whose frames are 2 or 4 times larger than its sidecar's picture is one
in super resolution: the sidecar's pixel size is divided by as much.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from passerelle.acquisition.metadata import Metadata, MetadataConflict, Reconciled
from passerelle.acquisition.naming import last_part

BELIEF = ("configuration", "sidecar", "file")
_FILE_FIRST = ("file", "sidecar", "configuration")
_FACTS_OF_THE_FILE = frozenset({"frames", "height_px", "width_px"})
_DERIVED = "derived"
_WORD = re.compile(r"[^\W\d_]{3,}")
_SCALES = (0.125, 0.25, 0.5, 2.0, 4.0, 8.0)


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Two numbers agree when they differ by no more than the larger of an absolute and a relative bound."""

    absolute: float = 0.0
    relative: float = 0.0

    def agree(self, first: float, second: float) -> bool:
        return abs(first - second) <= max(self.absolute, self.relative * max(abs(first), abs(second)))


# Relative where the instruments' calibrations differ by a factor, absolute where a zero is a value.
TOLERANCES: dict[str, Tolerance] = {
    "voltage_kv": Tolerance(relative=0.005),
    "spherical_aberration_mm": Tolerance(absolute=0.005),
    "amplitude_contrast": Tolerance(absolute=0.001),
    "pixel_size_angstrom": Tolerance(relative=0.005),
    "dose_e_per_angstrom2": Tolerance(relative=0.05),
    "dose_per_frame_e_per_angstrom2": Tolerance(relative=0.05),
    "exposure_seconds": Tolerance(absolute=0.02, relative=0.01),
    "frames": Tolerance(),
    "height_px": Tolerance(),
    "width_px": Tolerance(),
    "applied_defocus_angstrom": Tolerance(absolute=100.0),
    "tilt_deg": Tolerance(absolute=0.1),
    "stage_x_um": Tolerance(absolute=0.1),
    "stage_y_um": Tolerance(absolute=0.1),
    "stage_z_um": Tolerance(absolute=0.1),
    "beam_shift_x": Tolerance(absolute=0.001, relative=0.01),
    "beam_shift_y": Tolerance(absolute=0.001, relative=0.01),
    "magnification": Tolerance(relative=0.005),
    "acquired_at": Tolerance(absolute=120.0),
}

# Beyond these no microscope goes: such a value is shown, and not believed.
PLAUSIBLE: dict[str, tuple[float, float]] = {
    "voltage_kv": (20.0, 1500.0),
    "spherical_aberration_mm": (0.0, 10.0),
    "amplitude_contrast": (0.0, 1.0),
    "pixel_size_angstrom": (0.02, 1e5),
    "dose_e_per_angstrom2": (0.0, 1e4),
    "dose_per_frame_e_per_angstrom2": (0.0, 1e3),
    "exposure_seconds": (0.0, 1e5),
    "frames": (1, 1e6),
    "height_px": (1, 1e6),
    "width_px": (1, 1e6),
    "applied_defocus_angstrom": (-2e7, 2e7),
    "tilt_deg": (-90.0, 90.0),
}


@dataclass(slots=True)
class _Work:
    """What has been settled so far."""

    values: dict[str, Any] = field(default_factory=dict[str, Any])
    sources: dict[str, str] = field(default_factory=dict[str, str])
    conflicts: list[MetadataConflict] = field(default_factory=list[MetadataConflict])


def reconcile(said: Mapping[str, Metadata], tolerances: Mapping[str, Tolerance] = TOLERANCES) -> Reconciled:
    """Return the values in force, the source of each, and the conflicts that a person must see.

    said: source -> its values; the known sources are "configuration", "sidecar" and "file", others come after them by name.
    A source "derived" in the result means: computed from the values of the other sources.
    """
    order = [*(source for source in BELIEF if source in said), *sorted(source for source in said if source not in BELIEF)]
    work = _Work()
    spoken = _believable(said, order, work)
    scale = _sampling_scale(spoken)
    for name in Metadata.model_fields:
        ranked = sorted(spoken[name], key=_FILE_FIRST.index) if _orders_by_file(name, spoken) else list(spoken[name])
        if ranked:
            _settle(name, {source: spoken[name][source] for source in ranked}, scale, tolerances, work)
    _check_dose(spoken, order, tolerances, work)
    return Reconciled(values=Metadata(**work.values), sources=work.sources, conflicts=tuple(work.conflicts))


def _orders_by_file(name: str, spoken: Mapping[str, Mapping[str, Any]]) -> bool:
    return name in _FACTS_OF_THE_FILE and all(source in _FILE_FIRST for source in spoken[name])


def _believable(said: Mapping[str, Metadata], order: list[str], work: _Work) -> dict[str, dict[str, Any]]:
    """Return name -> source -> value in the order of belief, without values that no microscope has."""
    spoken: dict[str, dict[str, Any]] = {}
    for name in Metadata.model_fields:
        heard = {source: getattr(said[source], name) for source in order if getattr(said[source], name) is not None}
        low, high = PLAUSIBLE.get(name, (None, None))
        impossible = {source: value for source, value in heard.items() if low is not None and not low <= value <= (high or 0)}
        spoken[name] = {source: value for source, value in heard.items() if source not in impossible}
        if impossible:
            used = next(iter(spoken[name]), "none")
            explanation = f"No microscope has such a value ({low:g} to {high:g} is possible): it was not believed."
            work.conflicts.append(MetadataConflict(name=name, said=heard, used=used, explanation=explanation))
    return spoken


def _sampling_scale(spoken: Mapping[str, Mapping[str, Any]]) -> float | None:
    """Return how many pixels of the file make one of the sidecar's picture, when both sides say the same power of two."""
    ratios: set[float] = set()
    for name in ("height_px", "width_px"):
        heard = spoken[name]
        if "file" not in heard or "sidecar" not in heard:
            return None
        ratios.add(_near_scale(heard["file"] / heard["sidecar"]))
    return ratios.pop() if len(ratios) == 1 and 0.0 not in ratios else None


def _near_scale(ratio: float) -> float:
    # 1 %: K3 frames are 5760 × 4092, the binned picture may have lost an odd row
    return next((scale for scale in _SCALES if abs(ratio / scale - 1.0) < 0.01), 0.0)


def _settle(name: str, heard: dict[str, Any], scale: float | None, tolerances: Mapping[str, Tolerance], work: _Work) -> None:
    explanation = ""
    original = dict(heard)
    if name == "pixel_size_angstrom" and scale is not None and "sidecar" in heard:
        heard["sidecar"] = heard["sidecar"] / scale
        explanation = (
            f"The movie has {scale:g} × as many pixels a side as the sidecar's picture (super resolution or binning): "
            f"the sidecar's {original['sidecar']:.5g} Å is {heard['sidecar']:.5g} Å in the movie."
        )
        if list(heard) == ["sidecar"]:
            original["sidecar, in the movie's pixels"] = heard["sidecar"]  # nobody else confirms it: a person should look
    used, value = next(iter(heard.items()))
    work.values[name] = value
    work.sources[name] = used
    if len(original) == len(heard) and all(_agree(name, value, other, tolerances) for other in heard.values()):
        return
    if name in {"height_px", "width_px"} and scale is not None:
        return  # not a contradiction: the sidecar speaks of its own picture
    if name == "pixel_size_angstrom" and not explanation:
        explanation = _explain_pixel_sizes(list(heard.values()))
    work.conflicts.append(MetadataConflict(name=name, said=original, used=used, explanation=explanation))


def _explain_pixel_sizes(sizes: list[float]) -> str:
    ratio = max(sizes) / min(sizes)
    scale = _near_scale(ratio)
    if scale:
        return f"They differ by a factor of {scale:g}: one is that of super-resolution frames, the other that of binned ones."
    if ratio < 1.05:
        return "They differ by a few per cent, as a nominal and a calibrated pixel size do."
    return ""


def _agree(name: str, first: Any, second: Any, tolerances: Mapping[str, Tolerance]) -> bool:
    if isinstance(first, bool) or isinstance(second, bool):
        return first == second
    if isinstance(first, str):
        return _same_words(name, first, str(second))
    if name == "acquired_at":
        return tolerances[name].agree(_without_zone(first - second), 0.0)
    return tolerances.get(name, Tolerance(relative=0.01)).agree(first, second)


def _same_words(name: str, first: str, second: str) -> bool:
    """Whether two names mean the same: a file by its last part, a camera by a part of its name, a program by a word of it."""
    if name in {"gain_reference", "defect_file"}:
        return last_part(first).casefold() == last_part(second).casefold()
    if name == "program":  # "Fei EPU" in an MRC header, "EPU 3.9.1.8206" in the XML
        return not set(_WORD.findall(first.casefold())).isdisjoint(_WORD.findall(second.casefold()))
    if name == "camera":
        first, second = (text.removeprefix("BM-").removeprefix("EF-") for text in (first, second))
        if "CCD" in {first, second}:
            return True  # EPU's name for whatever camera Gatan put behind the filter, a K3 too
    one, other = ("".join(c for c in text.casefold() if c.isalnum()) for text in (first, second))
    if name in {"camera", "microscope"}:
        return one in other or other in one
    return one == other


def _without_zone(seconds: float) -> float:
    """Take whole quarters of an hour off a difference of up to 14 h: one of the two was a local time."""
    quarters = round(seconds / 900.0)
    return seconds - 900.0 * quarters if abs(quarters) <= 56 else seconds


def _check_dose(
    spoken: Mapping[str, Mapping[str, Any]], order: list[str], tolerances: Mapping[str, Tolerance], work: _Work
) -> None:
    """Hold total dose against dose per frame × frames; compute the one that is missing, or that a less believed source gave."""
    total, per_frame, frames = "dose_e_per_angstrom2", "dose_per_frame_e_per_angstrom2", work.values.get("frames")
    if not frames:
        return
    known: dict[str, Callable[[], float]] = {
        total: lambda: work.values[per_frame] * frames,
        per_frame: lambda: work.values[total] / frames,
    }
    missing = [name for name in known if name not in work.values]
    if len(missing) == 2:
        return
    if not missing:
        product = known[total]()
        if tolerances[total].agree(work.values[total], product):
            return
        sources = (work.sources[total], work.sources[per_frame])
        work.conflicts.append(
            MetadataConflict(
                name=total,
                said={sources[0]: work.values[total], f"{sources[1]}: {frames} frames × dose per frame": product},
                used=min(sources, key=order.index),
                explanation="Frames may have been left out or grouped, or the dose was not calibrated.",
            )
        )
        if sources[0] == sources[1]:
            return
        missing = [per_frame if order.index(sources[0]) < order.index(sources[1]) else total]
    work.values[missing[0]] = known[missing[0]]()
    work.sources[missing[0]] = _DERIVED
