"""Alembic's entry: runs migrations on the connection that `store.migrate` hands over, in its transaction."""

from alembic import context

from passerelle.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,  # SQLite's DDL is transactional, too, since our connections open transactions themselves
    render_as_batch=True,
)
context.run_migrations()
