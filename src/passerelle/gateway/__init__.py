"""The watch over microscopes' folders: a poll is the truth, the kernel's events are its wake-up; whole files are handed on once.

    with Watch(folders, known=store.known_files, sink=arrivals):
        ...

The sink records changes durably before it returns; what the caller's record knows at the start is not handed on again.
"""

from passerelle.gateway.admit import admit, ignored
from passerelle.gateway.change import (
    Arrival,
    Bad,
    Change,
    ExpectedFrames,
    FileChange,
    FolderChange,
    FolderState,
    Gone,
    Growing,
    InstrumentFolder,
    KnownFile,
    KnownFiles,
    LinkIgnored,
    Returned,
    Sink,
    Touched,
    Unfinished,
)
from passerelle.gateway.expect import Expectations
from passerelle.gateway.leases import writers_of
from passerelle.gateway.pace import Pace
from passerelle.gateway.settle import SettleRules, Writers
from passerelle.gateway.watch import FolderStatus, Watch

__all__ = [
    "Arrival",
    "Bad",
    "Change",
    "Expectations",
    "ExpectedFrames",
    "FileChange",
    "FolderChange",
    "FolderState",
    "FolderStatus",
    "Gone",
    "Growing",
    "InstrumentFolder",
    "KnownFile",
    "KnownFiles",
    "LinkIgnored",
    "Pace",
    "Returned",
    "SettleRules",
    "Sink",
    "Touched",
    "Unfinished",
    "Watch",
    "Writers",
    "admit",
    "ignored",
    "writers_of",
]
