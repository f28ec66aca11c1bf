"""Each operation of torch against that of numba, to the rounding of float32: what the whole algorithm forgives shows here."""

import numpy as np
import pytest

from passerelle.imaging.combine import CURVE_POINTS
from passerelle.imaging.dose import DoseFactors
from passerelle.imaging.kernels import Shifts
from passerelle.imaging.kernels_numba import NumbaKernels
from passerelle.imaging.motion_modes import edge_window, mode_grid

torch = pytest.importorskip("torch", reason='torch is not installed: pip install "passerelle[gpu]"')

from passerelle.imaging.torch_kernels import TorchKernels  # noqa: E402

HERE = NumbaKernels()
no_card = pytest.mark.skipif(not torch.cuda.is_available(), reason="no graphics card: torch.cuda finds none")


@pytest.fixture(params=[pytest.param("cpu", id="torch-on-cpu"), pytest.param("cuda", id="cuda", marks=no_card)])
def there(request):
    return TorchKernels(torch.device(request.param))


def array(held):
    return held if isinstance(held, np.ndarray) else held.cpu().numpy()


def pictures(count=7, shape=(90, 101), seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(10, 3, (count, *shape)).astype(np.float32)


def close(found, expected, tolerance=2e-5):
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()


@pytest.mark.parametrize("binning", [1, 2, 3, 4, 5, 6, 8])
@pytest.mark.parametrize("bad", [0.0, 0.02, 0.9, 1.0])
def test_frames_are_reduced_alike_to_their_edges(there, binning, bad):
    rng = np.random.default_rng(binning)
    frames = rng.poisson(3, (4, 131, 150)).astype(np.uint8)
    gain = rng.uniform(0.8, 1.2, frames.shape[1:]).astype(np.float32)
    gain[3, 4:9] = [0, np.nan, np.inf, -1, 0]
    defects = rng.random(frames.shape[1:]) < bad
    expected = HERE.reduce(frames, gain=gain, defects=defects, binning=binning)
    found = there.reduce(there.hold(frames), gain=gain, defects=defects, binning=binning)
    assert expected.shape == (4, 131 // binning, 150 // binning)
    close(array(found), array(expected))


def matched(kernels, stack, shape=(48, 60)):
    held = stack if kernels is HERE else torch.from_numpy(stack).to(kernels.device)
    rng = np.random.default_rng(2)
    count = len(stack)
    corners = np.stack([rng.integers(0, n - m, (3, count)) for n, m in zip(stack.shape[1:], shape, strict=True)], axis=-1)
    usable = np.arange(count) != 2
    grid = mode_grid(shape, 2, 1.5, 150.0)
    return kernels.patch_modes(held, corners, usable, grid, edge_window(shape, 0.2)), grid


@pytest.mark.parametrize("bfactor", [150.0, 3000.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_modes_match_alike_in_value_slope_and_curvature(there, bfactor, weighted):
    shifts = np.random.default_rng(3).normal(0, 4, (3, 7, 2))
    (one, grid), (other, _) = matched(HERE, pictures()), matched(there, pictures())
    trust = np.random.default_rng(4).uniform(0.1, 1, len(grid.rows)).astype(np.float32) if weighted else None
    for a, b in zip(one.match(shifts, bfactor, trust), other.match(shifts, bfactor, trust), strict=True):
        close(b.value, a.value)
        close(b.slope, a.slope)
        close(b.curvature, a.curvature)
    close(other.power(shifts), one.power(shifts))


def test_low_frequencies_and_their_peaks_are_alike(there):
    specimen = np.random.default_rng(5).normal(size=(96, 120)).astype(np.float32)
    moved = [(0, 0), (3, -2), (7, 5), (-4, 9), (1, 1)]
    stack = np.stack([np.roll(specimen, shift, (0, 1)) for shift in moved]) + 0.3 * pictures(5, (96, 120))
    usable = np.array([True, True, True, False, True])
    grid, window, small = mode_grid((96, 120), 2, 1.5, 150.0), edge_window((96, 120), 0.06), (48, 40)
    held = torch.from_numpy(stack).to(there.device)
    (mine, one), (theirs, other) = (
        kernels.drift_modes(frames, usable, grid, window, small, 2) for kernels, frames in ((HERE, stack), (there, held))
    )
    assert one.step_px == other.step_px and one.shape == other.shape
    close(other.weight, one.weight, 1e-4)
    first, second, frames = np.array([0, 0, 1, 2]), np.array([1, 2, 4, 4]), np.array([0, 1, 2, 4])
    places = np.array(moved, float)[frames] * 2
    for strength in (0.0, 0.3):
        echo = (one.weight**2 * strength).astype(np.complex64)
        for a, b in (
            (one.pair_peaks(first, second, echo, 30.0), other.pair_peaks(first, second, echo, 30.0)),
            (one.sum_peaks(frames, places, echo, 30.0), other.sum_peaks(frames, places, echo, 30.0)),
        ):
            assert np.allclose(b[0], a[0], atol=1e-3) and np.allclose(b[1], a[1], rtol=1e-3)
    expected = np.array(moved, float)[second] - np.array(moved, float)[first]
    assert np.abs(one.pair_peaks(first, second, np.zeros_like(echo), 30.0)[0] / 2 - expected).max() < 0.5
    shifts = np.zeros((1, 5, 2))
    close(theirs.match(shifts, 150.0, None)[0].value, mine.match(shifts, 150.0, None)[0].value)


@pytest.mark.parametrize("tile", [(8, 32), (16, 64)])
@pytest.mark.parametrize("half_sums", [False, True])
@pytest.mark.parametrize("bin_factor", [1, 2])
def test_sums_are_accumulated_and_combined_alike(there, tile, half_sums, bin_factor):
    rng = np.random.default_rng(6)
    frames = rng.poisson(4, (6, 100, 134)).astype(np.int16)
    gain = rng.uniform(0.8, 1.2, (100, 134)).astype(np.float32)
    defects = rng.random((100, 134)) < 0.05
    tiles = -(-100 // tile[0]), -(-134 // tile[1])
    whole = rng.integers(-9, 9, (2, 6, *tiles)).astype(np.int32)
    whole[0, 0, 0], whole[1, 1, 1] = 250, -420  # far outside
    shifts = Shifts(tile, whole, rng.integers(0, 65, (2, 6, *tiles)).astype(np.int32))
    columns = rng.normal(size=(6, 4)).astype(np.float32)
    dose = DoseFactors(
        columns,
        rng.uniform(0.5, 1, CURVE_POINTS).astype(np.float32),
        np.sort(rng.normal(size=(4 - (2 if half_sums else 1), CURVE_POINTS))).astype(np.float32),
        0.0,
    )
    histogram = rng.integers(0, 5, (65, 65)).astype(np.float64)
    results = []
    for kernels in (HERE, there):
        held = kernels.hold(frames)
        sums = kernels.accumulate(held, gain=gain, defects=defects, shifts=shifts, factors=columns, padded=(100, 144))
        results.append(kernels.combine(sums, histogram, (100, 134), dose, half_sums, bin_factor))
    for one, other in zip(*results, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            close(other, one, 1e-4)
    assert (results[0][2] is not None) == half_sums


def test_the_detail_near_nyquist_is_alike(there):
    mean = pictures(1)[0]
    gain = np.random.default_rng(7).uniform(0.8, 1.2, mean.shape).astype(np.float32)
    gain[5:8] = 0
    defects = np.random.default_rng(8).random(mean.shape) < 0.1
    for arguments in ((mean, gain, defects), (mean, None, None), (mean, gain, None), (mean[:1, :1], None, None)):
        (power, count), (other_power, other_count) = HERE.chess_board(*arguments), there.chess_board(*arguments)
        assert count == other_count and other_power == pytest.approx(power, rel=1e-5)
