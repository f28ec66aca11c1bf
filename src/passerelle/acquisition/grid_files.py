"""Read EPU's files about a grid: Atlas.dm, EpuSession.dm, GridSquare_<id>.dm, and where a picture lies. Bytes in, values out.

The .dm files are XML of .NET's DataContractSerializer: dictionaries are lists of key and value, and an object or string that came
before is only referred to (z:Ref). So the records that matter are picked out of the stream by their tags.
"""

from __future__ import annotations

import math
import re
from pathlib import PurePosixPath

from passerelle.acquisition.epu import read_microscope_image
from passerelle.acquisition.grid import (
    Atlas,
    AtlasSquare,
    EpuSession,
    FoilHole,
    GridSquare,
    HoleExposure,
    PictureGeometry,
)
from passerelle.acquisition.instants import iso_instant
from passerelle.acquisition.naming import last_part
from passerelle.acquisition.xml_reader import Element, read_xml
from passerelle.core.errors import BadFile

_MICROMETRE_PER_METRE = 1e6
_NODE = "KeyValuePairOfintNodeXml"
_HOLE = "KeyValuePairOfintTargetLocationXml"
_EXPOSURE = "KeyValuePairOfintParticleAcquisitionDataXml"
_SQUARE_REFERENCE = "KeyValuePairOfintSerializedReferenceOfGridSquareXml"
_SQUARE_FILE = re.compile(r"GridSquare_(\d+)\.dm", re.IGNORECASE | re.ASCII)
MAX_RECORDS = 50_000


def read_atlas(path: PurePosixPath, content: bytes) -> Atlas:
    """Read Atlas.dm.

    Raises:
        IncompleteFile, BadFile: as `xml_reader.read_xml`.
    """
    found: dict[str, AtlasSquare] = {}
    extent = [0.0, 0.0]
    picture: list[str | None] = []

    def handle(element: Element) -> None:
        if element.tag == "AtlasImageReference":
            picture.append(element.string("BaseFileName"))
        elif element.tag == "AtlasPixelPosition":
            for axis, (start, length) in enumerate((("x", "width"), ("y", "height"))):
                extent[axis] = max(extent[axis], (element.number(start) or 0.0) + (element.number(length) or 0.0))
        else:
            square = _atlas_square(element)
            if square is not None:
                found.setdefault(square.id, square)
            _bound(len(found))

    tags = {"AtlasImageReference", "AtlasPixelPosition"}
    read_xml(
        path,
        content,
        root="AtlasSessionXml",
        keep=lambda tag, _depth: tag in tags or tag.startswith(_NODE),
        handle=handle,
    )
    return Atlas(next(iter(picture), None), extent[0] or None, extent[1] or None, tuple(found.values()))


def read_epu_session(path: PurePosixPath, content: bytes) -> EpuSession:
    """Read EpuSession.dm.

    Raises:
        IncompleteFile, BadFile: as `xml_reader.read_xml`.
    """
    squares: dict[str, None] = {}
    said: dict[str, str | None] = {}
    texts: dict[str, str] = {}  # the serializer writes a string once and then refers to it

    def handle(element: Element) -> None:
        if element.tag.startswith(_SQUARE_REFERENCE):
            name = element.string("value", "FileName") or ""
            match = _SQUARE_FILE.fullmatch(last_part(name))
            key = match[1] if match else element.string("key")
            if key:
                squares.setdefault(key)
            _bound(len(squares))
        elif element.tag not in said:
            text = element.string() or texts.get(element.reference or "")
            if element.identity and text:
                texts[element.identity] = text
            said[element.tag] = text

    own = {"Name", "StartDateTime", "DoseFractionsOutputFormat", "AutoloaderSlot"}
    read_xml(
        path,
        content,
        root="EpuSessionXml",
        keep=lambda tag, depth: (depth == 1 and tag in own) or tag == "AtlasId" or tag.startswith(_SQUARE_REFERENCE),
        handle=handle,
    )
    atlas, slot = said.get("AtlasId"), said.get("AutoloaderSlot")
    try:
        started_at = iso_instant(said.get("StartDateTime"))
    except (ValueError, OverflowError) as error:
        raise BadFile(f"StartDateTime: {error}", path=path) from error
    return EpuSession(
        name=said.get("Name"),
        atlas=atlas.replace("\\", "/") if atlas else None,
        slot=int(slot) if slot and slot.isascii() and slot.isdigit() and len(slot) < 6 else None,
        started_at=started_at,
        fractions_format=said.get("DoseFractionsOutputFormat"),
        squares=tuple(squares),
    )


