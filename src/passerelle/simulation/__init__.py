"""A microscope that can be trusted: writes sessions as acquisition programs would, with the truth aside."""

from passerelle.simulation.drift import random_field, still_field
from passerelle.simulation.electrons import counts_to_electrons, deal, draw_electrons
from passerelle.simulation.krios import krios_micrograph
from passerelle.simulation.microscope import Delivered, simulate
from passerelle.simulation.phantom import Conditions, phantom
from passerelle.simulation.plan import InstrumentPlan, Plan, demo_plan
from passerelle.simulation.specimen import Pose, Specimen
from passerelle.simulation.truth import Truth, load_truth, truth_files

__all__ = [
    "Conditions",
    "Delivered",
    "InstrumentPlan",
    "Plan",
    "Pose",
    "Specimen",
    "Truth",
    "counts_to_electrons",
    "deal",
    "demo_plan",
    "draw_electrons",
    "krios_micrograph",
    "load_truth",
    "phantom",
    "random_field",
    "simulate",
    "still_field",
    "truth_files",
]
