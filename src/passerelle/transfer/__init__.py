"""The verified copy: what is called verified was read back from the medium, and survives a power cut."""

from passerelle.transfer.attributes import Keep
from passerelle.transfer.dataset import Copied, copy_dataset
from passerelle.transfer.manifest import Manifest, Row
from passerelle.transfer.outcome import Problem
from passerelle.transfer.progress import Control, Progress

__all__ = ["Control", "Copied", "Keep", "Manifest", "Problem", "Progress", "Row", "copy_dataset"]
