"""Helpers for migrations: what a migration does besides Alembic's own operations."""

from __future__ import annotations

from pathlib import Path

from alembic import op

from payments.schema.base import SCHEMA
from payments.schema.prepare import APP_GROUP


def grant(privileges: str, *tables: str) -> None:
    """Grant the app `privileges` (e.g. `SELECT, INSERT`) on tables of our schema."""
    for table in tables:
        op.execute(f"GRANT {privileges} ON {SCHEMA}.{table} TO {APP_GROUP}")


def run_file(path: Path) -> None:
    """Run a file of SQL as it stands: no parameter, no colon and no percent sign is touched."""
    cursor = op.get_bind().connection.cursor()
    cursor.execute(path.read_text(encoding="utf-8"))
    cursor.close()
