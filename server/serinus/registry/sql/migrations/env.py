"""What alembic runs: the revisions, inside the transaction that its caller has opened."""

from alembic import context

from serinus.registry.sql.tables import SCHEMA_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, version_table=SCHEMA_TABLE
)
with context.begin_transaction():
    context.run_migrations()
