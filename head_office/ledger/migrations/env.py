"""Run by Alembic: applies the revisions on the connection handed in; whoever handed it in commits."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
