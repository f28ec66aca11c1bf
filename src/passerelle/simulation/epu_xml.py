"""The XML that EPU writes: the structure and keys of real sessions of EPU 3.4 to 3.9, with our values in them."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from xml.sax.saxutils import escape

from passerelle.simulation.grid import ATLAS_METRE_PER_PX, ATLAS_PX, Grid, Square

_FEI = "http://schemas.datacontract.org/2004/07/Fei.SharedObjects"
_XSI = "http://www.w3.org/2001/XMLSchema-instance"
_XSD = "http://www.w3.org/2001/XMLSchema"
_ARRAYS = "http://schemas.microsoft.com/2003/10/Serialization/Arrays"
_DRAWING = "http://schemas.datacontract.org/2004/07/System.Drawing"
_SHARED_TYPES = "http://schemas.datacontract.org/2004/07/Fei.Types"
_COMMON_TYPES = "http://schemas.datacontract.org/2004/07/Fei.Common.Types"
_APP_TYPES = "http://schemas.datacontract.org/2004/07/Fei.Applications.Common.Types"
_OMP = "http://schemas.datacontract.org/2004/07/Fei.Applications.Common.Omp.Interface"
_MEDIA = "http://schemas.datacontract.org/2004/07/System.Windows.Media"
_EPU = "http://schemas.datacontract.org/2004/07/Applications.Epu.Persistence"
_ATLAS = "http://schemas.datacontract.org/2004/07/Applications.SciencesAppsShared.GridAtlas.Persistence"
_ATLAS_MODEL = "http://schemas.datacontract.org/2004/07/Applications.SciencesAppsShared.GridAtlas.Datamodel"
_GENERIC = "http://schemas.datacontract.org/2004/07/System.Collections.Generic"
_Z = "http://schemas.microsoft.com/2003/10/Serialization/"
VERSION = "3.4.0.5704"


@dataclass(frozen=True, slots=True)
class ImageXml:
    """What an image's XML says. Lengths in metres, voltage in volts, dose in electrons a square metre, times UTC seconds."""

    at: float
    height: int
    width: int
    pixel_size: float
    exposure_seconds: float
    applied_defocus: float
    magnification: int
    stage: tuple[float, float, float]
    beam_shift: tuple[float, float] = (0.0, 0.0)
    voltage: float = 300000.0
    dose: float | None = None
    fractions: int | None = None
    detector: str = "BM-Falcon"
    camera: str = "Falcon 3EC"
    tilt_rad: float = -0.00043
    beam_diameter: float = 8.3e-7


