"""File, sidecar and configuration are compared; a contradiction is shown, with the source that was believed."""

import pytest

from passerelle.acquisition import Metadata, reconcile


def names(result):
    return [conflict.name for conflict in result.conflicts]


def conflict(result, name):
    (found,) = [c for c in result.conflicts if c.name == name]
    return found


def test_sources_that_agree_give_their_values_and_no_conflict():
    result = reconcile(
        {
            "file": Metadata(voltage_kv=300, pixel_size_angstrom=0.8301, frames=40, height_px=4092, width_px=5760),
            "sidecar": Metadata(voltage_kv=300.0, pixel_size_angstrom=0.83, frames=40, camera="GIF-K3"),
            "configuration": Metadata(spherical_aberration_mm=2.7, amplitude_contrast=0.1, camera="K3"),
        }
    )
    assert not result.conflicts
    assert result.values.model_dump(exclude_none=True) == {
        "voltage_kv": 300.0,
        "spherical_aberration_mm": 2.7,
        "amplitude_contrast": 0.1,
        "pixel_size_angstrom": 0.83,
        "frames": 40,
        "height_px": 4092,
        "width_px": 5760,
        "camera": "K3",
    }
    assert result.sources == {
        "voltage_kv": "sidecar",
        "spherical_aberration_mm": "configuration",
        "amplitude_contrast": "configuration",
        "pixel_size_angstrom": "sidecar",
        "frames": "file",
        "height_px": "file",
        "width_px": "file",
        "camera": "configuration",
    }


def test_a_conflict_shows_what_each_source_said_and_which_was_believed():
    result = reconcile(
        {
            "file": Metadata(voltage_kv=120),
            "sidecar": Metadata(voltage_kv=300),
            "configuration": Metadata(voltage_kv=200),
        }
    )
    found = conflict(result, "voltage_kv")
    assert found.said == {"configuration": 200, "sidecar": 300, "file": 120}
    assert found.used == result.sources["voltage_kv"] == "configuration"
    assert result.values.voltage_kv == 200


def test_the_sidecar_is_believed_before_the_file():
    result = reconcile({"file": Metadata(pixel_size_angstrom=1.0), "sidecar": Metadata(pixel_size_angstrom=1.2)})
    assert result.values.pixel_size_angstrom == 1.2
    assert conflict(result, "pixel_size_angstrom").used == "sidecar"


def test_the_file_is_believed_about_its_own_frames_and_size():
    result = reconcile(
        {
            "file": Metadata(frames=48, height_px=4096, width_px=4096),
            "sidecar": Metadata(frames=50, height_px=4096, width_px=4000),
            "configuration": Metadata(frames=50),
        }
    )
    assert (result.values.frames, result.values.width_px) == (48, 4096)
    assert conflict(result, "frames").said == {"file": 48, "sidecar": 50, "configuration": 50}
    assert conflict(result, "frames").used == "file"


@pytest.mark.parametrize(
    ("name", "same", "other"),
    [
        ("voltage_kv", (300, 300.5), (300, 200)),
        ("spherical_aberration_mm", (2.7, 2.703), (2.7, 2.62)),
        ("spherical_aberration_mm", (0.01, 0.012), (0.01, 0.05)),
        ("amplitude_contrast", (0.1, 0.1005), (0.1, 0.07)),
        ("pixel_size_angstrom", (0.83, 0.832), (0.83, 0.85)),
        ("exposure_seconds", (2.0, 2.015), (2.0, 2.5)),
        ("applied_defocus_angstrom", (12000, 12050), (12000, 15000)),
        ("tilt_deg", (0.0, 0.05), (0.0, 15.0)),
        ("stage_x_um", (100.0, 100.05), (100.0, 101.0)),
        ("beam_shift_x", (0.1, 0.1005), (0.1, -0.1)),
        ("magnification", (105000, 105000.0), (105000, 130000)),
        ("camera", ("BioQuantum K3", "k3"), ("Falcon 4i", "K3")),
        ("camera", ("Falcon 4i", "BM-Falcon"), ("BM-Falcon", "K3")),
        ("camera", ("BioQuantum K3", "EF-CCD"), ("BioQuantum K3", "EF-Falcon")),
        ("program", ("EPU 3.9.1.8206", "Fei EPU"), ("EPU 3.9", "SerialEM")),
        ("microscope", ("Titan-Krios", "titan krios"), ("Krios 1", "Arctica")),
        ("gain_reference", ("X:\\g\\Ref.dm4", "/data/ref.dm4"), ("a.dm4", "b.dm4")),
        ("grid_square", ("7", "7"), ("7", "8")),
        ("phase_plate", (False, False), (False, True)),
        # the same clock in two zones
        ("acquired_at", (1_700_000_000.0, 1_700_000_000.0 - 2 * 3600 + 30), (1_700_000_000.0, 1_700_000_000.0 - 1350)),
    ],
)
def test_values_agree_within_the_tolerance_of_their_kind(name, same, other):
    def compare(pair):
        return names(reconcile({"sidecar": Metadata(**{name: pair[0]}), "file": Metadata(**{name: pair[1]})}))

    assert compare(same) == []
    assert compare(other) == [name]


