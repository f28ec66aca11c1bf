"""What microscope programs write: path -> role, sidecar -> values. Pure knowledge of names and files."""

from passerelle.acquisition.epu_grid import is_grid_file, read_grid
from passerelle.acquisition.grid import EpuSession, GridMap, HoleOnMap, SquareOnMap, StageMark, is_atlas_of
from passerelle.acquisition.grid_files import read_epu_session
from passerelle.acquisition.metadata import Metadata, MetadataConflict, Reconciled
from passerelle.acquisition.program import AcquisitionProgram, Place, Role
from passerelle.acquisition.programs import PROGRAMS, identify, program_at
from passerelle.acquisition.reconcile import BELIEF, TOLERANCES, Tolerance, reconcile

__all__ = [
    "BELIEF",
    "PROGRAMS",
    "TOLERANCES",
    "AcquisitionProgram",
    "EpuSession",
    "GridMap",
    "HoleOnMap",
    "Metadata",
    "MetadataConflict",
    "Place",
    "Reconciled",
    "Role",
    "SquareOnMap",
    "StageMark",
    "Tolerance",
    "identify",
    "is_atlas_of",
    "is_grid_file",
    "program_at",
    "read_epu_session",
    "read_grid",
    "reconcile",
]