def image_xml(image: ImageXml) -> str:
    """Return the XML beside an image: `MicroscopeImage`."""
    custom = [
        ("Aperture[C1].Name", "string", "2000"),
        ("Aperture[C2].Name", "string", "50"),
        ("Aperture[OBJ].Name", "string", "100"),
        ("StemMagnification", "boolean", "false"),
        (f"Detectors[{image.detector}].CommercialName", "string", image.camera),
        (f"Detectors[{image.detector}].ElectronCounted", "boolean", "true"),
        ("IlluminationIntensity", "double", "0"),
        ("PhasePlateUsed", "boolean", "false"),
        ("BinaryResult.Detector", "string", image.detector),
        ("DetectorCommercialName", "string", image.camera),
        ("AppliedDefocus", "double", f"{image.applied_defocus:.10G}"),
    ]
    if image.dose is not None:
        on_camera = image.dose * image.pixel_size**2
        custom.insert(0, ("DoseOnCamera", "double", repr(on_camera)))
        custom.insert(1, ("DoseRate", "double", repr(on_camera / image.exposure_seconds)))
        custom.insert(2, ("Dose", "double", f"{image.dose:.15E}"))
    camera_input = _key_value("ElectronCountingEnabled", "boolean", "true") + _key_value("SuperResolutionFactor", "long", "1")
    if image.fractions is not None:
        camera_input += (
            "<a:KeyValueOfstringanyType><a:Key>FractionationSettings</a:Key>"
            f'<a:Value i:type="b:EquidistantFractionation" xmlns:b="{_OMP}"><b:NumberOffractions>{image.fractions}'
            "</b:NumberOffractions></a:Value></a:KeyValueOfstringanyType>"
        )
    unit = (
        f'<unit xmlns:a="{_COMMON_TYPES}"><a:_x003C_PrefixExponent_x003E_k__BackingField>1'
        "</a:_x003C_PrefixExponent_x003E_k__BackingField><a:_x003C_Symbol_x003E_k__BackingField>m"
        "</a:_x003C_Symbol_x003E_k__BackingField></unit>"
    )
    pixel = f"<numericValue>{image.pixel_size!r}</numericValue>{unit}"
    zero = f"<numericValue>0</numericValue>{unit}"
    x, y, z = image.stage
    return (
        f'<MicroscopeImage xmlns="{_FEI}" xmlns:i="{_XSI}"><name>Empty</name>'
        f"<uniqueID>{_guid(image.at, image.pixel_size)}</uniqueID>"
        f'<CustomData xmlns:a="{_ARRAYS}">{"".join(_key_value(*item) for item in custom)}</CustomData>'
        '<IntensityScale i:nil="true"/>'
        f'<ReferenceTransformation><matrix xmlns:a="{_MEDIA}"><a:_m11>{-image.pixel_size!r}</a:_m11><a:_m12>0</a:_m12><a:_m21>0'
        f"</a:_m21><a:_m22>{image.pixel_size!r}</a:_m22><a:_offsetX>0</a:_offsetX><a:_offsetY>0</a:_offsetY>"
        f"<a:_padding>0</a:_padding>"
        f"<a:_type>TRANSFORM_IS_UNKNOWN</a:_type></matrix>{unit}</ReferenceTransformation>"
        f"<SpatialScale><offset><x>{zero}</x><y>{zero}</y></offset><pixelSize><x>{pixel}</x><y>{pixel}</y></pixelSize>"
        f"</SpatialScale>"
        f"<microscopeData><acquisition><acquisitionDateTime>{_instant(image.at)}</acquisitionDateTime><analyticalDetectors/>"
        f'<camera><Binning xmlns:a="{_DRAWING}"><a:x>1</a:x><a:y>1</a:y></Binning><CameraLocation>BottomMounted</CameraLocation>'
        f'<CameraSpecificInput xmlns:a="{_ARRAYS}">{camera_input}</CameraSpecificInput>'
        f"<DarkGainCorrection>None</DarkGainCorrection>"
        f"<ExposureTime>{image.exposure_seconds:g}</ExposureTime><FixedReadoutArea>Full</FixedReadoutArea>"
        f"<Inserted>true</Inserted>"
        f"<Name>{image.detector}</Name><PreExposurePauseTime>0</PreExposurePauseTime>"
        f"<PreExposureSupported>false</PreExposureSupported>"
        f'<PreExposureTime>0</PreExposureTime><ReadoutArea xmlns:a="{_DRAWING}"><a:height>{image.height}</a:height>'
        f"<a:width>{image.width}</a:width><a:x>0</a:x><a:y>0</a:y></ReadoutArea><Shutter>PreSpecimen</Shutter></camera>"
        f"</acquisition>"
        f"<core><ApplicationSoftware>EPU</ApplicationSoftware>"
        f"<ApplicationSoftwareVersion>{VERSION}</ApplicationSoftwareVersion></core>"
        f"<gun><AccelerationVoltage>{image.voltage:.0f}</AccelerationVoltage><ExtractorVoltage>4250</ExtractorVoltage>"
        f"<GunLens>4</GunLens>"
        "<Sourcetype>FieldEmission</Sourcetype></gun><instrument><ComputerName>TITAN00000001</ComputerName>"
        "<InstrumentID>0001</InstrumentID><InstrumentModel>TITAN00000001</InstrumentModel></instrument>"
        f'<optics><BeamDiameter>{image.beam_diameter!r}</BeamDiameter><BeamShift xmlns:a="{_SHARED_TYPES}">'
        f"<a:_x>{image.beam_shift[0]!r}"
        f"</a:_x><a:_y>{image.beam_shift[1]!r}</a:_y></BeamShift><ColumnOperatingMode>TEM</ColumnOperatingMode>"
        f"<Defocus>{image.applied_defocus * 0.97:.10G}</Defocus><EFTEMOn>false</EFTEMOn>"
        f"<IlluminationMode>Parallel</IlluminationMode>"
        f'<ImageShift xmlns:a="{_SHARED_TYPES}"><a:_x>0</a:_x><a:_y>0</a:_y></ImageShift>'
        f"<ObjectiveLensMode>HM</ObjectiveLensMode>"
        "<ProbeMode>NanoProbe</ProbeMode><ProjectorMode>Imaging</ProjectorMode><SpotIndex>5</SpotIndex><TemMagnification>"
        f"<NominalMagnification>{image.magnification}</NominalMagnification></TemMagnification></optics>"
        f"<stage><Holder>Unspecified</Holder><Position><A>{image.tilt_rad!r}</A><B>0.0168</B><X>{x!r}</X><Y>{y!r}</Y>"
        f"<Z>{z!r}</Z></Position>"
        "<SampleLoader>None</SampleLoader></stage></microscopeData></MicroscopeImage>"
    )


