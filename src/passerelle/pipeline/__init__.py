"""That work runs, once, whatever falls over. Knows nothing of cryo-EM: (state, event) -> (state, instructions)."""

from passerelle.pipeline.executor import Ended, Executor
from passerelle.pipeline.machine import (
    Event,
    Expired,
    Failed,
    Instruction,
    Interrupted,
    Launch,
    Lost,
    Phase,
    Policy,
    Requeued,
    Retry,
    SetAside,
    Started,
    Stop,
    Succeeded,
    TakeResult,
    Work,
    advance,
)
from passerelle.pipeline.order import Order, Turns
from passerelle.pipeline.runner import Ledger, Pass, Result, Runner

__all__ = [
    "Ended",
    "Event",
    "Executor",
    "Expired",
    "Failed",
    "Instruction",
    "Interrupted",
    "Launch",
    "Ledger",
    "Lost",
    "Order",
    "Pass",
    "Phase",
    "Policy",
    "Requeued",
    "Result",
    "Retry",
    "Runner",
    "SetAside",
    "Started",
    "Stop",
    "Succeeded",
    "TakeResult",
    "Turns",
    "Work",
    "advance",
]
