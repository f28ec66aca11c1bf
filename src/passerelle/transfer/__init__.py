"""The verified copy: what is called verified was read back from the medium, and survives a power cut."""

from passerelle.transfer import purge
from passerelle.transfer.attributes import Keep
from passerelle.transfer.beneath import Root
from passerelle.transfer.dataset import Copied, copy_dataset
from passerelle.transfer.ends import Within, open_source
from passerelle.transfer.follow import follow_dataset
from passerelle.transfer.manifest import Manifest, Row
from passerelle.transfer.medium import Buffers
from passerelle.transfer.outcome import Problem
from passerelle.transfer.plan import describes
from passerelle.transfer.progress import Control, Progress
from passerelle.transfer.selection import Selection, Weight, weigh
from passerelle.transfer.tree import Entry, Kind, list_folder, walk_tree
from passerelle.transfer.verify import Verified, verify_dataset

__all__ = [
    "Buffers",
    "Control",
    "Copied",
    "Entry",
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
    "describes",
    "follow_dataset",
    "list_folder",
    "open_source",
    "purge",
    "verify_dataset",
    "walk_tree",
    "weigh",
]
