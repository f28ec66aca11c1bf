"""Fit the contrast transfer function of a micrograph: spectrum, contrast of the rings, search, least squares, how good it is."""

# scipy and numba declare no types
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerelle.core.errors import BadInput
from passerelle.imaging.ctf_fit_quality import Profile, fit_resolution, profile
from passerelle.imaging.ctf_fit_refine import Refined, background_splines, refine
from passerelle.imaging.ctf_fit_search import Candidate, RingData, search
from passerelle.imaging.ctf_model import Optics, ctf_phase, normalize_astigmatism
from passerelle.imaging.spectrum import Spectrum, measure_spectrum

_NYQUIST_SHARE = 0.97  # of the edge of the spectrum: beyond it the corners of the square are missing
_ICE_ANGSTROM = (3.95, 3.45)  # left out of the fit: the rings of water, sharp or diffuse, are not the CTF's
_CANDIDATES = 6
_WORTHY = 0.5  # of the strongest candidate: what is weaker would win by explaining background only
_FEWEST_CELLS = 24
_NARROWEST = 1.5  # the finest spatial frequency of a fit over the coarsest
_SIGNIFICANT = 50.0  # in units of the noise; the best of all rings in pure noise reaches 20 to 30, faint real rings 65
_BEFORE = 1.25  # the curves begin so much before the fit


@dataclass(frozen=True, slots=True)
class CtfOptions:
    """How to fit. Names and meaning as in the recipe's group `ctf`; astigmatism is U - V."""

    box_px: int = 512
    resolution_low_angstrom: float = 30.0
    resolution_high_angstrom: float = 4.0
    defocus_min_angstrom: float = 2000.0
    defocus_max_angstrom: float = 60000.0
    astigmatism_max_angstrom: float = 3000.0
    phase_shift: bool = False
    phase_shift_deg: float = 0.0  # where it is known and not fitted

    def __post_init__(self) -> None:
        if not 0 < self.resolution_high_angstrom < self.resolution_low_angstrom:
            raise BadInput(
                f"the CTF is to be fitted from {self.resolution_low_angstrom:g} to {self.resolution_high_angstrom:g} Å; "
                "expected the first to be the larger one.",
                advice="Correct resolution_low_angstrom and resolution_high_angstrom.",
            )
        if not 0 < self.defocus_min_angstrom < self.defocus_max_angstrom <= 500_000:
            raise BadInput(
                f"the defocus is to be searched from {self.defocus_min_angstrom:g} to {self.defocus_max_angstrom:g} Å; "
                "expected a range within 0 to 500000 Å.",
                advice="Correct defocus_min_angstrom and defocus_max_angstrom.",
            )


@dataclass(frozen=True, slots=True)
class CtfFit:
    """The CTF of one micrograph.

    U ≥ V in angstrom, angle of U in degrees (imaging.ctf_model has the convention). score: correlation of the fitted rings with
    the spectrum, over the plane. significance: what the rings explain, in units of the noise; below 50 they may be noise, and the
    resolution is then the lowest of the fit. resolution_angstrom: the finest spacing to which the rings agree.
    Curves, all of one length, along spatial frequency: spacing_per_angstrom; spectrum, averaged along lines of equal phase, its
    background removed, scaled as the model; model, sin² chi; agreement, the correlation of the two in a sliding window.
    """

    optics: Optics
    defocus_u_angstrom: float
    defocus_v_angstrom: float
    angle_deg: float
    phase_shift_deg: float
    score: float
    significance: float
    resolution_angstrom: float
    spacing_per_angstrom: NDArray[np.float32]
    spectrum: NDArray[np.float32]
    model: NDArray[np.float32]
    agreement: NDArray[np.float32]

    @property
    def defocus_angstrom(self) -> float:
        return 0.5 * (self.defocus_u_angstrom + self.defocus_v_angstrom)

    @property
    def astigmatism_angstrom(self) -> float:
        return self.defocus_u_angstrom - self.defocus_v_angstrom


