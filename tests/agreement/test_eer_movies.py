"""EER movies end to end: events with a known motion become fractions by dose, at 4k and 8k, with the gain of the detector, and
give what an MRC movie of the very same electrons gives."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import tifffile

from passerelle.formats import read_image, write_eer_movie, write_mrc, write_mrc_stack
from passerelle.imaging import MotionField
from passerelle.imaging.fourier_ring import fourier_ring_correlation
from passerelle.processing.movie import process_movie
from passerelle.processing.recipe import Recipe
from passerelle.processing.task import MovieTask
from passerelle.simulation.detector import make_detector
from passerelle.simulation.electrons import deal_events, draw_electrons

SIDE, RAW, FRACTIONS, PIXEL, COUNTS = 1024, 245, 20, 0.9, 12.0
GROUP = RAW // FRACTIONS  # the last five raw frames make no fraction
DOSE = COUNTS / PIXEL**2


def specimen():
    rng = np.random.default_rng(0)
    spectrum = np.fft.rfft2(rng.normal(size=(SIDE, SIDE)))
    s2 = (np.fft.fftfreq(SIDE)[:, None] ** 2 + np.fft.rfftfreq(SIDE)[None] ** 2) / PIXEL**2
    spectrum *= np.exp(-10 * s2) * (1 + 4 * np.exp(-900 * s2))
    spectrum[0, 0] = 0
    picture = np.fft.irfft2(spectrum, s=(SIDE, SIDE))
    return (1 + 0.1 * picture / picture.std()).clip(0.05)


def true_field():
    """One step a raw frame."""
    t = np.linspace(0, 1, RAW)[:, None]
    track = (1 - np.exp(-4 * t)) * np.array([[14.0, -9.0]])
    bend = np.stack(np.meshgrid(np.linspace(-2, 2, 9), np.linspace(-1.5, 1.5, 9), indexing="ij"))
    local = (1 - np.exp(-3 * t))[None, :, :, None] * bend[:, None]
    return MotionField(track, local.astype(np.float32), SIDE, SIDE)


@lru_cache(maxsize=1)
def events():
    detector = make_detector(SIDE, SIDE, seed=4, dead_columns=1, hot_pixels=0, pixel_sd=0.08)
    electrons = draw_electrons((specimen() * COUNTS).astype(np.float32), 1)
    return deal_events(electrons, true_field(), seed=2, efficiency=detector.event_efficiency()), detector.gain


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("eer")
    found, gain = events()
    raw = [found.places(index) for index in range(RAW)]
    write_eer_movie(folder / "a.eer", raw, SIDE, SIDE, pixel_size_angstrom=PIXEL, dose_e_per_angstrom2=DOSE)
    tifffile.imwrite(folder / "a.gain", gain, metadata=None)
    write_mrc(folder / "gain.mrc", gain, PIXEL)
    # as the camera: several electrons in one pixel of one raw frame are one
    frames = np.zeros((FRACTIONS, SIDE, SIDE), np.int8)
    for index in range(GROUP * FRACTIONS):
        places = np.floor(raw[index]).astype(int)
        hit = np.zeros((SIDE, SIDE), np.int8)
        hit[places[:, 0], places[:, 1]] = 1
        frames[index // GROUP] += hit
    write_mrc_stack(folder / "a.mrc", frames, PIXEL, "int8")
    return folder


@lru_cache(maxsize=4)
def processed(folder: Path, name: str, upsampling: int = 1):
    path = folder / name
    of_fractions = DOSE * GROUP * FRACTIONS / RAW
    task = MovieTask(
        movie_id=1,
        name=name,
        movie=str(path),
        size=path.stat().st_size,
        mtime_ns=path.stat().st_mtime_ns,
        metadata={"voltage_kv": 300.0, "spherical_aberration_mm": 2.7}
        | ({"dose_e_per_angstrom2": of_fractions} if path.suffix == ".mrc" else {}),
        gain=str(folder / ("gain.mrc" if path.suffix == ".mrc" else "a.gain")),
        check_gain=True,
        recipe=Recipe.model_validate({"motion": {"eer_upsampling": upsampling, "eer_dose_per_fraction": DOSE / FRACTIONS}}),
        thresholds={},
        folder=str(folder / f"{path.suffix[1:]}-{upsampling}"),
    )
    outcome = process_movie(task)
    assert outcome.error is None, outcome.error
    return outcome, Path(task.folder)


def motion_error_px(folder: Path, scale: int) -> float:
    """RMS of the motion that was found against the true one on a grid, each place's mean left free, in the detector's pixels."""
    truth = true_field()
    with np.load(folder / "motion.npz") as stored:
        found = MotionField(stored["global_px"], stored["local_px"], *(int(n) for n in stored["size"]))
    y, x = (axis.ravel() for axis in np.meshgrid(np.linspace(100, 923, 7), np.linspace(100, 923, 7), indexing="ij"))
    at = np.array([np.stack(truth.at(t, y, x)) for t in range(GROUP * FRACTIONS)])
    at = at.reshape(FRACTIONS, GROUP, 2, -1).mean(axis=1)
    ours = np.array([np.stack(found.at(t, y * scale, x * scale)) for t in range(FRACTIONS)]) / scale
    difference = ours - at
    difference -= difference.mean(axis=0)
    return float(np.sqrt((difference**2).sum(axis=1).mean()))


def test_raw_frames_become_fractions_of_the_dose_that_was_asked_for(folder):
    for upsampling in (1, 2):
        outcome, _ = processed(folder, "a.eer", upsampling)
        assert outcome.metrics["frames"] == FRACTIONS
        # five raw frames of 245 are left over: their dose is not in the sums
        assert outcome.metrics["dose_e_per_angstrom2"] == pytest.approx(DOSE * GROUP * FRACTIONS / RAW, rel=1e-6)
        assert outcome.metrics["pixel_size_angstrom"] == pytest.approx(PIXEL)


def test_an_eer_at_4k_is_the_mrc_movie_of_the_same_electrons(folder):
    (_, eer), (_, mrc) = processed(folder, "a.eer"), processed(folder, "a.mrc")
    for name in ("micrograph.mrc", "micrograph-weighted.mrc"):
        np.testing.assert_array_equal(read_image(eer / name), read_image(mrc / name))


@pytest.mark.parametrize("upsampling", [1, 2])
def test_the_motion_of_an_eer_is_found_as_well_as_that_of_the_mrc_movie(folder, upsampling):
    eer, mrc = processed(folder, "a.eer", upsampling)[1], processed(folder, "a.mrc")[1]
    assert motion_error_px(mrc, 1) < 0.25
    assert motion_error_px(eer, upsampling) < 1.1 * motion_error_px(mrc, 1) + 0.01


def test_rendered_at_8k_and_cropped_it_matches_the_truth_at_least_as_well_as_at_4k(folder):
    coarse, fine = processed(folder, "a.eer")[1], processed(folder, "a.eer", 2)[1]
    truth = specimen().astype(np.float32)
    middle = true_field().at(GROUP * (FRACTIONS // 2) + GROUP // 2, SIDE / 2, SIDE / 2)
    k = np.fft.fftfreq(SIDE)

    def moved(dy: float, dx: float):
        spectrum = np.fft.fft2(truth) * np.exp(2j * np.pi * (k[:, None] * dy + k[None] * dx))
        return np.fft.ifft2(spectrum).real.astype(np.float32)

    # the micrograph stands where the specimen stood at the middle frame; a pixel of the cropped one at its first quarter
    dy, dx = (-float(value) for value in middle)
    inner = np.s_[60:-60, 60:-60]
    of_coarse = fourier_ring_correlation(read_image(coarse / "micrograph.mrc")[inner], moved(dy, dx)[inner], rings=8)[1]
    of_fine = fourier_ring_correlation(read_image(fine / "micrograph.mrc")[inner], moved(dy - 0.25, dx - 0.25)[inner], rings=8)[1]
    assert (of_fine > of_coarse - 0.01).all()
    assert of_coarse[0] > 0.5
