"""What the steps of one movie share: inputs read once and only when a step needs them, results of earlier steps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerelle.core.errors import BadConfiguration, BadFile, IncompleteFile, NotFound, storage_errors
from passerelle.formats import (
    EerOptions,
    MovieHeader,
    fit_gain,
    load_stack,
    open_movie,
    read_defects,
    read_gain,
    read_header,
    read_image,
)
from passerelle.imaging.devices import kernels_for
from passerelle.imaging.field import MotionField
from passerelle.imaging.frames import FrameStatistics
from passerelle.imaging.gain import multiplier, orient
from passerelle.imaging.kernels import Held, Kernels
from passerelle.processing.records import Records
from passerelle.processing.super_resolution import super_resolution_factor
from passerelle.processing.task import MovieTask, StepRecord

FileIdentity = tuple[str, int | None, int | None]  # path, bytes, time of the last change (ns); None where it is not there


@dataclass(frozen=True, slots=True)
class RawFiles:
    """What is read, each known by its name, size and time: replaced in place, it is another file."""

    movie: tuple[FileIdentity, ...]  # the movie, or its frames in order
    gain: FileIdentity | None
    defects: FileIdentity | None


class Workspace:
    """The inputs and intermediate arrays of one movie's processing. Frames are (t, y, x), images (y, x)."""

    def __init__(self, task: MovieTask) -> None:
        self.task = task
        self.folder = Path(task.folder)
        self.records = Records(self.folder)
        self.done: dict[str, StepRecord] = {}
        self.images: dict[str, NDArray[np.float32]] = {}

    # -- what is known of the exposure ---------------------------------------------------------------------------

    def value(self, name: str) -> float | None:
        """Return a reconciled value of the exposure; what only the movie's header says comes last."""
        said = self.task.metadata.get(name)
        if said is None and self.header.values:
            said = self.header.values.get(name)
        return float(said) if isinstance(said, int | float) else None

    def needed(self, name: str, meaning: str) -> float:
        """Return a value that the processing cannot do without.

        Raises:
            BadConfiguration: no source says it.
        """
        value = self.value(name)
        if value is None or not math.isfinite(value) or value <= 0:
            raise BadConfiguration(
                f"{meaning} is not known: neither the file, nor a sidecar, nor the configuration says it.",
                advice=f"Set `{name}` for this instrument.",
                path=self.task.movie,
            )
        return value

    @property
    def pixel_size_angstrom(self) -> float:
        """Size of a pixel of the frames as they are read."""
        said = self.task.metadata.get("pixel_size_angstrom")
        if said:
            return float(said) / self._eer.upsampling
        return self.header.pixel_size_angstrom or self.needed("pixel_size_angstrom", "The pixel size")

    @property
    def super_resolution(self) -> int:
        """How many pixels of the frames, a side, make one of the camera's."""
        said = self.task.metadata.get("super_resolution")
        upsampling = self._eer.upsampling
        return super_resolution_factor(self.header.height, self.header.width, said=said, eer_upsampling=upsampling)

    @property
    def bin_factor(self) -> int:
        """By how much micrographs are cropped: as the recipe says, else back to the camera's pixels."""
        return self.task.recipe.motion.bin_factor or self.super_resolution

    @property
    def micrograph_pixel_angstrom(self) -> float:
        """Size of a pixel of the micrographs, as the sums step wrote them."""
        return float(self.done["sums"].values["pixel_size_angstrom"])

    @property
    def voltage_kv(self) -> float:
        return self.needed("voltage_kv", "The acceleration voltage")

    @cached_property
    def dose_per_frame(self) -> float | None:
        """Dose of one frame as it is read, e/Å²; None where no source says it."""
        frames = self.header.frames
        if self._is_eer:  # of a fraction: what sidecars say is of fractions that were never written
            said = (self.header.values or {}).get("dose_per_frame_e_per_angstrom2")
            return None if said is None else float(said)
        per_frame = self.value("dose_per_frame_e_per_angstrom2")
        if per_frame is not None:
            return per_frame
        total = self.value("dose_e_per_angstrom2")
        return total / frames if total is not None and frames else None

    @property
    def pre_exposure(self) -> float:
        """Dose on the specimen before the first frame in use, e/Å²."""
        recipe = self.task.recipe
        return recipe.dose.pre_exposure_e_per_angstrom2 + recipe.motion.first_frame * (self.dose_per_frame or 0.0)

    # -- the files -----------------------------------------------------------------------------------------------

    @cached_property
    def raw_files(self) -> RawFiles:
        """The files as they were when the work began; fingerprints are made from this."""
        return self._look()

    def _look(self) -> RawFiles:
        task = self.task
        return RawFiles(
            movie=tuple(_identity(path) for path in task.frames or (task.movie,)),
            gain=None if task.gain is None else _identity(task.gain),
            defects=None if task.defects is None else _identity(task.defects),
        )

    def check_size(self) -> None:
        """Compare with what was queued.

        Raises:
            IncompleteFile: the movie has another size.
        """
        sizes = [size for _, size, _ in self.raw_files.movie if size is not None]
        if len(sizes) == len(self.raw_files.movie) and sum(sizes) != self.task.size:
            raise IncompleteFile(
                f"has {sum(sizes):,} bytes; when it was queued it had {self.task.size:,}.",
                advice="It is taken up again when it is whole.",
                path=self.task.movie,
            )

    def check_unchanged(self) -> None:
        """Look whether what was read is still what it was when the work began.

        Raises:
            IncompleteFile: a file was written to or replaced meanwhile; what was read may be a mix of old and new.
            NotFound: it was removed, or its share unmounted.
        """
        before, now = self.raw_files, self._look()
        if before == now:
            return
        known = zip((*before.movie, before.gain, before.defects), (*now.movie, now.gain, now.defects), strict=True)
        changed, after = next((old[0], new) for old, new in known if old is not None and old != new)
        if after is None or after[1] is None:
            raise NotFound("went away while it was read.", advice="It is read again when it is back.", path=changed)
        raise IncompleteFile("was changed while it was read.", advice="It is read again.", path=changed)

    # -- the movie -----------------------------------------------------------------------------------------------

    @property
    def _is_eer(self) -> bool:
        return Path(self.task.movie).suffix.lower() == ".eer"

    @cached_property
    def _eer(self) -> EerOptions:
        if not self._is_eer:
            return EerOptions()
        recipe = self.task.recipe.motion
        said = self.task.metadata.get("dose_e_per_angstrom2")
        return EerOptions(
            upsampling=recipe.eer_upsampling,
            dose_per_fraction_e_per_angstrom2=recipe.eer_dose_per_fraction,
            exposure_dose_e_per_angstrom2=float(said) if said else None,
        )

    @cached_property
    def header(self) -> MovieHeader:
        if self.task.frames:
            with open_movie(Path(self.task.movie), frames=[Path(name) for name in self.task.frames]) as reader:
                return reader.header
        return read_header(Path(self.task.movie), eer=self._eer)

    @cached_property
    def frames(self) -> NDArray[Any]:
        """The frames in use (t, y, x), in the number format that they were written in."""
        motion = self.task.recipe.motion
        last = self.header.frames - 1 if motion.last_frame is None else min(motion.last_frame, self.header.frames - 1)
        if motion.first_frame > last:
            raise BadConfiguration(
                f"has {self.header.frames} frames; frames {motion.first_frame} to {last} were asked for.",
                advice="Change motion.first_frame or motion.last_frame.",
                path=self.task.movie,
            )
        with open_movie(Path(self.task.movie), frames=[Path(name) for name in self.task.frames], eer=self._eer) as reader:
            return load_stack(reader, motion.first_frame, last, threads=self.task.threads)

    @cached_property
    def kernels(self) -> Kernels:
        """The operations of the task's device."""
        return kernels_for(self.task.device, self.task.threads)

    @cached_property
    def held(self) -> Held:
        """The frames in use where the device keeps them: on processors the very same, on a card a copy that is made once."""
        return self.kernels.hold(self.frames)

    @cached_property
    def statistics(self) -> FrameStatistics:
        """The mean raw frame and its noise, and the frames that carry nothing."""
        return self.kernels.statistics(self.held)

    def drop_frames(self) -> None:
        """Give the frames' memory back; a later step that needs them reads them again."""
        self.__dict__.pop("frames", None)
        self.__dict__.pop("held", None)

    @cached_property
    def gain(self) -> NDArray[np.float32] | None:
        """The gain as a factor (y, x), turned as the recipe says; None without one. Pixels without a factor are zero."""
        if self.task.gain is None:
            return None
        recipe = self.task.recipe.gain
        gain = np.ascontiguousarray(orient(self.gain_as_written, recipe.orientation))
        expected = (self.header.height, self.header.width)
        if gain.shape != expected:
            raise BadFile(
                f"is a gain reference of {gain.shape[1]} × {gain.shape[0]} pixels; the movie has {expected[1]} × {expected[0]}.",
                advice="Give the gain of this camera and this readout mode, or set gain.orientation.",
                path=self.task.gain,
            )
        return gain

    @cached_property
    def gain_as_written(self) -> NDArray[np.float32]:
        """The gain as a factor (y, x), not turned yet; one of the camera's pixels is repeated for finer frames."""
        if self.task.gain is None:
            raise BadConfiguration("has no gain reference.", path=self.task.movie)
        gain = fit_gain(read_gain(Path(self.task.gain)), self.header.height, self.header.width)
        return multiplier(gain, divide=self.task.recipe.gain.mode == "divide")

    @cached_property
    def defects(self) -> NDArray[np.bool_] | None:
        if self.task.defects is None:
            return None
        return read_defects(Path(self.task.defects), self.header.height, self.header.width)

    # -- results of earlier steps --------------------------------------------------------------------------------

    def image(self, role: str) -> NDArray[np.float32]:
        """Return an image that an earlier step wrote, from memory or from disk."""
        if role not in self.images:
            for record in self.done.values():
                if role in record.outputs:
                    self.images[role] = read_image(self.folder / record.outputs[role])
                    break
        return self.images[role]

    @cached_property
    def field(self) -> MotionField:
        """The motion that the motion step wrote."""
        path = self.folder / self.done["motion"].outputs["motion"]
        with np.load(path, allow_pickle=False) as stored:
            return MotionField(
                global_px=stored["global_px"],
                local_px=stored["local_px"],
                height=int(stored["size"][0]),
                width=int(stored["size"][1]),
            )


def _identity(path: str) -> FileIdentity:
    with storage_errors(path):
        try:
            status = Path(path).stat()
        except FileNotFoundError:
            return (path, None, None)  # its reader says so in words
    return (path, status.st_size, status.st_mtime_ns)
