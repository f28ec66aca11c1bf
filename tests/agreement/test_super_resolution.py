"""A movie in super resolution, cropped to the camera's pixels, against the same electrons counted by whole pixels.

Counting by whole pixels folds what lies beyond their Nyquist back onto the specimen's detail; placing electrons on half pixels
and cropping the corrected sum in Fourier space does not. So the cropped micrograph must match the truth at least as well.
"""

from functools import lru_cache

import numpy as np

from passerelle.imaging import MotionField, correct_movie, estimate_motion
from passerelle.imaging.fourier_ring import fourier_ring_correlation
from passerelle.simulation.electrons import deal, draw_electrons

FINE, FRAMES, FINE_PIXEL, DOSE = 1536, 16, 0.53, 2.0


def specimen():
    spectrum = np.fft.rfft2(np.random.default_rng(0).normal(size=(FINE, FINE)))
    s2 = (np.fft.fftfreq(FINE)[:, None] ** 2 + np.fft.rfftfreq(FINE)[None] ** 2) / FINE_PIXEL**2
    spectrum *= np.exp(-8 * s2) * (1 + 4 * np.exp(-900 * s2))
    spectrum[0, 0] = 0
    picture = np.fft.irfft2(spectrum, s=(FINE, FINE))
    return (1 + 0.15 * picture / picture.std()).clip(0.05)


def true_field():
    t = np.linspace(0, 1, FRAMES)[:, None]
    track = (1 - np.exp(-4 * t)) * np.array([[17.3, -11.9]])
    bend = np.stack(np.meshgrid(np.linspace(-3, 3, 9), np.linspace(-2, 2, 9), indexing="ij"))
    local = (1 - np.exp(-3 * t))[None, :, :, None] * bend[:, None]
    middle = FRAMES // 2
    return MotionField(track - track[middle], (local - local[:, middle : middle + 1]).astype(np.float32), FINE, FINE)


def crop(picture, shift_px=0.0):
    """The low half of the frequencies, displaced by `shift_px` pixels of the picture along both axes."""
    spectrum = np.fft.fft2(picture)
    k = np.fft.fftfreq(FINE)
    spectrum *= np.exp(2j * np.pi * shift_px * (k[:, None] + k[None]))
    half = FINE // 2
    kept = np.concatenate([spectrum[: half // 2], spectrum[-(half // 2) :]])
    return np.fft.irfft2(kept[:, : half // 2 + 1], s=(half, half)).astype(np.float32)


@lru_cache(maxsize=1)
def corrected():
    truth = specimen()
    electrons = draw_electrons((truth * DOSE).astype(np.float32), 1)
    fine = deal(electrons, true_field(), seed=2)
    whole = fine.reshape(FRAMES, FINE // 2, 2, FINE // 2, 2).sum(axis=(2, 4), dtype=np.uint8)
    sums = []
    for frames, pixel, factor in ((fine, FINE_PIXEL, 2), (whole, 2 * FINE_PIXEL, 1)):
        field = estimate_motion(frames, gain=None, defects=None, pixel_size_angstrom=pixel).field
        sums.append(
            correct_movie(
                frames, gain=None, defects=None, field=field, pixel_size_angstrom=pixel, bin_factor=factor, weighted=False
            )
        )
    # a pixel of the cropped sum stands on the first of the pixels that it covers, a whole pixel in the middle of them
    return fine, sums[0].unweighted, crop(truth), sums[1].unweighted, crop(truth, 0.5)


def bands(picture, truth):
    """Ring correlation in eight bands up to Nyquist, away from the borders."""
    inner = np.s_[32:-32, 32:-32]
    return fourier_ring_correlation(picture[inner], truth[inner], rings=8)[1]


def test_super_resolution_matches_the_truth_at_least_as_well_as_whole_pixels_in_every_band():
    _, fine, fine_truth, whole, whole_truth = corrected()
    fine_bands, whole_bands = bands(fine, fine_truth), bands(whole, whole_truth)
    # 0.004: the scatter of a band between realisations of the noise
    assert (fine_bands > whole_bands - 0.004).all()
    assert (fine_bands[4:] > 1.05 * whole_bands[4:]).all()  # what folds back costs whole pixels most beyond half of Nyquist


def test_both_hold_the_same_counts():
    frames, fine, _, whole, _ = corrected()
    inner = np.s_[32:-32, 32:-32]
    assert abs(fine[inner].mean() / whole[inner].mean() - 1) < 1e-3
    assert abs(fine.mean() / (frames.sum() / fine.size) - 1) < 0.02
