"""The sum of the migrations is the schema that the code speaks of."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from passerelle.core.errors import BadConfiguration
from passerelle.store import connect
from passerelle.store.tables import metadata


def test_the_sum_of_the_migrations_is_the_tables(tmp_path: Path) -> None:
    database = connect(f"sqlite:///{tmp_path / 'state.sqlite'}")
    with database.read() as connection:
        differences = compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata)
    database.close()
    assert differences == []


def test_opening_again_migrates_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'state.sqlite'}"
    connect(url).close()
    before = (tmp_path / "state.sqlite").read_bytes()
    connect(url).close()
    assert (tmp_path / "state.sqlite").read_bytes() == before


def test_a_schema_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'state.sqlite'}"
    database = connect(url)
    with database.write() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    database.close()
    with pytest.raises(BadConfiguration, match="9999"):
        connect(url)
