"""The job runner's tables (procrastinate 3.10.0): enqueueing is part of our transactions.

The `.vendored` file beside this one is the runner's own schema of that release, byte for byte (MIT
licence); a newer release brings migrations of its own, which become one of ours. Its functions
name their tables without a schema, so each gets the path to ours.
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

from payments.schema.base import SCHEMA
from payments.schema.grants import grant, run_file

revision = "0006_jobs"
down_revision = "0005_orders"
branch_labels = None
depends_on = None

TABLES = (
    "procrastinate_jobs",
    "procrastinate_events",
    "procrastinate_periodic_defers",
    "procrastinate_workers",
)


def upgrade() -> None:
    """Create them in our schema; the app works the queue itself."""
    op.execute(f"SET LOCAL search_path TO {SCHEMA}")
    run_file(Path(__file__).with_name("0006_procrastinate_3.10.0.vendored"))
    op.execute("SET LOCAL search_path TO DEFAULT")
    grant("SELECT, INSERT, UPDATE, DELETE", *TABLES)
    run_file(Path(__file__).with_name("0006_jobs_rights.sql"))


def downgrade() -> None:
    """Migrations go forward only: money was posted since. Write a new one."""
    raise NotImplementedError("migrations go forward only; write a new one")
