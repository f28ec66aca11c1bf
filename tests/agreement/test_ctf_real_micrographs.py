"""The CTF fit and the judgement on real micrographs."""

from __future__ import annotations

import gzip
import io
from functools import cache
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from PIL import Image

from passerelle.core.errors import NotFound
from passerelle.imaging.contamination import contamination_percent
from passerelle.imaging.ctf_fit import CtfFit, CtfOptions, fit_ctf
from passerelle.imaging.ctf_model import Optics
from passerelle.imaging.ice import ice_ring_score
from passerelle.processing.metrics import default_thresholds
from passerelle.processing.quality import judge
from passerelle.simulation.krios import krios_micrograph

APOFERRITIN = tuple(
    f"May08_{time}"
    for time in (
        "03.05.02", "03.13.02", "03.15.02", "03.43.44", "04.32.27", "04.33.57", "04.36.57", "05.24.39", "05.31.00", "07.10.35",
    )
)  # fmt: skip


@cache
def apoferritin(folder: Path, name: str) -> np.ndarray:
    path = folder / "apoferritin_empiar10146" / "micrographs" / f"{name}.bin_avg.png"
    if not path.exists():
        pytest.skip(f"no real data in {path.parent}")
    # row 0 of a PNG is the top, that of a micrograph the bottom
    return np.asarray(Image.open(path))[::-1].astype(np.float32)


def measured(picture: np.ndarray, fit: CtfFit, pixel: float) -> dict[str, float]:
    metrics = {
        "ctf_resolution_angstrom": fit.resolution_angstrom,
        "ctf_score": fit.score,
        "defocus_angstrom": fit.defocus_angstrom,
        "astigmatism_angstrom": fit.astigmatism_angstrom,
        "contamination_percent": contamination_percent(picture, pixel),
    }
    ice = ice_ring_score(picture, pixel)
    return metrics if ice is None else metrics | {"ice_ring_score": ice}


@pytest.mark.parametrize("name", APOFERRITIN)
def test_apoferritin_is_fitted_between_1_6_and_2_3_micrometres_and_accepted(real_data: Path, name: str):
    picture = apoferritin(real_data, name)
    fit = fit_ctf(picture, Optics(300.0, 0.01, 0.07, 1.5))
    assert 16000 < fit.defocus_angstrom < 23000
    assert fit.resolution_angstrom < 6.0
    # one session, one microscope: the astigmatism points the same way in all ten
    assert 30 < fit.angle_deg < 70
    assert judge(measured(picture, fit, 1.5), default_thresholds()) == ("accept", ())


def test_halves_of_one_micrograph_have_the_same_defocus(real_data: Path):
    picture = apoferritin(real_data, APOFERRITIN[8])
    optics = Optics(300.0, 0.01, 0.07, 1.5)
    left, right = fit_ctf(picture[:, :600], optics), fit_ctf(picture[:, 600:], optics)
    assert left.defocus_angstrom == pytest.approx(right.defocus_angstrom, abs=150)


def test_a_mirrored_micrograph_has_the_mirrored_astigmatism(real_data: Path):
    picture = apoferritin(real_data, APOFERRITIN[2])
    optics = Optics(300.0, 0.01, 0.07, 1.5)
    straight, mirrored = fit_ctf(picture, optics), fit_ctf(picture[::-1], optics)
    assert mirrored.angle_deg == pytest.approx(-straight.angle_deg, abs=1.0)
    assert mirrored.defocus_angstrom == pytest.approx(straight.defocus_angstrom, abs=5.0)
    assert mirrored.astigmatism_angstrom == pytest.approx(straight.astigmatism_angstrom, abs=10.0)


@pytest.mark.parametrize(("camera", "defocus_angstrom"), [("falcon", 27150.0), ("k2", 10600.0)])
def test_krios_micrographs_are_fitted_where_a_coarse_fit_by_hand_put_them(camera: str, defocus_angstrom: float):
    try:
        specimen = krios_micrograph(camera)
    except NotFound as reason:
        pytest.skip(f"the real Krios micrographs could not be had: {reason}")
    pixel = specimen.pixel_size_angstrom
    fit = fit_ctf(specimen.picture, Optics(300.0, 2.7, 0.07, pixel))
    assert fit.defocus_angstrom == pytest.approx(defocus_angstrom, abs=150.0)
    assert fit.astigmatism_angstrom < 400
    assert fit.resolution_angstrom < 4.5
    verdict, reasons = judge(measured(specimen.picture, fit, pixel), default_thresholds())
    assert (verdict, reasons) == ("accept", ())


def test_the_ring_of_water_stands_out_in_the_k2_micrograph_only():
    try:
        falcon, k2 = krios_micrograph("falcon"), krios_micrograph("k2")
    except NotFound as reason:
        pytest.skip(f"the real Krios micrographs could not be had: {reason}")
    scores = [ice_ring_score(s.picture, s.pixel_size_angstrom) for s in (falcon, k2)]
    assert scores[0] is not None
    assert scores[1] is not None
    assert scores[0] < 0.1 < scores[1] < 0.5


@pytest.mark.parametrize("pixel", [1.0, 4.862])
def test_the_micrograph_full_of_ice_is_rejected_and_the_reason_says_why(real_data: Path, pixel: float):
    """Its header says 1 Å; the K2 pixel of that microscope, binned by four, would be 4.862 Å. Either way it must not pass."""
    path = real_data / "micrographs" / "Ucsf_stack_1142_DW.mrc.gz"
    if not path.exists():
        pytest.skip(f"no real data in {path.parent}")
    with mrcfile.mrcinterpreter.MrcInterpreter(io.BytesIO(gzip.decompress(path.read_bytes())), permissive=True) as mrc:
        picture = np.array(mrc.data, np.float32)
    mask_path = path.with_name("Ucsf_stack_1142_DW_mask.mrc.gz")
    fit = fit_ctf(picture, Optics(300.0, 2.0, 0.1, pixel), CtfOptions())
    metrics = measured(picture, fit, pixel)
    verdict, reasons = judge(metrics, default_thresholds())
    assert verdict == "reject"
    assert reasons[0].startswith("CTF fit resolution ")
    assert " is worse than 10 Å" in reasons[0]
    with mrcfile.mrcinterpreter.MrcInterpreter(io.BytesIO(gzip.decompress(mask_path.read_bytes())), permissive=True) as mrc:
        mask_percent = 100 * float((np.array(mrc.data) > 0.5).mean())
    assert any(reason.startswith("Contamination ") and "ice crystals" in reason for reason in reasons)
    assert mask_percent - 1 < metrics["contamination_percent"] < mask_percent + 6
