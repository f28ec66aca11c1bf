"""The verified copy: what is called verified was read back from the medium, and survives a power cut."""

from passerelle.transfer.attributes import Keep
from passerelle.transfer.dataset import Copied, copy_dataset
from passerelle.transfer.follow import follow_dataset
from passerelle.transfer.manifest import Manifest, Row
from passerelle.transfer.outcome import Problem
from passerelle.transfer.progress import Control, Progress
from passerelle.transfer.verify import Verified, verify_dataset

__all__ = [
    "Control",
    "Copied",
    "Keep",
    "Manifest",
    "Problem",
    "Progress",
    "Row",
    "Verified",
    "copy_dataset",
    "follow_dataset",
    "verify_dataset",
]
