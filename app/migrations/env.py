"""Runs migrations on the connection that `payments.schema.migrate` (or a test) hands over."""

from __future__ import annotations

from alembic import context

from payments.schema.base import SCHEMA
from payments.schema.migrate import context_options
from payments.schema.models import metadata

PROCRASTINATE = "procrastinate_"


def include_name(name: str | None, kind: str, _parents: object) -> bool:
    """Compare our schema only, and leave the job runner's own tables to the job runner."""
    if kind == "schema":
        return name == SCHEMA
    return not (kind == "table" and name is not None and name.startswith(PROCRASTINATE))


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    include_name=include_name,
    **context_options(),
)
with context.begin_transaction():
    context.run_migrations()