def session_xml(name: str, grid: Grid, at: float, fractions_format: str, atlas_path: str, defocus: float) -> str:
    """Return EpuSession.dm. atlas_path: as the microscope's computer sees it, `Z:\\…\\Atlas.dm`."""
    squares = "".join(
        "<b:KeyValuePairOfintSerializedReferenceOfGridSquareXml_PsqDC3X0m6koiAE_P>"
        f'<b:key>{square.id}</b:key><b:value xmlns:c="{_APP_TYPES}">'
        f"<c:FileName>Metadata\\GridSquare_{square.id}.dm</c:FileName></b:value>"
        "</b:KeyValuePairOfintSerializedReferenceOfGridSquareXml_PsqDC3X0m6koiAE_P>"
        for square in grid.squares
    )
    areas = "".join(
        f'<b:KeyValuePairOfintDataAcquisitionAreaXmlBpEWF4JT><b:key>{area}</b:key><b:value><Id xmlns="{_APP_TYPES}">{area}</Id>'
        f'<ImageAcquisitionSettingXml><Id xmlns="{_APP_TYPES}">{setting}</Id><Defocus>'
        f'<double xmlns="{_ARRAYS}">{defocus:.6G}</double>'
        "</Defocus></ImageAcquisitionSettingXml></b:value></b:KeyValuePairOfintDataAcquisitionAreaXmlBpEWF4JT>"
        for area, setting, _, _ in grid.areas
    )
    return (
        f'<EpuSessionXml xmlns="{_EPU}" xmlns:i="{_XSI}" xmlns:z="{_Z}" z:Type="Applications.Epu.Persistence.EpuSessionXml" '
        f'z:Assembly="Applications.Epu.Persistence, Version={VERSION}, Culture=neutral, PublicKeyToken=null">'
        f'<Id xmlns="{_APP_TYPES}">{grid.atlas_id + 1}</Id><AutoloaderDescription>grid1</AutoloaderDescription>'
        "<AutoloaderSlot>1</AutoloaderSlot><ClusteringMode>ClusteringWithImageBeamShift</ClusteringMode>"
        f"<ClusteringRadius>1.2E-05</ClusteringRadius><DoseFractionsOutputFormat>{fractions_format}</DoseFractionsOutputFormat>"
        f'<ImageFileFormat>Mrc</ImageFileFormat><MicroscopeName i:nil="true"/><Name>{escape(name)}</Name><Samples>'
        f"<_items><SampleXml>"
        f'<Id xmlns="{_APP_TYPES}">{grid.atlas_id + 2}</Id><AtlasId>{escape(atlas_path)}</AtlasId>'
        f'<FilterHolesSettings><Id xmlns="{_APP_TYPES}">{grid.atlas_id + 3}</Id><HoleSize>1.8E-06</HoleSize>'
        f"<HoleSpacing>4.0857E-06</HoleSpacing><Rotation>{grid.rotation_rad!r}</Rotation></FilterHolesSettings>"
        f'<GridSquares xmlns:a="{_ARRAYS}">'
        f'<a:m_serializationArray xmlns:b="{_GENERIC}">{squares}</a:m_serializationArray></GridSquares>'
        f"<GridType>HoleyCarbon</GridType><StartDateTime>{_instant(at)}</StartDateTime><TargetAreaTemplate>"
        f'<Id xmlns="{_APP_TYPES}">{grid.atlas_id + 4}</Id><DataAcquisitionAreas xmlns:a="{_ARRAYS}"><a:m_serializationArray '
        f'xmlns:b="{_GENERIC}">{areas}</a:m_serializationArray></DataAcquisitionAreas></TargetAreaTemplate></SampleXml></_items>'
        f"<_size>1</_size></Samples><StartDateTime>{_instant(at)}</StartDateTime></EpuSessionXml>"
    )


