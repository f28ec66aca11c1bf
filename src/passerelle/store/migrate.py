"""Bring a database to the schema of this version: the sum of the migrations in `store/migrations/versions`."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from passerelle.core.errors import BadConfiguration


def upgrade(connection: Connection) -> None:
    """Run the migrations that are missing, within the transaction of `connection`.

    Raises:
        BadConfiguration: the schema was made by a newer version of passerelle.
    """
    config = _config(connection)
    script = ScriptDirectory.from_config(config)
    current = MigrationContext.configure(connection).get_current_revision()
    if current == script.get_current_head():
        return
    if current is not None and current not in {revision.revision for revision in script.walk_revisions()}:
        raise BadConfiguration(
            f"the database has schema {current}, which this version of passerelle does not know.",
            advice="Install the version of passerelle that last used it, or a newer one.",
        )
    command.upgrade(config, "head")


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", "passerelle.store:migrations")
    config.attributes["connection"] = connection
    return config
