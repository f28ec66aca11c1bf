"""What a simulated exposure really was, written beside the sessions, never inside them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerelle.core.errors import BadFile, NotFound, storage_errors
from passerelle.imaging.field import MotionField
from passerelle.simulation.detector import Detector
from passerelle.simulation.specimen import Pose, Specimen

_SUFFIX = ".truth.json"


@dataclass(frozen=True, slots=True)
class Truth:
    """The truth of one movie.

    field: the motion, a frame at a time. Defocus in angstrom, None where nobody knows (a real micrograph).
    fault: why a person would reject this exposure, "" if it is a good one. gain_orientation: how the gain file must be turned to
    fit the movie. specimen_file, camera_file: .npz files of the specimen at rest (None: not kept) and of the camera's true gain
    and defects.
    """

    movie: str
    field: MotionField
    specimen: str
    fault: str
    pixel_size_angstrom: float
    dose_e_per_angstrom2: float
    defocus_u_angstrom: float | None
    defocus_v_angstrom: float | None
    defocus_angle_deg: float | None
    gain_orientation: str
    poses: tuple[Pose, ...]
    specimen_file: Path | None
    camera_file: Path

    def micrograph(self) -> NDArray[np.float32]:
        """Return the specimen at rest in electrons (y, x): what perfect correction of a perfect camera would show.

        Raises:
            NotFound: the plan did not ask to keep it.
        """
        if self.specimen_file is None:
            raise NotFound(f"the picture of the specimen of {self.movie} was not kept.", advice="Set keep_specimens in the plan.")
        return np.asarray(_read_npz(self.specimen_file)["electrons"], np.float32)

    def gain(self) -> NDArray[np.float32]:
        return _read_npz(self.camera_file)["gain"]

    def defects(self) -> NDArray[np.bool_]:
        """Return all dead and hot pixels, those too that the camera's own list does not know."""
        return _read_npz(self.camera_file)["defects"]


def write_camera(folder: Path, detector: Detector) -> Path:
    """Write the true gain and defects of a camera; return the file."""
    path = folder / "camera.npz"
    _write_npz(path, gain=detector.gain, defects=detector.defects, listed=detector.listed)
    return path


def write_truth(
    folder: Path,
    movie: str,
    field: MotionField,
    specimen: Specimen,
    *,
    fault: str,
    gain_orientation: str,
    electrons: NDArray[np.uint16] | None,
) -> Path:
    """Write the truth of one movie as `<movie>.truth.json` and its arrays as .npz beside it; return the JSON's path.

    electrons: the specimen at rest, to be kept; none: it is not.
    """
    _write_npz(folder / f"{movie}.field.npz", global_px=field.global_px, local_px=field.local_px)
    if electrons is not None:
        _write_npz(folder / f"{movie}.specimen.npz", electrons=electrons.astype(np.uint8) if electrons.max() < 256 else electrons)
    content = {
        "movie": movie,
        "specimen": specimen.name,
        "turned": specimen.turned,
        "fault": fault,
        "height_px": field.height,
        "width_px": field.width,
        "pixel_size_angstrom": specimen.pixel_size_angstrom,
        "dose_e_per_angstrom2": specimen.dose_e_per_angstrom2,
        "voltage_kv": specimen.voltage_kv,
        "spherical_aberration_mm": specimen.spherical_aberration_mm,
        "amplitude_contrast": specimen.amplitude_contrast,
        "defocus_u_angstrom": specimen.defocus_u_angstrom,
        "defocus_v_angstrom": specimen.defocus_v_angstrom,
        "defocus_angle_deg": specimen.defocus_angle_deg,
        "gain_orientation": gain_orientation,
        "specimen_kept": electrons is not None,
        "poses": [asdict(pose) for pose in specimen.poses],
    }
    path = folder / f"{movie}{_SUFFIX}"
    with storage_errors(path):
        part = path.with_suffix(".part")
        part.write_text(json.dumps(content, indent=1))
        part.replace(path)
    return path


def load_truth(path: Path) -> Truth:
    """Read what `write_truth` wrote.

    Raises:
        NotFound: there is no such file. BadFile: it is not a truth file.
    """
    with storage_errors(path):
        text = path.read_text()
    try:
        content: dict[str, Any] = json.loads(text)
        movie = content["movie"]
        arrays = _read_npz(path.parent / f"{movie}.field.npz")
        field = MotionField(arrays["global_px"], arrays["local_px"], int(content["height_px"]), int(content["width_px"]))
        return Truth(
            movie=movie,
            field=field,
            specimen=content["specimen"],
            fault=content["fault"],
            pixel_size_angstrom=content["pixel_size_angstrom"],
            dose_e_per_angstrom2=content["dose_e_per_angstrom2"],
            defocus_u_angstrom=content["defocus_u_angstrom"],
            defocus_v_angstrom=content["defocus_v_angstrom"],
            defocus_angle_deg=content["defocus_angle_deg"],
            gain_orientation=content["gain_orientation"],
            poses=tuple(Pose(**pose) for pose in content["poses"]),
            specimen_file=path.parent / f"{movie}.specimen.npz" if content["specimen_kept"] else None,
            camera_file=path.parent / "camera.npz",
        )
    except (ValueError, KeyError, TypeError) as error:
        raise BadFile(f"is not a truth file of the simulated microscope: {error}.", path=path) from error


def truth_files(folder: Path) -> list[Path]:
    """Return the truth files of an instrument in the order of their movies' names."""
    return sorted(folder.glob(f"*{_SUFFIX}"))


def _write_npz(path: Path, **arrays: NDArray[Any]) -> None:
    with storage_errors(path):
        part = path.with_suffix(".part")
        with part.open("wb") as stream:
            np.savez(stream, **arrays)  # type: ignore[arg-type]
        part.replace(path)


def _read_npz(path: Path) -> dict[str, NDArray[Any]]:
    with storage_errors(path), np.load(path, allow_pickle=False) as data:
        return {name: data[name] for name in data.files}
