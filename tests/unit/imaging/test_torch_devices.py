"""Choosing a device, and what is said where it cannot be had."""

import subprocess
import sys

import numpy as np
import pytest

from passerelle.core.errors import BadConfiguration, BadInput, Busy
from passerelle.imaging import devices
from passerelle.imaging.devices import kernels_for
from passerelle.imaging.kernels_numba import NumbaKernels


@pytest.mark.parametrize("name", ["gpu", "", "cuda:", "cuda:x", "cuda:-1", "CPU", "cuda:0\n", "cuda:1234"])
def test_a_device_of_another_name_is_refused_with_the_names_there_are(name):
    with pytest.raises(BadConfiguration, match="no device") as caught:
        kernels_for(name)
    assert '"cuda:1"' in caught.value.advice


def test_without_torch_a_card_is_refused_and_what_to_install_is_said(monkeypatch):
    monkeypatch.setattr(devices, "find_spec", lambda name: None)
    with pytest.raises(BadConfiguration, match="needs torch") as caught:
        kernels_for("cuda")
    assert 'pip install "passerelle[gpu]"' in caught.value.advice


def test_processors_take_as_many_threads_as_they_are_given():
    assert kernels_for("cpu", 3) == NumbaKernels(3)
    assert kernels_for(NumbaKernels(2), 5) == NumbaKernels(2)


def test_the_product_starts_without_torch():
    code = "import sys, passerelle.imaging, passerelle.service.wiring, passerelle.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=120).returncode == 0


class TestWithTorch:
    """What needs torch, but no card."""

    @pytest.fixture(autouse=True)
    def torch(self):
        return pytest.importorskip("torch", reason='torch is not installed: pip install "passerelle[gpu]"')

    @pytest.fixture
    def kernels(self, torch):
        from passerelle.imaging.torch_kernels import TorchKernels

        return TorchKernels(torch.device("cpu"))

    def test_a_card_that_is_not_there_is_refused(self, torch):
        name = "cuda:999" if torch.cuda.is_available() else "cuda"
        with pytest.raises(BadConfiguration, match=name) as caught:
            kernels_for(name)
        assert caught.value.advice

    def test_what_is_no_movie_is_refused_as_on_processors(self, kernels):
        for wrong in (np.zeros((4, 4)), np.zeros((2, 4, 4), complex), np.zeros((0, 4, 4))):
            with pytest.raises(BadInput, match="A movie must"):
                kernels.hold(wrong)

    def test_a_card_that_is_full_is_tried_again_later(self, torch, kernels, monkeypatch):
        from passerelle.imaging import torch_frames

        def full(*_):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 90.00 GiB. GPU 0 has a total capacity of 16 GiB.")

        monkeypatch.setattr(torch_frames, "hold", full)
        with pytest.raises(Busy, match=r"memory of the card .* CUDA out of memory") as caught:
            kernels.hold(np.zeros((2, 4, 4), np.uint8))
        assert "fewer workers" in caught.value.advice

    @pytest.mark.parametrize("kind", ["u1", "i1", "<u2", ">i2", "u4", "i8", "u8", "f2", ">f4", "f8"])
    def test_frames_of_any_number_format_are_held_as_they_were_written(self, kernels, kind):
        top = min(np.iinfo(kind).max, 2**63) if np.dtype(kind).kind in "ui" else 60000
        frames = np.array([[[0, 1, top]], [[7, 3, 2]]]).astype(kind)
        held = kernels.hold(frames)
        assert held.shape == (2, 1, 3)
        assert np.array_equal(held.floats(slice(0, 2)).numpy(), frames.astype(np.float32))
        # float16 is widened on processors too; there is no 64-bit type without sign to compute with
        assert held.bits.element_size() == {"f2": 4, "u8": 4}.get(kind, np.dtype(kind).itemsize)

    def test_work_is_cut_into_equal_parts_that_cover_all(self, monkeypatch):
        from passerelle.imaging import torch_frames

        monkeypatch.setattr(torch_frames, "CHUNK_BYTES", 100)
        for count, each, pieces in ((40, 10, 4), (40, 11, 5), (3, 1000, 3), (1, 5, 1), (0, 5, 1), (7, 30, 3)):
            slices = list(torch_frames.parts(count, each))
            assert [i for part in slices for i in range(part.start, part.stop)] == list(range(count))
            assert len(slices) == pieces
            lengths = [part.stop - part.start for part in slices]
            assert max(lengths) - min(lengths) <= 1

    def test_a_movie_in_many_parts_gives_what_it_gives_in_one(self, kernels, monkeypatch):
        from passerelle.imaging import MotionField, MotionOptions, correct_movie, estimate_motion, torch_frames

        rng = np.random.default_rng(5)
        specimen = rng.poisson(6, (140, 150))
        frames = np.stack([rng.poisson(np.roll(specimen, (k, -k), (0, 1))) for k in range(5)]).astype(np.uint8)
        field = MotionField(np.outer(np.arange(5.0) - 2, [1.2, -1.1]), np.zeros((2, 5, 2, 2), np.float32), 140, 150)
        both = []
        for size in (torch_frames.CHUNK_BYTES, 150 * 140 * 4):
            monkeypatch.setattr(torch_frames, "CHUNK_BYTES", size)
            options = MotionOptions(patches=(2, 2), binning=1)
            found = estimate_motion(frames, gain=None, defects=None, pixel_size_angstrom=2.0, options=options, device=kernels)
            sums = correct_movie(
                frames, gain=None, defects=None, field=field, pixel_size_angstrom=2.0, dose_per_frame=1.0, device=kernels
            )
            both.append((found.field.global_px, found.field.local_px, sums.unweighted, sums.weighted))
        for one, other in zip(*both, strict=True):
            assert np.abs(one - other).max() < 1e-3 * max(np.abs(one).max(), 1e-3)
        assert len(list(torch_frames.parts(5, 150 * 140 * 4))) == 5

    def test_large_arrays_reach_a_card_whole(self, torch):
        from passerelle.imaging.torch_frames import to_card

        if not torch.cuda.is_available():
            pytest.skip("no graphics card: torch.cuda finds none")
        frames = np.random.default_rng(0).integers(0, 255, (5, 4092, 5760), np.uint8)
        assert np.array_equal(to_card(frames, torch.device("cuda"), 2).cpu().numpy(), frames)
