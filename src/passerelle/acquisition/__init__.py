"""What microscope programs write: path -> role, sidecar -> values. Pure knowledge of names and files."""

from passerelle.acquisition.metadata import Metadata, MetadataConflict, Reconciled
from passerelle.acquisition.program import AcquisitionProgram, Place, Role
from passerelle.acquisition.programs import PROGRAMS, identify, program_at
from passerelle.acquisition.reconcile import BELIEF, TOLERANCES, Tolerance, reconcile

__all__ = [
    "BELIEF",
    "PROGRAMS",
    "TOLERANCES",
    "AcquisitionProgram",
    "Metadata",
    "MetadataConflict",
    "Place",
    "Reconciled",
    "Role",
    "Tolerance",
    "identify",
    "program_at",
    "reconcile",
]
