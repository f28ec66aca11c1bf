"""Values of EPU's XML: those of real files as a person reads them there, and of small ones made here."""

import json
import math
from pathlib import PurePosixPath

import pytest

from passerelle.acquisition import PROGRAMS, Metadata
from passerelle.core.errors import BadFile

EPU = PROGRAMS["epu"]
EXPOSURE = PurePosixPath("s/Images-Disc1/GridSquare_7/Data/FoilHole_8_Data_1_2_20250101_120000.xml")
SHARED = 'xmlns="http://schemas.datacontract.org/2004/07/Fei.SharedObjects"'


def image(custom: str = "", camera: str = "", data: str = "", scale: str = "") -> bytes:
    return (
        f'<?xml version="1.0" encoding="utf-8"?><MicroscopeImage {SHARED} xmlns:i="http://www.w3.org/2001/XMLSchema-instance" '
        'xmlns:a="http://schemas.microsoft.com/2003/10/Serialization/Arrays">'
        f"<CustomData>{custom}</CustomData><SpatialScale>{scale}</SpatialScale>"
        f"<microscopeData><acquisition><camera>{camera}</camera></acquisition>{data}</microscopeData></MicroscopeImage>"
    ).encode()


def pair(key: str, value: str) -> str:
    return f"<a:KeyValueOfstringanyType><a:Key>{key}</a:Key><a:Value>{value}</a:Value></a:KeyValueOfstringanyType>"


def read(content: bytes) -> Metadata:
    return EPU.read_sidecar(EXPOSURE, content)


def test_an_exposure_of_epu_3_4_says_what_a_person_reads_in_it(real_data):
    path = PurePosixPath(
        "epu/emharvest/_repo_data/Supervisor_20230919_140141_84_bi23047-106_grid1/Images-Disc1/GridSquare_19493759/Data/"
        "FoilHole_19513699_Data_19508496_19508498_20230919_154056.xml"
    )
    metadata = EPU.read_sidecar(path, (real_data / path).read_bytes())
    assert metadata.model_dump(exclude_none=True) == pytest.approx(
        {
            "voltage_kv": 300.0,
            "pixel_size_angstrom": 1.0558814239614023,
            "dose_e_per_angstrom2": 39.923136094518787,
            "dose_per_frame_e_per_angstrom2": 39.923136094518787 / 50,
            "exposure_seconds": 0.75,
            "frames": 50,
            "height_px": 2046,
            "width_px": 2880,
            "super_resolution": True,
            "applied_defocus_angstrom": 20000.0,
            "phase_plate": False,
            "tilt_deg": -0.00051001212656003416 * 180 / math.pi,
            "stage_x_um": 267.98730680000003,
            "stage_y_um": -420.245736,
            "stage_z_um": 76.060526099200039,
            "beam_shift_x": -0.094492264091968536,
            "beam_shift_y": -0.011722974479198456,
            "magnification": 165000.0,
            "camera": "BioQuantum K3",
            "microscope": "TITAN52336320",
            "program": "EPU 3.4.0.5704",
            "grid_square": "19493759",
            "foil_hole": "19513699",
            "acquired_at": 1695134460.649784,  # 2023-09-19T15:41:00.6497848+01:00
        }
    )


def test_an_exposure_of_epu_3_9_says_what_a_person_reads_in_it(real_data):
    path = PurePosixPath(
        "epu/smartem_decisions/example/Images-Disc1/GridSquare_8999138/Data/FoilHole_9015883_Data_9017354_6_20250108_154918.xml"
    )
    metadata = EPU.read_sidecar(path, (real_data / path).read_bytes())
    assert metadata.dose_e_per_angstrom2 == pytest.approx(14.557753315079335)
    # the dose on the camera, 16.23 e/px, is the same dose on pixels of 1.0559 Å
    assert metadata.dose_e_per_angstrom2 * metadata.pixel_size_angstrom**2 == pytest.approx(16.230229269531858, rel=1e-6)
    assert (metadata.frames, metadata.exposure_seconds, metadata.applied_defocus_angstrom) == (50, 0.89, 27000.0)
    assert (metadata.grid_square, metadata.foil_hole, metadata.program) == ("8999138", "9015883", "EPU 3.9.1.8206")
    assert (metadata.stage_x_um, metadata.stage_y_um) == pytest.approx((-97.1530013, -152.722896))
    assert metadata.acquired_at == pytest.approx(1736351361.10497)  # 2025-01-08T15:49:21.1049704+00:00


def test_what_epu_does_not_say_stays_unsaid():
    metadata = read(image())
    assert metadata.model_dump(exclude_none=True) == {"grid_square": "7", "foil_hole": "8"}


