"""Mutants of sidecar files: one to five changes each, of bytes or of words, from a seed that names them for ever."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

SEED_XML = (
    b'<?xml version="1.0" encoding="utf-8"?>\r\n<MicroscopeImage '
    b'xmlns="http://schemas.datacontract.org/2004/07/Fei.SharedObjects" xmlns:i="http://www.w3.org/2001/XMLSchema-instance">'
    b'<name>Empty</name><CustomData xmlns:a="urn:arrays">'
    b"<a:KeyValueOfstringanyType><a:Key>Dose</a:Key><a:Value>3.9923136094518787E+21</a:Value></a:KeyValueOfstringanyType>"
    b"<a:KeyValueOfstringanyType><a:Key>AppliedDefocus</a:Key><a:Value>-2E-06</a:Value></a:KeyValueOfstringanyType>"
    b"<a:KeyValueOfstringanyType><a:Key>PhasePlateUsed</a:Key><a:Value>false</a:Value></a:KeyValueOfstringanyType></CustomData>"
    b"<SpatialScale><pixelSize><x><numericValue>1.0558E-10</numericValue></x></pixelSize></SpatialScale><microscopeData>"
    b"<acquisition><acquisitionDateTime>2023-09-19T15:41:00.6497848+01:00</acquisitionDateTime><camera><Binning><x>2</x></Binning>"
    b"<CameraSpecificInput><a:KeyValueOfstringanyType xmlns:a='urn:arrays'><a:Key>FractionationSettings</a:Key><a:Value>"
    b"<NumberOffractions>50</NumberOffractions></a:Value></a:KeyValueOfstringanyType></CameraSpecificInput>"
    b"<ExposureTime>0.75</ExposureTime><Name>EF-CCD</Name><ReadoutArea><height>2046</height><width>2880</width></ReadoutArea>"
    b"</camera></acquisition><gun><AccelerationVoltage>300000</AccelerationVoltage></gun><optics><BeamShift><_x>-0.09</_x>"
    b"<_y>-0.01</_y></BeamShift></optics><stage><Position><A>-0.0005</A><X>0.000268</X><Y>-0.00042</Y><Z>7.6E-05</Z></Position>"
    b"</stage></microscopeData></MicroscopeImage>"
)
SEED_MDOC = (
    b"T = SerialEM: Krios G4 Camera -> 0:Ceta 1:GIF-K3         08-Oct-21  07:38:24    \r\nVoltage = 300\r\n\r\n[FrameSet = 0]\r\n"
    b"TiltAngle = 0.01\r\nStagePosition = 1.5 -2.5\r\nStageZ = 3\r\nPixelSpacing = 0.83\r\nExposureDose = 50\r\n"
    b"ExposureTime = 2\r\nCameraIndex = 1\r\nTargetDefocus = -1.2\r\nNumSubFrames = 40\r\nFrameDosesAndNumber = 1.25 40\r\n"
    b"ImageShift = 0.1 0.2\r\n"
    b"SubFramePath = X:\\s\\frames\\x.tif\r\nGainReference = SuperRef_x.dm4\r\nDateTime = 08-Oct-21  07:39:08\r\n"
)
SEED_SQUARE = (
    b'<GridSquareXml xmlns="urn:epu" xmlns:z="urn:z" z:Id="1"><Id>7</Id><AtlasNodeId>7</AtlasNodeId><Image z:Id="5">'
    b"<BaseFileName>GridSquare_20240406_102420</BaseFileName></Image><Position><X>-4.9E-05</X><Y>-0.00056</Y></Position><TargetLocations>"
    b"<TargetLocationsEfficient><m_serializationArray><KeyValuePairOfintTargetLocationXmlBpEWF4JT><key>8</key><value><Id>8</Id>"
    b"<IsNearGridBar>false</IsNearGridBar><ParticleAcquisitions><KeyValuePairs><KeyValuePairOfintParticleAcquisitionDataXmlBpEWF>"
    b"<key>9</key><value><Id>9</Id><Image><BaseFileName>FoilHole_8_Data_1_2_20240406_102527</BaseFileName></Image></value>"
    b"</KeyValuePairOfintParticleAcquisitionDataXmlBpEWF></KeyValuePairs></ParticleAcquisitions><PixelCenter><x>1396</x><y>972</y>"
    b"</PixelCenter><PixelWidthHeight><width>51.3</width></PixelWidthHeight><Selected>true</Selected><StagePosition>"
    b"<X>-4.2E-05</X><Y>-0.00055</Y></StagePosition></value></KeyValuePairOfintTargetLocationXmlBpEWF4JT></m_serializationArray>"
    b"</TargetLocationsEfficient></TargetLocations></GridSquareXml>"
)
SEED_SESSION = (
    b'<EpuSessionXml xmlns:z="urn:z"><AutoloaderSlot>1</AutoloaderSlot><DoseFractionsOutputFormat z:Id="5">Eer'
    b'</DoseFractionsOutputFormat><Name z:Id="6">grid1</Name><Samples><_items><SampleXml><AtlasId z:Ref="5"/><GridSquares>'
    b"<m_serializationArray><KeyValuePairOfintSerializedReferenceOfGridSquareXml_P><key>7</key><value><FileName>Metadata\\"
    b"GridSquare_7.dm</FileName></value></KeyValuePairOfintSerializedReferenceOfGridSquareXml_P></m_serializationArray>"
    b"</GridSquares></SampleXml></_items></Samples><StartDateTime>2023-09-19T13:03:40.0230721Z</StartDateTime></EpuSessionXml>"
)
SEED_ATLAS = (
    b"<AtlasSessionXml><Atlas><AtlasImageReference><BaseFileName>Atlas_1</BaseFileName></AtlasImageReference><TilesEfficient>"
    b"<_items><TileXml><AtlasPixelPosition><height>592</height><width>833</width><x>1584</x><y>1687</y></AtlasPixelPosition>"
    b"<Nodes><KeyValuePairs><KeyValuePairOfintNodeXml30oatNZW><key>7</key><value><Id>7</Id><Category>2</Category>"
    b"<PositionOnTheAtlas><Center><x>1695.7</x><y>1730.6</y></Center><Rotation>-0.6</Rotation><Size><height>77</height>"
    b"<width>76</width></Size></PositionOnTheAtlas><StagePosition><X>0.00013</X><Y>-0.00013</Y></StagePosition></value>"
    b"</KeyValuePairOfintNodeXml30oatNZW></KeyValuePairs></Nodes></TileXml></_items></TilesEfficient></Atlas></AtlasSessionXml>"
)
_WORDS = (
    b"<", b">", b"</", b"/>", b"&", b"&#0;", b"&#x110000;", b"&lol;", b"]]>", b"<![CDATA[", b"<!--", b"<?xml?>", b"<!DOCTYPE a>",
    b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\xc3\x28", b"\xed\xa0\x80", b"\r", b"\n", b"=", b"[", b"]", b" = ",
    b"[ZValue = 0]\n", b"[T = x]\n",
    b"NaN", b"INF", b"-1", b"0", b"1e308", b"1e-400", b"9" * 400, b"1,5", b"0x10", "٣".encode(), b"true", b"2023-13-45T99:99:99",
    b"xmlns:a='urn:x'", b"i:nil='true'", b"z:Ref='1'",
)  # fmt: skip
_VALUES = (
    b"", b"0", b"-0", b"-1", b"1e308", b"1e-320", b"-1e39", b"NaN", b"INF", b"-inf", b"9" * 400, b"1,5", b"0x10",
    "٣".encode(), b"true", b"TRUE", b"a word", b"2.5", b"1 2 3", b"50 1", b"1e9 1e9",
    b"0001-01-01T00:00:00", b"9999-12-31T23:59:59-14:00",
    b"2023-13-45",
    b"31-Dec-99  23:59:59", b"00-Xyz-00  00:00:00", b"\\\\a\\b/..", b"x" * 5000, "🧊".encode(), b"1" + b"0" * 20,
)  # fmt: skip
_LEAF = re.compile(rb"<([A-Za-z_:][^<>/ ]*)[^<>]*>([^<>]*)</[^<>]*>")
_LINE = re.compile(rb"([A-Za-z]+) = ([^\r\n\]]*)")


def mutate_value(random_source: random.Random, content: bytes) -> bytes:
    """Return `content`, still well-formed, with one to three values replaced, elements or lines dropped or doubled."""
    for _ in range(random_source.randint(1, 3)):
        found = list((_LEAF if b"</" in content else _LINE).finditer(content))
        if not found:
            break
        match = random_source.choice(found)
        whole, begin, end = match[0], match.start(), match.end()
        value_begin, value_end = match.span(2)
        match random_source.randrange(4):
            case 0:
                content = content[:begin] + whole + (b"" if b"</" in content else b"\r\n") + whole + content[end:]
            case 1 if b"</" in content:
                content = content[:begin] + content[end:]
            case _:
                content = content[:value_begin] + random_source.choice(_VALUES) + content[value_end:]
    return content


def mutate(random_source: random.Random, content: bytes) -> bytes:
    """Return `content` with one to five changes."""
    data = bytearray(content)
    for _ in range(random_source.randint(1, 5)):
        if not data:
            break
        at = random_source.randrange(len(data))
        length = min(random_source.choice((1, 1, 2, 8, 40, 400)), len(data) - at)
        match random_source.randrange(8):
            case 0:
                data[at] ^= 1 << random_source.randrange(8)
            case 1:
                data[at] = random_source.randrange(256)
            case 2:
                del data[at : at + length]
            case 3:
                del data[at:]
            case 4:
                data[at:at] = data[at : at + length] * random_source.choice((1, 2, 50))
            case 5:
                data[at:at] = random_source.choice(_WORDS)
            case 6:
                data[at : at + length] = random_source.choice(_WORDS)
            case _:
                other = random_source.randrange(len(data))
                piece = bytes(data[at : at + length])
                data[other : other + length] = piece
    return bytes(data)


def mutants(seeds: list[bytes], count: int, seed: int) -> Iterator[tuple[int, bytes]]:
    """Yield `count` mutants, each with a number that brings it back."""
    for number in range(seed, seed + count):
        random_source = random.Random(number)
        change = mutate if number % 2 else mutate_value
        yield number, change(random_source, random_source.choice(seeds))