@pytest.mark.parametrize(("factor", "in_the_movie"), [(2, 0.5279407), (4, 0.26397)])
def test_super_resolution_is_found_from_the_size_and_shown_with_its_reason(factor, in_the_movie):
    sidecar = Metadata(pixel_size_angstrom=1.0558814, height_px=2046, width_px=2880)
    size = {"height_px": 2046 * factor, "width_px": 2880 * factor}
    result = reconcile({"sidecar": sidecar, "file": Metadata(**size)})
    assert result.values.pixel_size_angstrom == pytest.approx(in_the_movie, rel=1e-4)
    assert (result.values.height_px, result.values.width_px) == (size["height_px"], size["width_px"])
    assert names(result) == ["pixel_size_angstrom"]
    found = conflict(result, "pixel_size_angstrom")
    assert found.said == {"sidecar": 1.0558814, "sidecar, in the movie's pixels": pytest.approx(in_the_movie, rel=1e-4)}
    assert f"{factor} × as many pixels a side" in found.explanation


def test_a_configured_pixel_size_that_fits_the_super_resolution_settles_it():
    sidecar = Metadata(pixel_size_angstrom=1.0558814, height_px=2046, width_px=2880)
    said = {"sidecar": sidecar, "file": Metadata(height_px=4092, width_px=5760)}
    assert reconcile(said | {"configuration": Metadata(pixel_size_angstrom=0.528)}).conflicts == ()
    assert names(reconcile(said | {"configuration": Metadata(pixel_size_angstrom=1.0558814)})) == ["pixel_size_angstrom"]


def test_a_movie_of_another_shape_than_the_sidecars_picture_is_no_super_resolution():
    sidecar = Metadata(pixel_size_angstrom=1.0, height_px=2046, width_px=2880)
    result = reconcile({"sidecar": sidecar, "file": Metadata(height_px=4092, width_px=4092)})
    assert result.values.pixel_size_angstrom == 1.0
    assert names(result) == ["height_px", "width_px"]


def test_a_file_in_super_resolution_that_gives_its_own_pixel_agrees_with_the_sidecar():
    result = reconcile(
        {
            "sidecar": Metadata(pixel_size_angstrom=1.0558814, height_px=2046, width_px=2880),
            "file": Metadata(pixel_size_angstrom=0.528, height_px=4092, width_px=5760),
        }
    )
    assert not result.conflicts


def test_a_file_in_super_resolution_that_repeats_the_binned_pixel_is_a_conflict():
    result = reconcile(
        {
            "sidecar": Metadata(pixel_size_angstrom=1.0558814, height_px=2046, width_px=2880),
            "file": Metadata(pixel_size_angstrom=1.0558814, height_px=4092, width_px=5760),
        }
    )
    found = conflict(result, "pixel_size_angstrom")
    assert result.values.pixel_size_angstrom == pytest.approx(0.52794, rel=1e-4)
    assert found.said == {"sidecar": 1.0558814, "file": 1.0558814}
    assert "1.0559 Å is 0.52794 Å in the movie" in found.explanation


def test_a_factor_of_two_between_pixel_sizes_is_explained_where_no_size_tells():
    result = reconcile({"sidecar": Metadata(pixel_size_angstrom=0.53), "file": Metadata(pixel_size_angstrom=1.06)})
    assert "factor of 2" in conflict(result, "pixel_size_angstrom").explanation


def test_a_calibrated_pixel_size_is_told_from_a_slip():
    result = reconcile({"configuration": Metadata(pixel_size_angstrom=1.045), "sidecar": Metadata(pixel_size_angstrom=1.0558)})
    assert "nominal and a calibrated" in conflict(result, "pixel_size_angstrom").explanation
    slip = reconcile({"configuration": Metadata(pixel_size_angstrom=1.45), "sidecar": Metadata(pixel_size_angstrom=1.0558)})
    assert conflict(slip, "pixel_size_angstrom").explanation == ""


