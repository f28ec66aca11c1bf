"""The verified copy: what is called verified was read back from the medium, and survives a power cut."""

from passerelle.transfer.attributes import Keep
from passerelle.transfer.beneath import Root
from passerelle.transfer.dataset import Copied, copy_dataset
from passerelle.transfer.ends import Within, open_source
from passerelle.transfer.follow import follow_dataset
from passerelle.transfer.manifest import Manifest, Row
from passerelle.transfer.outcome import Problem
from passerelle.transfer.progress import Control, Progress
from passerelle.transfer.selection import Selection, Weight, weigh
from passerelle.transfer.tree import Kind, walk_tree
from passerelle.transfer.verify import Verified, verify_dataset

__all__ = [
    "Control",
    "Copied",
    "Keep",
    "Kind",
    "Manifest",
    "Problem",
    "Progress",
    "Root",
    "Row",
    "Selection",
    "Verified",
    "Weight",
    "Within",
    "copy_dataset",
    "follow_dataset",
    "open_source",
    "verify_dataset",
    "walk_tree",
    "weigh",
]
