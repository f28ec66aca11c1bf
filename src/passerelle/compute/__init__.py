"""Where work runs: in this process, in processes of this machine, or through Parsl; same submit, poll, cancel."""

from passerelle.compute.inline import InlineExecutor
from passerelle.compute.pool import PoolExecutor
from passerelle.compute.work import perform

__all__ = ["InlineExecutor", "PoolExecutor", "perform"]