def square_xml(grid: Grid, square: Square, image_name: str, root: str, state: str = "InProgress") -> str:
    """Return Metadata/GridSquare_<id>.dm: where each hole lies in the square's picture."""
    holes = "".join(
        f'<b:KeyValuePairOfintTargetLocationXmlBpEWF4JT><b:key>{hole.id}</b:key><b:value><Id xmlns="{_APP_TYPES}">{hole.id}</Id>'
        f"<GridSquareId>{square.id}</GridSquareId><IsNearGridBar>false</IsNearGridBar><Order>{order}</Order>"
        f'<PixelCenter xmlns:c="{_DRAWING}"><c:x>{hole.x_px:.2f}</c:x><c:y>{hole.y_px:.2f}</c:y></PixelCenter>'
        f'<PixelWidthHeight xmlns:c="{_DRAWING}"><c:height>43.3</c:height><c:width>43.3</c:width></PixelWidthHeight>'
        f"<Quality>1</Quality><Rotation>0</Rotation><Selected>{str(hole.selected).lower()}</Selected>"
        f'<StagePosition xmlns:c="{_FEI}"><c:A>0</c:A><c:B>0</c:B>'
        f"<c:X>{hole.stage_x!r}</c:X><c:Y>{hole.stage_y!r}</c:Y><c:Z>0</c:Z></StagePosition></b:value>"
        "</b:KeyValuePairOfintTargetLocationXmlBpEWF4JT>"
        for order, hole in enumerate(square.holes)
    )
    base = (
        f'<Image xmlns:a="{_APP_TYPES}"><a:BaseFileName>{image_name}</a:BaseFileName><a:FileFormat>Mrc</a:FileFormat></Image>'
        if image_name
        else '<Image i:nil="true"/>'
    )
    picture = f"{root}\\Images-Disc1\\GridSquare_{square.id}\\{image_name}.mrc"
    path = (
        f"<GridSquareImagePath>{escape(picture)}</GridSquareImagePath>" if image_name else '<GridSquareImagePath i:nil="true"/>'
    )
    return (
        f'<GridSquareXml xmlns="{_EPU}" xmlns:i="{_XSI}" xmlns:z="{_Z}" z:Type="Applications.Epu.Persistence.GridSquareXml" '
        f'z:Assembly="Applications.Epu.Persistence, Version={VERSION}, Culture=neutral, PublicKeyToken=null">'
        f'<Id xmlns="{_APP_TYPES}">{square.id}</Id>'
        f"<AtlasNodeId>{square.id}</AtlasNodeId>{path}<HoleSpacing>4.0857E-06</HoleSpacing>{base}"
        f"<ImageFolderName>Images-Disc1</ImageFolderName>"
        f"<Order>{grid.chosen.index(square.id) if square.id in grid.chosen else -1}</Order>"
        f'<Position xmlns:a="{_FEI}"><a:A>0</a:A><a:B>0</a:B><a:X>{square.stage_x!r}</a:X><a:Y>{square.stage_y!r}</a:Y>'
        f"<a:Z>9E-05</a:Z>"
        f"</Position><Rotation>{grid.rotation_rad!r}</Rotation><Selected>{str(bool(square.holes)).lower()}</Selected>"
        f'<State>{state if square.holes else "None"}</State><TargetLocations><Id xmlns="{_APP_TYPES}">{square.id + 1}</Id>'
        f'<GridSquareId>{square.id}</GridSquareId><TargetLocationsEfficient xmlns:a="{_ARRAYS}"><a:m_serializationArray '
        f'xmlns:b="{_GENERIC}">{holes}</a:m_serializationArray></TargetLocationsEfficient></TargetLocations>'
        "<Unusable>false</Unusable></GridSquareXml>"
    )


