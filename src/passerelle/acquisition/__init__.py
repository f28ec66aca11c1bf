"""What microscope programs write: path -> role, sidecar -> values. Pure knowledge of names and files."""

from passerelle.acquisition.grid import (
    Atlas,
    EpuSession,
    GridMap,
    GridSquare,
    HoleOnMap,
    PictureGeometry,
    SquareOnMap,
    StageMark,
    is_atlas_of,
    lay_out,
)
from passerelle.acquisition.grid_files import read_atlas, read_epu_session, read_grid_square, read_picture_geometry
from passerelle.acquisition.metadata import Metadata, MetadataConflict, Reconciled
from passerelle.acquisition.program import AcquisitionProgram, Place, Role
from passerelle.acquisition.programs import PROGRAMS, identify, program_at
from passerelle.acquisition.reconcile import BELIEF, TOLERANCES, Tolerance, reconcile

__all__ = [
    "BELIEF",
    "PROGRAMS",
    "TOLERANCES",
    "AcquisitionProgram",
    "Atlas",
    "EpuSession",
    "GridMap",
    "GridSquare",
    "HoleOnMap",
    "Metadata",
    "MetadataConflict",
    "PictureGeometry",
    "Place",
    "Reconciled",
    "Role",
    "SquareOnMap",
    "StageMark",
    "Tolerance",
    "identify",
    "is_atlas_of",
    "lay_out",
    "program_at",
    "read_atlas",
    "read_epu_session",
    "read_grid_square",
    "read_picture_geometry",
    "reconcile",
]
