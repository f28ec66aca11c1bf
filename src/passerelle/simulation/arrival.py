"""How files reach the gateway: appended by the camera as they are made, or copied in bulk from its own disk later."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import Event

import numpy as np

from passerelle.core.errors import storage_errors
from passerelle.simulation.shot import Product

_PIECE_BYTES = 4 << 20
_COPY_BYTES = 8 << 20


def append_files(products: Sequence[Product], folder: Path, buffer: Path, *, seconds: float, stop: Event) -> None:
    """Write files one after another; a large one grows on the share in pieces of 4 MiB over about `seconds`.

    When `stop` is set what was begun is finished without pauses: this microscope never leaves half a file.
    """
    for product in products:
        if not product.large:
            _write(product, folder)
            continue
        made = make(product, buffer)
        target = folder / product.path
        with storage_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            size = made.stat().st_size
            pause = seconds / max(-(-size // _PIECE_BYTES), 1)
            with made.open("rb") as source, target.open("wb") as stream:
                while piece := source.read(_PIECE_BYTES):
                    stream.write(piece)
                    stream.flush()
                    stop.wait(pause)
        made.unlink()


def copy_in_bulk(made: Sequence[tuple[Path, Product]], folder: Path, seed: int) -> None:
    """Copy finished files from the camera's disk to the share, out of order, and remove them there."""
    order = np.random.default_rng(seed).permutation(len(made))
    for index in order:
        source_path, product = made[int(index)]
        target = folder / product.path
        with storage_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            with source_path.open("rb") as source, target.open("wb") as stream:
                while piece := source.read(_COPY_BYTES):
                    stream.write(piece)
        source_path.unlink()


def make(product: Product, buffer: Path) -> Path:
    """Make a file on the camera's own disk; return where it lies."""
    path = buffer / product.path
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        product.write(path)
    return path


def _write(product: Product, folder: Path) -> None:
    target = folder / product.path
    with storage_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        product.write(target)
