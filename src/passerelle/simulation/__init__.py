"""A microscope that can be trusted: writes sessions as acquisition programs would, with the truth aside."""

from passerelle.simulation.atoms import Atoms, read_atoms
from passerelle.simulation.drift import per_frame, random_field, still_field
from passerelle.simulation.electrons import Events, deal, deal_events, draw_electrons
from passerelle.simulation.krios import krios_micrograph
from passerelle.simulation.microscope import Delivered, simulate
from passerelle.simulation.particles import particles_of_model
from passerelle.simulation.phantom import Conditions, phantom
from passerelle.simulation.plan import InstrumentPlan, Plan, demo_plan
from passerelle.simulation.replay import PastFile, past_files, replay
from passerelle.simulation.specimen import Pose, Specimen
from passerelle.simulation.truth import Truth, load_truth, truth_files

__all__ = [
    "Atoms",
    "Conditions",
    "Delivered",
    "Events",
    "InstrumentPlan",
    "PastFile",
    "Plan",
    "Pose",
    "Specimen",
    "Truth",
    "deal",
    "deal_events",
    "demo_plan",
    "draw_electrons",
    "krios_micrograph",
    "load_truth",
    "particles_of_model",
    "past_files",
    "per_frame",
    "phantom",
    "random_field",
    "read_atoms",
    "replay",
    "simulate",
    "still_field",
    "truth_files",
]
