"""What names mean in the same way to all programs: movie suffixes, gain and defect files, folders that only hold frames."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from passerelle.acquisition.program import Role

MOVIE_SUFFIXES = frozenset({".mrc", ".mrcs", ".tif", ".tiff", ".eer", ".dm3", ".dm4"})
PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".gif", ".bmp"})
_GAIN_SUFFIXES = MOVIE_SUFFIXES | {".gain", ".raw"}
_DEFECT_SUFFIXES = MOVIE_SUFFIXES | {".txt"}
_TEMPORARY_SUFFIXES = frozenset({".tmp", ".part", ".partial", ".filepart", ".crdownload", ".swp", ".lock", ".bak"})

# CountRef_…, SuperRef_…: SerialEM's copies of the reference of a K2 or K3. …_EER_GainReference.gain: Falcon 4.
# …_gain.tiff, …-gain-ref.MRC: EPU with a K3 or K2. "K2-0001 1 Gain Ref. x1.m3.kv[300].dm4": DigitalMicrograph.
_GAIN = re.compile(
    r"(^|[^a-z])gain($|[^a-z])|gain[ _.-]?ref|^(count|super)ref([^a-z]|$)|[^a-z](count|super)ref([^a-z]|$)", re.IGNORECASE
)
_NO_GAIN = re.compile(r"(no|non|not|un|without)[ _.-]?gain|gain[ _.-]?(corr|norm|applied)", re.IGNORECASE | re.ASCII)
_DARK = re.compile(r"(^|[^a-z])dark[ _.-]?ref|(^|[^a-z])dark$", re.IGNORECASE | re.ASCII)
_DEFECTS = re.compile(
    r"(^|[^a-z])defects?($|[^a-z])|defect_?(map|file)|(^|[^a-z])hot_?pixels?($|[^a-z])", re.IGNORECASE | re.ASCII
)
_FRAME_FOLDER = re.compile(
    r"(sub)?frames?|movies?|raw(_?(data|frames|movies))?|fractions?|dose_?fractions?|stacks?", re.IGNORECASE
)


def is_temporary(name: str) -> bool:
    """Whether a name is one that copying programs and editors use until a file is complete."""
    return name.startswith((".", "~")) or name.endswith("~") or PurePosixPath(name).suffix.lower() in _TEMPORARY_SUFFIXES


def reference_role(name: str) -> Role | None:
    """Say whether a name is that of a gain reference, a dark reference (OTHER: counted frames need none) or a defect map."""
    suffix = PurePosixPath(name).suffix.lower()
    stem = name[: len(name) - len(suffix)]
    if suffix == ".gain":
        return Role.GAIN
    if suffix in _DEFECT_SUFFIXES and _DEFECTS.search(stem):
        return Role.DEFECTS
    if suffix in _GAIN_SUFFIXES and _DARK.search(stem):
        return Role.OTHER
    # a name that says whether the gain was applied is a movie's
    if suffix in _GAIN_SUFFIXES and _GAIN.search(stem) and not _NO_GAIN.search(stem):
        return Role.GAIN
    return None


def folder_session(path: PurePosixPath) -> PurePosixPath:
    """Return the session of a file whose program marks none: its folder, or the one above when that only holds frames."""
    folder = path.parent
    return folder.parent if _FRAME_FOLDER.fullmatch(folder.name) else folder


def movie_key(session: PurePosixPath, path: PurePosixPath) -> str:
    """Return the key of a movie: its path inside the session without the suffix; equal names in two folders stay apart."""
    return str(path.with_suffix("").relative_to(session)) if path.suffix else str(path.relative_to(session))


def last_part(path: str) -> str:
    """Return the file name at the end of a path of Windows or Unix."""
    return re.split(r"[\\/]", path.strip())[-1]
