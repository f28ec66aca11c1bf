"""What every test may ask for."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from passerelle.store import Database, connect

ROOT = Path(__file__).resolve().parents[1]

# other tests run beside: what takes long is not wrong
settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ci" if os.environ.get("PASSERELLE_REQUIRE_ALL") else "here")  # `ci` tries the same values every time


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In continuous integration a test that is skipped for a missing program has found a missing install step: it fails.

    Real data may be absent anywhere, and so may torch where it would bring gigabytes of libraries for cards.
    """
    report = yield
    if call.excinfo and call.excinfo.errisinstance(pytest.skip.Exception) and os.environ.get("PASSERELLE_REQUIRE_ALL"):
        reason = str(call.excinfo.value)
        if "not installed" in reason and "passerelle[gpu]" not in reason:
            report.outcome = "failed"
            report.longrepr = f"{item.nodeid}: skipped although PASSERELLE_REQUIRE_ALL is set: {reason}"
    return report


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("PASSERELLE_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder}: set PASSERELLE_DATA")
    return folder


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database of the present schema, made once: migrations take longer than most tests."""
    path = tmp_path_factory.mktemp("schema") / "state.sqlite"
    connect(f"sqlite:///{path}").close()
    return path


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder of this test alone that other accounts get through; they do not get to `tmp_path`."""
    made = Path(tempfile.mkdtemp(prefix="passerelle-test-"))
    made.chmod(0o711)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def database(migrated_file: Path, tmp_path: Path) -> Iterator[Database]:
    """A database of this test alone."""
    path = tmp_path / "state" / "state.sqlite"
    path.parent.mkdir()
    shutil.copyfile(migrated_file, path)
    made = Database(f"sqlite:///{path}", busy_seconds=30.0)  # long, as disks are slow while other tests run
    yield made
    made.close()
