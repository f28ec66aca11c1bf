"""How the house names the places where numerics run, as torch does: "cpu", "cuda", "cuda:1" for the second card."""

from __future__ import annotations

DEVICE_PATTERN = r"cpu|cuda(:\d{1,3})?"