def fit_ctf(
    image_or_spectrum: NDArray[Any] | Spectrum, optics: Optics, options: CtfOptions | None = None, *, threads: int = 1
) -> CtfFit:
    """Fit defocus, astigmatism and, where asked for, phase shift to a micrograph (y, x) or to its spectrum.

    The search is exhaustive over the given ranges. The fit uses `resolution_low_angstrom` to `resolution_high_angstrom`, never
    beyond Nyquist; the agreement is followed to the edge of the spectrum.

    Raises:
        BadInput: the picture is too small, flat, or too coarse for the range of resolution.
    """
    options = options or CtfOptions()
    if isinstance(image_or_spectrum, Spectrum):
        spectrum = image_or_spectrum
    else:
        spectrum = measure_spectrum(
            image_or_spectrum, optics.pixel_size_angstrom, box_px=options.box_px, threads=threads,
            finest_pixel_angstrom=finest_pixel(options),
        )  # fmt: skip
    low, edge = 1.0 / options.resolution_low_angstrom, _NYQUIST_SHARE * spectrum.edge_per_angstrom
    fitted = ring_contrast(spectrum, low, min(1.0 / options.resolution_high_angstrom, edge), with_ice=False)
    candidates = search(
        fitted,
        optics,
        defocus_range_angstrom=(options.defocus_min_angstrom, options.defocus_max_angstrom),
        astigmatism_max_angstrom=options.astigmatism_max_angstrom,
        phase_shift=options.phase_shift,
        known_phase_shift_deg=options.phase_shift_deg,
        count=_CANDIDATES,
    )
    strong = [candidate for candidate in candidates if candidate.strength > _WORTHY * candidates[0].strength]
    refined = [refine(fitted, optics, candidate, phase_shift=options.phase_shift, steps=5) for candidate in strong]
    best = max(refined, key=lambda r: r.gain)
    best = refine(fitted, optics, _as_candidate(best), phase_shift=options.phase_shift)
    whole = ring_contrast(spectrum, low / _BEFORE, edge, with_ice=True)
    return _result(whole, fitted, optics, options, best)


def finest_pixel(options: CtfOptions) -> float:
    """Return the pixel size (Å) to which finer pictures are cropped in Fourier space for these options."""
    return min(1.4, 0.45 * options.resolution_high_angstrom)


def ring_contrast(spectrum: Spectrum, low_per_angstrom: float, high_per_angstrom: float, *, with_ice: bool) -> RingData:
    """Return the amplitudes of a spectrum between two frequencies, relative to a smooth background, less one.

    The background is a spline of the logarithm along spatial frequency, times a slow change with azimuth (drift, charging). The
    band of ice plays no part in it, and no part in the contrast unless `with_ice`. Cells beyond the frequencies weigh nothing.
    """
    q = spectrum.squared
    inside = (q >= low_per_angstrom**2) & (q <= high_per_angstrom**2)
    ice = (q > 1.0 / _ICE_ANGSTROM[0] ** 2) & (q < 1.0 / _ICE_ANGSTROM[1] ** 2)
    if not with_ice:
        inside &= ~ice
    weight = np.where(inside, spectrum.weight, np.float32(0.0)).astype(np.float32)
    per_step = weight.sum(axis=0, dtype=np.float64)
    mean = (spectrum.polar * weight).sum(axis=0, dtype=np.float64) / np.maximum(per_step, 1.0)
    usable = np.flatnonzero((per_step > 0) & (mean > 0))
    if usable.size < _FEWEST_CELLS or high_per_angstrom < _NARROWEST * low_per_angstrom:
        raise BadInput(
            f"a CTF cannot be fitted between {1 / low_per_angstrom:.3g} and {1 / high_per_angstrom:.3g} Å: "
            "the picture is too small or too coarse, or the range too narrow.",
            advice="Check the pixel size and the range of resolution.",
        )
    s = np.sqrt(q[usable])
    splines = background_splines(s)
    root = np.sqrt(np.where(ice[usable], 0.0, per_step[usable]))
    logarithm = np.linalg.lstsq(splines * root[:, None], np.log(mean[usable]) * root, rcond=None)[0]
    background = np.ones(q.size)
    background[usable] = np.exp(splines @ logarithm)
    contrast = spectrum.polar / background - 1.0
    angles = spectrum.angles_rad
    slow = np.zeros(q.size)
    slow[usable] = (s - s[0]) / (s[-1] - s[0])
    weight[:, np.setdiff1d(np.arange(q.size), usable)] = 0.0
    contrast -= _slow_azimuth(contrast, weight, angles, slow)
    return RingData(np.where(weight > 0, contrast, 0.0).astype(np.float32), weight, q, angles)


