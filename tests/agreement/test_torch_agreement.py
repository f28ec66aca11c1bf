"""Two implementations of the same operations: numba on processors, torch on a card. The bounds are the product's: 0.02 px in
motion, 1e-3 of the contrast in the image.

torch runs here on a processor, with the very code that runs on a card; where there is a card, there too.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pytest

from passerelle.imaging import MotionField, MotionOptions, correct_movie, estimate_motion
from passerelle.imaging.frames import frame_statistics

torch = pytest.importorskip("torch", reason='torch is not installed: pip install "passerelle[gpu]"')

from passerelle.imaging.torch_kernels import TorchKernels  # noqa: E402

MOTION_PX, IMAGE = 0.02, 1e-3
no_card = pytest.mark.skipif(not torch.cuda.is_available(), reason="no graphics card: torch.cuda finds none")
DEVICES = [pytest.param("cpu", id="torch-on-cpu"), pytest.param("cuda", id="cuda", marks=no_card)]


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Keep torch from holding on to every processor while the other implementation runs."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@dataclass(frozen=True)
class Case:
    """A movie: its number format, size, and what is wrong with it."""

    kind: str = "uint8"
    size: tuple[int, int] = (512, 480)
    frames: int = 12
    gain: bool = True
    defects: bool = True
    blank: int | None = None
    local: float = 1.5
    fixed_pattern: float = 0.0
    pixel_size: float = 1.06
    binning: int = 2


CASES = {
    "whole numbers of 8 bits": Case(),
    "whole numbers of 16 bits with sign, odd sizes": Case(kind="int16", size=(487, 531), binning=3),
    "whole numbers of 16 bits without sign": Case(kind="uint16", size=(400, 400), defects=False, binning=1),
    "floats that are not all finite": Case(kind="float32", size=(450, 512), binning=4),
    "half floats, no gain": Case(kind="float16", size=(416, 390), gain=False),
    "a blank frame": Case(blank=5),
    "frames that carry the camera's pattern": Case(fixed_pattern=0.2, gain=False, defects=False),
    "drift only": Case(local=0.0),
    "small pixels, reduced by more": Case(size=(750, 701), pixel_size=0.5, frames=6, binning=6),
}


@lru_cache(maxsize=2)
def movie(name):
    case = CASES[name]
    rng = np.random.default_rng(len(name))
    shape = case.size
    spectrum = np.fft.rfft2(rng.normal(size=(shape[0] + 64, shape[1] + 64)))
    ky, kx = np.fft.fftfreq(shape[0] + 64)[:, None], np.fft.rfftfreq(shape[1] + 64)[None]
    spectrum *= np.exp(-40 * (ky**2 + kx**2)) * (ky**2 + kx**2 > 0)
    t = np.linspace(-1, 1, case.frames)
    track = np.stack([6 * t + rng.normal(0, 0.3, case.frames), -9 * t**2], axis=1)
    y, x = np.mgrid[-1 : 1 : 1j * shape[0], -1 : 1 : 1j * shape[1]]
    sensitivity = np.clip(rng.normal(1, 0.05, shape), 0.6, 1.4)
    pattern = 1 + case.fixed_pattern * rng.normal(size=shape)
    frames = np.empty((case.frames, *shape))
    for n in range(case.frames):
        phase = np.exp(-2j * np.pi * (ky * track[n, 0] + kx * track[n, 1]))
        picture = np.fft.irfft2(spectrum * phase, s=(shape[0] + 64, shape[1] + 64))
        # a slow bend, to the nearest pixel: enough for two programs to agree on
        rows = np.rint(np.arange(shape[0])[:, None] + 32 - case.local * t[n] * x * y).astype(int)
        columns = np.rint(np.arange(shape[1])[None] + 32 + case.local * t[n] * y).astype(int)
        picture = picture[rows, columns] / picture.std()
        frames[n] = rng.poisson(np.maximum(3 * (1 + 0.25 * picture) * sensitivity * pattern, 0))
    frames = frames.astype(case.kind)
    if case.blank is not None:
        frames[case.blank] = 0
    if case.kind == "float32":
        frames[2, 100:103, 50] = np.nan
        frames[4, 7, 9] = np.inf
    defects = None
    if case.defects:
        defects = rng.random(shape) < 3e-3
        defects[:, 77] = True
        defects[120:126, 200:207] = True
    gain = (1 / sensitivity).astype(np.float32) if case.gain else None
    if gain is not None:
        gain[30:32, 40] = 0
    return frames, gain, defects


@lru_cache(maxsize=4)
def estimated(name, device):
    frames, gain, defects = movie(name)
    options = MotionOptions(patches=(4, 4), binning=CASES[name].binning)
    return estimate_motion(
        frames, gain=gain, defects=defects, pixel_size_angstrom=CASES[name].pixel_size, options=options, device=kernels(device)
    )


def kernels(device):
    return "cpu" if device is None else TorchKernels(torch.device(device))


def corrected(name, device, **options):
    """Correct with the motion that the processors found, so that the images alone are compared."""
    frames, gain, defects = movie(name)
    options = {"dose_per_frame": 1.2, "blank": estimated(name, None).blank} | options
    return correct_movie(
        frames,
        gain=gain,
        defects=defects,
        field=estimated(name, None).field,
        pixel_size_angstrom=CASES[name].pixel_size,
        device=kernels(device),
        **options,
    )


def off(found, expected):
    """RMS of the difference over the contrast."""
    return float(np.sqrt(np.mean((found.astype(np.float64) - expected) ** 2)) / expected.std(dtype=np.float64))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", CASES)
def test_both_find_the_same_motion(name, device):
    here, there = estimated(name, None), estimated(name, device)
    assert here.binning == there.binning and here.field.frames == there.field.frames
    assert np.array_equal(here.blank, there.blank) and np.array_equal(here.frame_rejected, there.frame_rejected)
    assert np.array_equal(here.hot_pixels, there.hot_pixels)
    assert np.abs(here.field.global_px).max() > 3, "nothing moved: this compares nothing"
    y, x = np.meshgrid(np.linspace(0, here.field.height - 1, 9), np.linspace(0, here.field.width - 1, 9), indexing="ij")
    apart = [np.subtract(here.field.at(t, y, x), there.field.at(t, y, x)) for t in range(here.field.frames)]
    assert np.abs(apart).max() < MOTION_PX


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", CASES)
def test_both_make_the_same_sums(name, device):
    here, there = corrected(name, None), corrected(name, device)
    for part in ("unweighted", "weighted", "even", "odd"):
        assert off(getattr(there, part), getattr(here, part)) < IMAGE, part
        assert getattr(there, part).dtype == np.float32 and getattr(there, part).flags.c_contiguous


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    "options",
    [{"bin_factor": 2}, {"half_sums": False}, {"weighted": False}, {"dose_per_frame": None, "half_sums": False}],
    ids=str,
)
def test_both_make_the_same_sums_of_other_kinds(options, device):
    name = "whole numbers of 16 bits with sign, odd sizes"
    here, there = corrected(name, None, **options), corrected(name, device, **options)
    for part in ("unweighted", "weighted", "even", "odd"):
        one, other = getattr(here, part), getattr(there, part)
        assert (one is None) == (other is None)
        assert one is None or off(other, one) < IMAGE, part


@pytest.mark.parametrize("device", DEVICES)
def test_both_mirror_what_moves_in_from_outside(device):
    frames, gain, defects = movie("whole numbers of 8 bits")
    count, height, width = frames.shape
    track = np.linspace(-700, 700, count)[:, None] * np.ones(2)
    field = MotionField(track, np.zeros((2, count, 2, 2), np.float32), height, width)
    sums = [
        correct_movie(frames, gain=gain, defects=defects, field=field, pixel_size_angstrom=1.0, device=kernels(where))
        for where in (None, device)
    ]
    assert off(sums[1].unweighted, sums[0].unweighted) < IMAGE


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", ["whole numbers of 16 bits without sign", "floats that are not all finite", "a blank frame"])
def test_both_measure_the_same_statistics(name, device):
    frames, _, _ = movie(name)
    if frames.dtype == np.float32:
        frames = frames.copy()
        frames[8, : len(frames[8]) // 2] = np.nan  # a frame that is left out as a whole
    here = frame_statistics(frames)
    there = TorchKernels(torch.device(device))
    there = there.statistics(there.hold(frames))
    assert np.allclose(there.mean, here.mean, rtol=1e-5) and there.noise_variance == pytest.approx(here.noise_variance, rel=1e-5)
    assert np.allclose(there.frame_means, here.frame_means, rtol=1e-6)
    assert np.array_equal(there.blank, here.blank) and np.array_equal(there.not_finite, here.not_finite)


@pytest.mark.parametrize("device", DEVICES)
def test_frames_that_a_card_holds_are_not_copied_again(device):
    frames, gain, _ = movie("drift only")
    card = TorchKernels(torch.device(device))
    held = card.hold(frames)
    assert card.hold(held) is held and held.shape == frames.shape
    options = MotionOptions(patches=(2, 2), binning=3)
    found = estimate_motion(held, gain=gain, defects=None, pixel_size_angstrom=1.06, options=options, device=card)
    again = estimate_motion(frames, gain=gain, defects=None, pixel_size_angstrom=1.06, options=options, device=card)
    assert np.abs(found.field.global_px - again.field.global_px).max() < MOTION_PX