def test_the_dose_per_frame_is_computed_from_the_frames_that_the_file_has():
    result = reconcile({"sidecar": Metadata(dose_e_per_angstrom2=40, frames=50), "file": Metadata(frames=40)})
    assert result.values.dose_per_frame_e_per_angstrom2 == 1.0
    assert result.sources["dose_per_frame_e_per_angstrom2"] == "derived"


def test_the_total_dose_is_computed_where_only_that_of_a_frame_is_known():
    result = reconcile({"configuration": Metadata(dose_per_frame_e_per_angstrom2=1.25), "file": Metadata(frames=40)})
    assert result.values.dose_e_per_angstrom2 == 50
    assert result.sources["dose_e_per_angstrom2"] == "derived"


def test_a_dose_per_frame_that_does_not_add_up_to_the_total_is_shown():
    sidecar = Metadata(dose_e_per_angstrom2=50, dose_per_frame_e_per_angstrom2=1.25, frames=40)
    assert reconcile({"sidecar": sidecar, "file": Metadata(frames=40)}).conflicts == ()
    result = reconcile({"sidecar": sidecar, "file": Metadata(frames=20)})
    found = conflict(result, "dose_e_per_angstrom2")
    assert found.said == {"sidecar": 50, "sidecar: 20 frames × dose per frame": 25}
    # both of one source: neither is changed
    assert (result.values.dose_e_per_angstrom2, result.values.dose_per_frame_e_per_angstrom2) == (50, 1.25)


def test_the_more_believed_dose_decides_about_the_other():
    result = reconcile(
        {
            "configuration": Metadata(dose_per_frame_e_per_angstrom2=1.0),
            "sidecar": Metadata(dose_e_per_angstrom2=60),
            "file": Metadata(frames=40),
        }
    )
    assert conflict(result, "dose_e_per_angstrom2").used == "configuration"
    assert (result.values.dose_e_per_angstrom2, result.sources["dose_e_per_angstrom2"]) == (40, "derived")
    turned = reconcile(
        {
            "configuration": Metadata(dose_e_per_angstrom2=60),
            "sidecar": Metadata(dose_per_frame_e_per_angstrom2=1.0),
            "file": Metadata(frames=40),
        }
    )
    assert (turned.values.dose_per_frame_e_per_angstrom2, turned.sources["dose_per_frame_e_per_angstrom2"]) == (1.5, "derived")


@pytest.mark.parametrize(
    ("name", "value"),
    [("voltage_kv", 3e5), ("voltage_kv", 0), ("pixel_size_angstrom", 1e-10), ("tilt_deg", 300.0), ("frames", 0), ("frames", -5)],
)
def test_an_impossible_value_is_shown_and_not_believed(name, value):
    alone = reconcile({"sidecar": Metadata(**{name: value})})
    assert getattr(alone.values, name) is None
    assert (conflict(alone, name).used, conflict(alone, name).said) == ("none", {"sidecar": value})
    possible = {"voltage_kv": 300, "pixel_size_angstrom": 1.0, "tilt_deg": 30.0, "frames": 40}[name]
    helped = reconcile({"sidecar": Metadata(**{name: value}), "file": Metadata(**{name: possible})})
    assert getattr(helped.values, name) == possible
    assert conflict(helped, name).used == "file"
    assert "not believed" in conflict(helped, name).explanation


def test_nothing_said_gives_nothing():
    for said in ({}, {"file": Metadata()}, {"sidecar": Metadata(), "configuration": Metadata()}):
        result = reconcile(said)
        assert result.values == Metadata()
        assert not result.sources and not result.conflicts


def test_every_value_in_force_has_a_source():
    said = Metadata(
        **{
            name: {"float": 1.0, "int": 3, "str": "x", "bool": True}[str(field.annotation).split(" ")[0].split("'")[-1]]
            for name, field in Metadata.model_fields.items()
        }
        | {"voltage_kv": 300}
    )
    result = reconcile({"sidecar": said})
    assert set(result.sources) == {name for name, value in result.values.model_dump().items() if value is not None}


def test_a_source_of_another_name_is_heard_last():
    result = reconcile({"database": Metadata(voltage_kv=200, frames=3), "file": Metadata(voltage_kv=300)})
    assert result.values.voltage_kv == 300
    assert result.values.frames == 3


def test_the_result_travels_as_json():
    result = reconcile({"file": Metadata(voltage_kv=120), "sidecar": Metadata(voltage_kv=300, phase_plate=True)})
    assert type(result).model_validate_json(result.model_dump_json()) == result
