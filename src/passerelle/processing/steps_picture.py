"""The stages on the corrected micrograph: CTF, ice and contamination, and the pictures that pages show."""

from __future__ import annotations

import json
from typing import Any

from passerelle.imaging.contamination import contamination_percent
from passerelle.imaging.ctf_fit import CtfOptions, finest_pixel, fit_ctf
from passerelle.imaging.ctf_model import Optics
from passerelle.imaging.ctf_picture import spectrum_picture
from passerelle.imaging.ice import ice_ring_score
from passerelle.imaging.spectrum import measure_spectrum
from passerelle.processing.pictures import as_jpeg, as_png, drift_plot, low_pass, shrink, to_grey
from passerelle.processing.step import Result, rounded
from passerelle.processing.steps_programs import fit_by_program, program_identity
from passerelle.processing.workspace import Workspace


def ctf_depends(work: Workspace) -> dict[str, Any]:
    """Name the parameters of the fit and the values of the microscope."""
    names = ("spherical_aberration_mm", "amplitude_contrast", "phase_plate")
    recipe = work.task.recipe.ctf
    depends = {"recipe": recipe.model_dump(exclude={"program"}), **program_identity(work, recipe.program)}
    return depends | {"values": {name: work.task.metadata.get(name) for name in names}}


def run_ctf(work: Workspace) -> Result:
    """Fit the CTF; score ice and contamination."""
    recipe = work.task.recipe.ctf
    said = work.value("amplitude_contrast")
    spherical_aberration = work.value("spherical_aberration_mm")
    warnings: list[str] = []
    if spherical_aberration is None:
        spherical_aberration = 2.7
        warnings.append("The spherical aberration is not known: 2.7 mm was used. Set `spherical_aberration_mm`.")
    optics = Optics(
        voltage_kv=work.voltage_kv,
        spherical_aberration_mm=spherical_aberration,
        amplitude_contrast=recipe.amplitude_contrast if said is None else said,
        pixel_size_angstrom=work.micrograph_pixel_angstrom,
    )
    options = CtfOptions(
        box_px=recipe.box_px,
        resolution_low_angstrom=recipe.resolution_low_angstrom,
        resolution_high_angstrom=recipe.resolution_high_angstrom,
        defocus_min_angstrom=recipe.defocus_min_angstrom,
        defocus_max_angstrom=recipe.defocus_max_angstrom,
        phase_shift=recipe.phase_shift or bool(work.task.metadata.get("phase_plate")),
    )
    micrograph = work.image("micrograph")
    threads = work.task.threads
    spectrum = measure_spectrum(
        micrograph,
        work.micrograph_pixel_angstrom,
        box_px=options.box_px,
        threads=threads,
        finest_pixel_angstrom=finest_pixel(options),
    )
    result = Result(warnings=warnings)
    if recipe.program == "passerelle":
        fit = fit_ctf(spectrum, optics, options, threads=threads)
    else:
        fit, result.values["program"] = fit_by_program(work, recipe.program, optics, options)
    result.values |= {
        "defocus_u_angstrom": fit.defocus_u_angstrom,
        "defocus_v_angstrom": fit.defocus_v_angstrom,
        "defocus_angstrom": (fit.defocus_u_angstrom + fit.defocus_v_angstrom) / 2,
        "astigmatism_angstrom": fit.defocus_u_angstrom - fit.defocus_v_angstrom,
        "astigmatism_angle_deg": fit.angle_deg,
        "ctf_score": fit.score,
        "ctf_resolution_angstrom": fit.resolution_angstrom,
    }
    if options.phase_shift:
        result.values["phase_shift_deg"] = fit.phase_shift_deg
    ice = ice_ring_score(spectrum, work.micrograph_pixel_angstrom)
    if ice is not None:
        result.values["ice_ring_score"] = ice
    result.values["contamination_percent"] = contamination_percent(micrograph, work.micrograph_pixel_angstrom)
    result.outputs["spectrum"] = work.records.write("spectrum.png", as_png(spectrum_picture(spectrum, fit)))
    curves = {
        "spacing_per_angstrom": rounded(fit.spacing_per_angstrom, 6),
        "spectrum": rounded(fit.spectrum),
        "model": rounded(fit.model),
        "agreement": rounded(fit.agreement),
    }
    result.outputs["ctf_curves"] = work.records.write("ctf.json", json.dumps({"ctf": curves}).encode())
    return result


def pictures_depends(work: Workspace) -> dict[str, Any]:
    """Name the sizes of the pictures."""
    return {"recipe": work.task.recipe.pictures.model_dump()}


def run_pictures(work: Workspace) -> Result:
    """Write the pictures that pages show."""
    recipe = work.task.recipe.pictures
    shown = work.image("micrograph_weighted" if "micrograph_weighted" in work.done["sums"].outputs else "micrograph")
    smooth = low_pass(shown, recipe.low_pass_angstrom / work.micrograph_pixel_angstrom)
    zoom = to_grey(shrink(smooth, recipe.zoom_px))
    small = to_grey(shrink(smooth, recipe.thumbnail_px))
    write = work.records.write
    return Result(
        outputs={
            "zoom": write("zoom.jpg", as_jpeg(zoom)),
            "thumbnail": write("thumbnail.jpg", as_jpeg(small, 80)),
            "drift": write("drift.svg", drift_plot(work.field, work.pixel_size_angstrom).encode()),
        }
    )