def read_grid_square(path: PurePosixPath, content: bytes) -> GridSquare:
    """Read GridSquare_<id>.dm.

    Raises:
        IncompleteFile, BadFile: as `xml_reader.read_xml`.
    """
    holes: dict[str, FoilHole] = {}
    parts: dict[str, Element] = {}
    stage: list[tuple[float | None, float | None]] = []

    def handle(element: Element) -> None:
        if element.tag.startswith(_HOLE):
            hole = _foil_hole(element)
            if hole is not None:
                holes.setdefault(hole.id, hole)
            _bound(len(holes))
        elif element.tag == "Position":
            stage.append((_micrometre(element, "X"), _micrometre(element, "Y")))
        else:
            parts.setdefault(element.tag, element)

    own_tags = {"Id", "AtlasNodeId", "Image", "Position"}
    read_xml(
        path,
        content,
        root="GridSquareXml",
        keep=lambda tag, depth: (depth == 1 and tag in own_tags) or tag.startswith(_HOLE),
        handle=handle,
    )
    own, node, picture = (parts.get(tag) for tag in ("Id", "AtlasNodeId", "Image"))
    identity = (own.string() if own else None) or _id_in_name(path)
    if identity is None:
        raise BadFile("should give the Id of its grid square, found none.", path=path)
    return GridSquare(
        id=identity,
        atlas_square=node.string() if node else None,
        picture=picture.string("BaseFileName") if picture else None,
        stage_x_um=stage[0][0] if stage else None,
        stage_y_um=stage[0][1] if stage else None,
        holes=tuple(holes.values()),
    )


def read_picture_geometry(path: PurePosixPath, content: bytes) -> PictureGeometry:
    """Read where a picture lies from its XML (GridSquare_*.xml, FoilHole_*.xml, Atlas_*.xml, an exposure's).

    Raises:
        IncompleteFile: the XML ends too early.
        BadFile: not a MicroscopeImage, or one that does not say where it lies.
    """
    image = read_microscope_image(path, content)
    camera, stage = ("microscopeData", "acquisition", "camera"), ("microscopeData", "stage", "Position")
    try:
        width = _within(image, 0, 1e6, *camera, "ReadoutArea", "width")
        height = _within(image, 0, 1e6, *camera, "ReadoutArea", "height")
        pixel = _within(image, 0, 1e-2, "SpatialScale", "pixelSize", "x", "numericValue")
        x, y = (_within(image, -1, 1, *stage, axis) for axis in ("X", "Y"))
        binning = _within(image, 0, 1e3, *camera, "Binning", "x") if image.child(*camera, "Binning") else 1.0
        matrix = image.child("ReferenceTransformation", "matrix")
        # without it: the usual one, the stage moving against the picture along both axes
        m11, m12, m21, m22 = (
            (_within(matrix, -1, 1, f"_m{place}") for place in ("11", "12", "21", "22"))
            if matrix
            else (pixel / binning, 0.0, 0.0, -pixel / binning)
        )
    except ValueError as error:
        raise BadFile(f"does not say where its picture lies: {error}", path=path) from error
    # the matrix counts unbinned pixels; the stage moves against the picture
    scale = -binning * _MICROMETRE_PER_METRE
    return PictureGeometry(
        width_px=width,
        height_px=height,
        pixel_size_um=pixel * _MICROMETRE_PER_METRE,
        stage_x_um=x * _MICROMETRE_PER_METRE,
        stage_y_um=y * _MICROMETRE_PER_METRE,
        step_x_um=(m11 * scale, m12 * scale),
        step_y_um=(m21 * scale, m22 * scale),
    )


