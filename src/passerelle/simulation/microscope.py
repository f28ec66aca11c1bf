"""Run simulated microscopes: each writes its session into its folder at its own pace, and the truth aside."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from passerelle.core.errors import BadFile, BadInput, NotFound, StorageError, storage_errors
from passerelle.core.log import logger
from passerelle.simulation.arrival import append_files, copy_in_bulk, make
from passerelle.simulation.atoms import Atoms, read_atoms
from passerelle.simulation.detector import Detector, make_detector, perfect_detector
from passerelle.simulation.digital_micrograph import DigitalMicrographLayout
from passerelle.simulation.epu import EpuLayout
from passerelle.simulation.exposures import conditions_of, frame_type, record
from passerelle.simulation.grid import make_grid
from passerelle.simulation.krios import krios_micrograph
from passerelle.simulation.particles import particles_of_model
from passerelle.simulation.phantom import phantom
from passerelle.simulation.plan import InstrumentPlan, Plan
from passerelle.simulation.serialem import SerialemLayout
from passerelle.simulation.shot import Camera, Layout, Product, Shot
from passerelle.simulation.specimen import Specimen
from passerelle.simulation.truth import write_camera, write_truth

_DEFAULT_SIDE_PX = 4096
_CAMERA_NAMES = {"epu": "Falcon 3EC", "serialem": "K2 Summit", "digitalmicrograph": "K2 Summit", "falcon2": "Falcon 2"}


@dataclass(frozen=True, slots=True)
class Delivered:
    """A movie has been written. movie: the key of its truth. number: from 0. fault: what is wrong with it on purpose."""

    instrument: str
    movie: str
    number: int
    fault: str


def simulate(
    plan: Plan,
    folder: Path,
    stop: Event | None = None,
    *,
    truth: Path | None = None,
    told: Callable[[Delivered], None] | None = None,
) -> None:
    """Write sessions into `folder/<instrument>` until each instrument has made its movies, or `stop` is set.

    truth: where the truth goes, `<truth>/<instrument>/<movie>.truth.json`; default `truth` beside `folder`. It also holds the
    camera's own disk while movies are made. told: called after each movie, from the instrument's thread.

    Raises:
        OutOfSpace, NotAllowed, StorageError: a file could not be written; the other instruments are stopped, too.
    """
    stop = Event() if stop is None else stop
    aside = folder.absolute().parent / "truth" if truth is None else truth
    if aside.absolute().is_relative_to(folder.absolute()):
        raise BadInput("the truth may not lie inside the watched folder.", advice="Choose a folder beside it.", path=aside)
    with ThreadPoolExecutor(len(plan.instruments) or 1, thread_name_prefix="microscope") as pool:
        runs = [pool.submit(_run, one, folder / one.name, aside / one.name, stop, told) for one in plan.instruments]
        for run in runs:
            run.result()


def _run(plan: InstrumentPlan, folder: Path, aside: Path, stop: Event, told: Callable[[Delivered], None] | None) -> None:
    try:
        _Instrument(plan, folder, aside, stop, told).run()
    except BaseException:
        stop.set()  # one microscope failed: do not let the others go on unseen
        raise


class _Instrument:
    def __init__(
        self, plan: InstrumentPlan, folder: Path, aside: Path, stop: Event, told: Callable[[Delivered], None] | None
    ) -> None:
        self._plan = plan
        self._folder = folder
        self._aside = aside
        self._buffer = aside / "camera-disk"
        self._stop = stop
        self._told = told
        self._waiting: list[tuple[Path, Product]] = []
        self._delivered: list[Delivered] = []
        self._atoms: Atoms | None = None

    def run(self) -> None:
        plan = self._plan
        real = _real_micrograph(plan)
        first = real if real is not None else self._specimen(real, 0)
        height, width = first.picture.shape
        detector = _detector(plan, height, width)
        dtype, ceiling = frame_type(plan)
        camera = Camera(
            "Falcon 4i" if plan.format == "eer" else _CAMERA_NAMES[plan.program],
            height,
            width,
            dtype,
            ceiling,
            plan.exposure_seconds,
        )
        with storage_errors(self._aside):
            self._buffer.mkdir(parents=True, exist_ok=True)
            write_camera(self._aside, detector)
        begun = time.time()
        layout = _layout(plan, begun, detector, camera, first)
        append_files(layout.opening(begun), self._folder, self._buffer, seconds=0, stop=self._stop)
        period = 3600 / plan.movies_per_hour if plan.movies_per_hour else 0.0
        number = 0
        last_second = 0
        while not self._stop.is_set() and (plan.movies is None or number < plan.movies):
            specimen = first if number == 0 and real is None else self._specimen(real, number)
            taken = record(plan, number, specimen, detector)
            if self._stop.wait(max(begun + number * period - time.time(), 0)):
                break
            at = max(time.time(), last_second + 1.0)  # names carry whole seconds: no two alike
            last_second = int(at)
            shot = Shot(number, at, taken.specimen, camera, plan.frames)
            name = layout.movie_name(shot)
            write_truth(
                self._aside,
                name,
                taken.field,
                taken.specimen,
                fault=taken.fault,
                gain_orientation=plan.gain_orientation,
                electrons=taken.electrons if plan.keep_specimens else None,
            )
            self._deliver(layout.exposure(shot, taken.frames, taken.electrons), Delivered(plan.name, name, number, taken.fault))
            number += 1
        self._copy_waiting()
        shutil.rmtree(self._buffer, ignore_errors=True)

    def _specimen(self, real: Specimen | None, number: int) -> Specimen:
        plan = self._plan
        if real is not None:
            return real.flipped(bool(number & 1), bool(number & 2))
        side = plan.size_px or _DEFAULT_SIDE_PX
        conditions = conditions_of(plan, number, plan.pixel_size_angstrom, plan.dose_e_per_angstrom2)
        seed = plan.seed * 100_003 + number
        if plan.specimen == "model" and plan.model is not None:
            if self._atoms is None:
                self._atoms = read_atoms(plan.model)
            return particles_of_model(self._atoms, side, side, conditions, seed=seed, name=plan.model.name.split(".")[0])
        return phantom(side, side, conditions, seed=seed)

    def _deliver(self, products: list[Product], delivered: Delivered) -> None:
        if self._plan.arrival == "append":
            append_files(products, self._folder, self._buffer, seconds=self._plan.append_seconds, stop=self._stop)
            self._tell([delivered])
            return
        self._waiting.extend((make(product, self._buffer), product) for product in products)
        self._delivered.append(delivered)
        if len(self._delivered) >= self._plan.bulk_movies:
            self._copy_waiting()

    def _copy_waiting(self) -> None:
        copy_in_bulk(self._waiting, self._folder, self._plan.seed + len(self._waiting))
        self._waiting.clear()
        self._tell(self._delivered)
        self._delivered.clear()

    def _tell(self, delivered: list[Delivered]) -> None:
        for one in delivered:
            logger.debug("movie_simulated", instrument=one.instrument, movie=one.movie, fault=one.fault or None)
            if self._told is not None:
                self._told(one)


def _real_micrograph(plan: InstrumentPlan) -> Specimen | None:
    """The real micrograph that the plan asks for; none, said aloud, where it cannot be had: the phantom takes its place."""
    if plan.specimen not in ("falcon", "k2"):
        return None
    try:
        specimen = krios_micrograph(plan.specimen)
    except (NotFound, BadFile, StorageError) as error:
        logger.warning("phantom_instead_of_micrograph", instrument=plan.name, reason=str(error))
        return None
    return specimen if plan.size_px is None else specimen.crop(plan.size_px, plan.size_px)


def _detector(plan: InstrumentPlan, height: int, width: int) -> Detector:
    if not plan.gain_pattern:
        return perfect_detector(height, width)
    # events have no counts that a hot pixel could add to
    return make_detector(height, width, seed=plan.seed, hot_pixels=0 if plan.format == "eer" else 30)


def _layout(plan: InstrumentPlan, at: float, detector: Detector, camera: Camera, specimen: Specimen) -> Layout:
    stamp = time.strftime("%Y%m%d_%H%M%S", time.gmtime(at))
    pixel, orientation = specimen.pixel_size_angstrom, plan.gain_orientation
    if plan.program in ("epu", "falcon2"):
        return EpuLayout(
            plan.session or f"Supervisor_{stamp}_{plan.name}",
            make_grid(seed=plan.seed),
            detector,
            camera,
            pixel,
            gain_orientation=orientation,
            kind="frames" if plan.program == "falcon2" else plan.format,
            defocus_micrometre=-1e-4 * (specimen.applied_defocus_angstrom or 0),
        )
    session = plan.session or f"{stamp}_{plan.name}"
    if plan.program == "serialem":
        return SerialemLayout(session, detector, camera, pixel, gain_orientation=orientation, kind=plan.format)
    return DigitalMicrographLayout(session, detector, pixel, gain_orientation=orientation, kind=plan.format)