def atlas_xml(grid: Grid, image_name: str, at: float, folder: str) -> str:
    """Return Atlas.dm: one tile, and on it every square (node) with its place in the atlas picture."""
    size = 6.5e-5 / ATLAS_METRE_PER_PX
    nodes = "".join(
        f'<KeyValuePairOfintNodeXml30oatNZW xmlns="{_GENERIC}"><key>{square.id}</key><value xmlns:b="{_ATLAS}">'
        f'<Id xmlns="{_APP_TYPES}">{square.id}</Id><b:Category>{int(square.ice * 4.99)}</b:Category>'
        f'<b:PositionOnTheAtlas xmlns:c="{_ATLAS_MODEL}"><c:Center xmlns:d="{_DRAWING}"><d:x>{square.x_px:.3f}</d:x>'
        f"<d:y>{square.y_px:.3f}"
        f'</d:y></c:Center><c:Physical xmlns:d="{_DRAWING}"><d:height>6.5E-05</d:height><d:width>6.5E-05</d:width>'
        f"<d:x>{square.stage_x!r}"
        f"</d:x><d:y>{square.stage_y!r}</d:y></c:Physical><c:Quality>0.9</c:Quality>"
        f"<c:Rotation>{grid.rotation_rad!r}</c:Rotation>"
        f'<c:Shear>0</c:Shear><c:Size xmlns:d="{_DRAWING}"><d:height>{size:.3f}</d:height><d:width>{size:.3f}</d:width></c:Size>'
        f'</b:PositionOnTheAtlas><b:StagePosition xmlns:c="{_FEI}"><c:A>0</c:A><c:B>0</c:B><c:X>{square.stage_x!r}</c:X>'
        f"<c:Y>{square.stage_y!r}</c:Y><c:Z>0</c:Z></b:StagePosition></value></KeyValuePairOfintNodeXml30oatNZW>"
        for square in grid.squares
    )
    return (
        f'<AtlasSessionXml xmlns="{_ATLAS}" xmlns:i="{_XSI}" xmlns:z="{_Z}" z:Type="'
        "Applications.SciencesAppsShared.GridAtlas.Persistence"
        '.AtlasSessionXml" z:Assembly="Applications.SciencesAppsShared.GridAtlas.Persistence, Version=1.31.0.5704, '
        "Culture=neutral, "
        f'PublicKeyToken=null"><Id xmlns="{_APP_TYPES}">{grid.atlas_id}</Id><Atlas><Id xmlns="{_APP_TYPES}">1</Id>'
        f'<AcquisitionDateTime>{_instant(at)}</AcquisitionDateTime><AtlasImageReference xmlns:a="{_APP_TYPES}">'
        f"<a:BaseFileName>{image_name}</a:BaseFileName><a:FileFormat>Mrc</a:FileFormat></AtlasImageReference>"
        f"<TilesEfficient><_items>"
        f'<TileXml><Id xmlns="{_APP_TYPES}">{grid.atlas_id + 10}</Id><AtlasPixelPosition xmlns:a="{_DRAWING}">'
        f"<a:height>{ATLAS_PX}"
        f"</a:height><a:width>{ATLAS_PX}</a:width><a:x>0</a:x><a:y>0</a:y></AtlasPixelPosition><Nodes>"
        f'<KeyValuePairs xmlns="">{nodes}</KeyValuePairs>'
        f"</Nodes></TileXml></_items><_size>1</_size></TilesEfficient></Atlas>"
        f"<Description>Atlas for autoloader slot 1</Description>"
        f"<ImageFileFormat>Mrc</ImageFileFormat><Name>Atlas</Name><StartDateTime>{_instant(at)}</StartDateTime>"
        f"<StorageFolder>{escape(folder)}</StorageFolder></AtlasSessionXml>"
    )


def _key_value(key: str, kind: str, value: str) -> str:
    return (
        f"<a:KeyValueOfstringanyType><a:Key>{escape(key)}</a:Key>"
        f'<a:Value i:type="b:{kind}" xmlns:b="{_XSD}">{escape(value)}</a:Value>'
        "</a:KeyValueOfstringanyType>"
    )


def _instant(at: float) -> str:
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(at))}.{int(at % 1 * 1e7):07d}+00:00"


def _guid(at: float, salt: float) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{at!r} {salt!r}"))
