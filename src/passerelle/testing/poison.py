"""A registry whose movies kill the worker that takes them, as one that needs more memory than there is does."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from typing import Any

REGISTRY = "passerelle.testing.poison"


def _die(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


TASKS = {"movie": _die}