@pytest.mark.parametrize(("metre", "angstrom"), [("-2E-06", 20000.0), ("1.5E-06", -15000.0), ("-0", 0.0), ("0", 0.0)])
def test_underfocus_is_positive_here(metre, angstrom):
    defocus = read(image(custom=pair("AppliedDefocus", metre))).applied_defocus_angstrom
    assert defocus == pytest.approx(angstrom)
    assert math.copysign(1, defocus) == math.copysign(1, angstrom)


@pytest.mark.parametrize(
    ("element", "frames"),
    [
        ("<b:NumberOffractions>41</b:NumberOffractions>", 41),
        ("<b:DoseFractions><b:DoseFractionDefinition/><b:DoseFractionDefinition/></b:DoseFractions>", 2),
        ("<b:NumberOffractions>0</b:NumberOffractions>", None),
        ("<b:NumberOffractions>2.5</b:NumberOffractions>", None),
        ("", None),
    ],
)
def test_fractions_are_counted_as_each_camera_lists_them(element, frames):
    value = pair("FractionationSettings", element).replace("<a:Value>", '<a:Value xmlns:b="urn:b">')
    assert read(image(camera=f"<CameraSpecificInput>{value}</CameraSpecificInput>")).frames == frames


def test_zero_means_unknown_where_zero_cannot_be():
    metadata = read(
        image(
            custom=pair("Dose", "0"),
            camera="<ExposureTime>0</ExposureTime><ReadoutArea><height>0</height><width>0</width></ReadoutArea>",
            data="<gun><AccelerationVoltage>0</AccelerationVoltage></gun>",
        )
    )
    assert (metadata.dose_e_per_angstrom2, metadata.exposure_seconds, metadata.height_px, metadata.voltage_kv) == (None,) * 4


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2025-01-08T15:49:21Z", 1736351361.0),
        ("2025-01-08T16:49:21.5+01:00", 1736351361.5),
        ("2025-01-08T15:49:21.1049704", 1736351361.104970),  # no zone: the microscope's is taken, here UTC
        ("0001-01-01T00:00:00", None),
        ("0001-01-01T00:00:00+14:00", None),
    ],
)
def test_instants_are_utc_seconds(text, seconds):
    content = image().replace(b"<acquisition>", f"<acquisition><acquisitionDateTime>{text}</acquisitionDateTime>".encode())
    assert read(content).acquired_at == (None if seconds is None else pytest.approx(seconds))


def test_the_camera_has_its_commercial_name_else_its_own():
    name = "<Name>BM-Falcon</Name>"
    assert read(image(camera=name)).camera == "BM-Falcon"
    assert read(image(custom=pair("Detectors[BM-Falcon].CommercialName", "Falcon 4i"), camera=name)).camera == "Falcon 4i"
    assert read(image(custom=pair("DetectorCommercialName", "Falcon 4"), camera=name)).camera == "Falcon 4"


def test_a_pixel_size_in_another_unit_is_refused():
    def scale(unit):
        symbol = f"<unit><_x003C_Symbol_x003E_k__BackingField>{unit}</_x003C_Symbol_x003E_k__BackingField></unit>"
        return f"<pixelSize><x><numericValue>1E-10</numericValue>{symbol}</x></pixelSize>"

    assert read(image(scale=scale("m"))).pixel_size_angstrom == pytest.approx(1.0)
    with pytest.raises(BadFile, match="should be in m, found 'nm'"):
        read(image(scale=scale("nm")))


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (image(custom=pair("Dose", "many")), "Dose"),
        (image(data="<gun><AccelerationVoltage>300 kV</AccelerationVoltage></gun>"), "AccelerationVoltage"),
        (image(data="<stage><Position><X>left</X></Position></stage>"), "Position/X"),
        (image(camera="<ExposureTime>1,5</ExposureTime>"), "ExposureTime"),
    ],
)
def test_a_value_that_is_no_number_is_refused_by_name(content, named):
    with pytest.raises(BadFile, match=named) as caught:
        read(content)
    assert EXPOSURE.name in str(caught.value)


@pytest.mark.parametrize("value", ["NaN", "INF", "-inf", "1e999", "1e308"])
def test_values_stay_finite_and_travel_as_json(value):
    metadata = read(image(custom=pair("Dose", value) + pair("AppliedDefocus", value), scale=""))
    assert metadata.applied_defocus_angstrom is None
    assert Metadata.model_validate(json.loads(metadata.model_dump_json())) == metadata


def test_namespaces_and_their_prefixes_do_not_matter():
    plain = image(custom=pair("AppliedDefocus", "-1E-06"))
    other = (
        plain.replace(b"xmlns:a=", b"xmlns:q=").replace(b"<a:", b"<q:").replace(b"</a:", b"</q:").replace(SHARED.encode(), b"")
    )
    assert read(other) == read(plain)