def _within(element: Element, low: float, high: float, *tags: str) -> float:
    """Return the number at a path. Raises ValueError where there is none, or one that cannot be."""
    value = element.number(*tags)
    if value is None or not low < value < high:
        found = "nothing" if value is None else f"{value:g}"
        raise ValueError(f"{'/'.join(tags)} should be between {low:g} and {high:g}, found {found}.")
    return value


def _atlas_square(pair: Element) -> AtlasSquare | None:
    """Return a node; None for one that only refers to an earlier one, or has no place in the atlas."""
    value = pair.child("value")
    identity = (value.string("Id") if value else None) or pair.string("key")
    position = value.child("PositionOnTheAtlas") if value else None
    if value is None or position is None or identity is None:
        return None
    x, y = position.number("Center", "x"), position.number("Center", "y")
    if x is None or y is None:
        return None
    rotation, category = position.number("Rotation"), value.number("Category")
    stage = value.child("StagePosition")
    return AtlasSquare(
        id=identity[:40],
        x_px=x,
        y_px=y,
        width_px=position.number("Size", "width") or 0.0,
        height_px=position.number("Size", "height") or 0.0,
        rotation_deg=math.degrees(rotation) if rotation is not None else None,
        stage_x_um=_micrometre(stage, "X") if stage else None,
        stage_y_um=_micrometre(stage, "Y") if stage else None,
        category=int(category) if category is not None and abs(category) < 1e6 else None,
    )


def _foil_hole(pair: Element) -> FoilHole | None:
    """Return a foil hole; None for one that only refers to an earlier one, or has no place in the square's picture."""
    value = pair.child("value")
    identity = (value.string("Id") if value else None) or pair.string("key")
    if value is None or identity is None:
        return None
    x, y = value.number("PixelCenter", "x"), value.number("PixelCenter", "y")
    if x is None or y is None:
        return None
    stage = value.child("CorrectedStagePosition") if value.string("IsPositionCorrected") == "true" else None
    stage = stage or value.child("StagePosition")
    exposures = value.child("ParticleAcquisitions")
    found = (exposure.child("value") for exposure in _pairs(exposures, _EXPOSURE)) if exposures else ()
    return FoilHole(
        id=identity[:40],
        x_px=x,
        y_px=y,
        diameter_px=value.number("PixelWidthHeight", "width"),
        stage_x_um=_micrometre(stage, "X") if stage else None,
        stage_y_um=_micrometre(stage, "Y") if stage else None,
        selected=value.string("Selected") == "true",
        near_grid_bar=value.string("IsNearGridBar") == "true",
        exposures=tuple(
            HoleExposure(exposure.string("Id") or "", exposure.string("Image", "BaseFileName"))
            for exposure in found
            if exposure and exposure.child("Id")
        ),
    )


def _pairs(element: Element, prefix: str) -> list[Element]:
    """Return the key-value pairs of a dictionary, which lie one level down (ParticleAcquisitions) or directly in it."""
    inner = element.child("KeyValuePairs") or element.child("m_serializationArray") or element
    return [child for child in inner.children if child.tag.startswith(prefix)]


def _micrometre(position: Element, axis: str) -> float | None:
    value = position.number(axis)
    return None if value is None or abs(value) > 1.0 else value * _MICROMETRE_PER_METRE


def _bound(records: int) -> None:
    if records > MAX_RECORDS:
        raise ValueError(f"has more than {MAX_RECORDS} records of one kind.")


def _id_in_name(path: PurePosixPath) -> str | None:
    match = _SQUARE_FILE.fullmatch(path.name)
    return match[1] if match else None
