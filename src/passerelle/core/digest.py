"""Streaming digests of bytes, and the fingerprint of a set of parameters."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from blake3 import blake3

_BLOCK = 1 << 20


def fingerprint(parts: Mapping[str, Any]) -> str:
    """Return 32 hexadecimal digits that change when, and only when, a JSON value in `parts` changes.

    Keys are sorted, so that the order in which they were set does not matter.
    """
    canonical = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return blake3(canonical.encode()).hexdigest(length=16)


def file_digest(path: Path) -> str:
    """Return the BLAKE3 digest of a file, 64 hexadecimal digits, read in blocks of 1 MiB."""
    hasher = blake3()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            hasher.update(block)
    return hasher.hexdigest()
