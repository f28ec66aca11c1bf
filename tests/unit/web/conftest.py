"""A client of the application over the stand-in with generated sessions; no server, no network."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from passerelle.web import create_app
from passerelle.web.arrival import TOKEN_COOKIE
from tests.web_demo import DemoStatus
from tests.web_house import House

with warnings.catch_warnings():  # Starlette would rather have the successor of httpx, which has no stable release yet
    warnings.simplefilter("ignore")
    from fastapi.testclient import TestClient

TOKEN = "t" * 24


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pictures")


@pytest.fixture(scope="module")
def status(pictures: Path) -> DemoStatus:
    return DemoStatus(pictures, 30, pictures=2, hostile=True)


@pytest.fixture
def client(status: DemoStatus, pictures: Path) -> Iterator[TestClient]:
    app = create_app(status, files_beneath=(pictures,), hosts=("krios.example",))
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
        client.cookies.set(TOKEN_COOKIE, TOKEN)
        client.headers["x-passerelle-token"] = TOKEN
        client.headers["accept"] = "text/html"
        yield client


@pytest.fixture
def house(tmp_path: Path, migrated_file: Path) -> Iterator[House]:
    """A real service whose pages ask."""
    made = House(tmp_path, migrated_file)
    yield made
    made.close()
