"""Addresses of pages that carry names of files, which may have any characters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

from passerelle.service.datasets import DatasetView


def dataset_address(dataset: DatasetView) -> str:
    """Return the address at which a dataset is chosen to be sent."""
    return address(dataset.instrument, dataset.source)


def folder_address(instrument: str) -> str:
    """Return the address at which the folders of an instrument are browsed."""
    return address(instrument, "", browse=True)


def address(instrument: str, source: str, *, browse: bool = False) -> str:
    """Return the address at which a folder of an instrument is chosen, or browsed."""
    return f"/send?{urlencode({'instrument': instrument, 'source': source} | ({'browse': '1'} if browse else {}))}"


FILTERS: Mapping[str, Callable[..., Any]] = {"dataset_address": dataset_address, "folder_address": folder_address}