def _slow_azimuth(
    contrast: NDArray[np.float64], weight: NDArray[np.float32], angles_rad: NDArray[np.float64], along: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the part of `contrast` that changes with azimuth (two and four lobes) and only slowly along frequency."""
    azimuth = np.stack([f(n * angles_rad) for n in (2, 4) for f in (np.cos, np.sin)])
    slow = np.stack([along**k for k in range(4)])
    waves, powers = len(azimuth), len(slow)
    terms = waves * powers
    pairs = (azimuth[:, None] * azimuth[None]).reshape(-1, angles_rad.size) @ weight.astype(np.float64)
    products = (slow[:, None] * slow[None]).reshape(-1, along.size)
    matrix = (pairs @ products.T).reshape(waves, waves, powers, powers).transpose(0, 2, 1, 3).reshape(terms, terms)
    right = ((azimuth @ (weight * contrast)) @ slow.T).reshape(terms)
    matrix += 1e-9 * np.trace(matrix) / terms * np.eye(terms)
    coefficients = np.linalg.solve(matrix, right).reshape(waves, powers)
    return azimuth.T @ (coefficients @ slow)


def _as_candidate(refined: Refined) -> Candidate:
    return Candidate(refined.mean_angstrom, refined.cosine_angstrom, refined.sine_angstrom, refined.phase_shift_deg, 0.0)


def _result(whole: RingData, fitted: RingData, optics: Optics, options: CtfOptions, best: Refined) -> CtfFit:
    along = profile(
        whole.contrast,
        whole.weight,
        whole.squared,
        whole.angles_rad,
        optics,
        mean_angstrom=best.mean_angstrom,
        cosine_angstrom=best.cosine_angstrom,
        sine_angstrom=best.sine_angstrom,
        phase_shift_deg=best.phase_shift_deg,
    )
    per_step = whole.weight.sum(axis=0, dtype=np.float64)
    significance = best.gain / max(best.noise, 1e-12)
    resolution = fit_resolution(along, whole.squared, per_step, options.resolution_low_angstrom)
    half = math.hypot(best.cosine_angstrom, best.sine_angstrom)
    angle = 0.5 * math.degrees(math.atan2(best.sine_angstrom, best.cosine_angstrom))
    u, v, angle = normalize_astigmatism(best.mean_angstrom + half, best.mean_angstrom - half, angle)
    return CtfFit(
        optics=optics,
        defocus_u_angstrom=u,
        defocus_v_angstrom=v,
        angle_deg=angle,
        phase_shift_deg=best.phase_shift_deg,
        score=_score(fitted, optics, best),
        significance=significance,
        resolution_angstrom=resolution if significance >= _SIGNIFICANT else options.resolution_low_angstrom,
        spacing_per_angstrom=np.sqrt(whole.squared).astype(np.float32),
        spectrum=_scaled_rings(along, whole, fitted, best),
        model=(0.5 + 0.5 * along.model).astype(np.float32),
        agreement=along.agreement.astype(np.float32),
    )


def _score(fitted: RingData, optics: Optics, best: Refined) -> float:
    """Return the correlation over the plane of -cos 2 chi with the contrast less its background."""
    used = np.flatnonzero(fitted.weight.sum(axis=0) > 0)
    window = slice(int(used[0]), int(used[-1]) + 1)
    q, weight = fitted.squared[window], fitted.weight[:, window].astype(np.float64)
    defocus = (
        best.mean_angstrom
        + best.cosine_angstrom * np.cos(2 * fitted.angles_rad)
        + best.sine_angstrom * np.sin(2 * fitted.angles_rad)
    )
    model = -np.cos(2.0 * ctf_phase(q[None, :], optics, defocus[:, None], best.phase_shift_deg))
    contrast = fitted.contrast[:, window] - best.background
    total = weight.sum()
    model -= (weight * model).sum() / total
    contrast = contrast - (weight * contrast).sum() / total
    power = float((weight * model**2).sum() * (weight * contrast**2).sum())
    return float((weight * model * contrast).sum() / math.sqrt(power)) if power > 0 else 0.0


def _scaled_rings(along: Profile, whole: RingData, fitted: RingData, best: Refined) -> NDArray[np.float32]:
    """Return the averaged rings scaled to the model's 0..1; where they are lost in noise, on the scale of a faint ring."""
    used = np.flatnonzero(fitted.weight.sum(axis=0) > 0)
    place = np.arange(whole.squared.size)
    envelope = np.interp(place, np.arange(used[0], used[-1] + 1), best.envelope)
    envelope = np.maximum(envelope, 0.1 * float(envelope.max()) + 1e-9)
    scaled = 0.5 + 0.5 * along.rings / envelope
    return np.where(whole.weight.sum(axis=0) > 0, np.clip(scaled, -0.5, 1.5), 0.5).astype(np.float32)
