"""The schema, and who may look into it.

Later revisions grant table by table: nothing is given to the app by default, so that a forgotten
grant is a loud error and a forgotten REVOKE cannot happen.
"""

from __future__ import annotations

from alembic import op

from payments.schema.base import SCHEMA
from payments.schema.prepare import APP_GROUP

revision = "0001_frame"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Let the app into the schema; close its functions to everybody else."""
    op.execute(f"GRANT USAGE ON SCHEMA {SCHEMA} TO {APP_GROUP}")
    op.execute("ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC")


def downgrade() -> None:
    """Migrations go forward only: money was posted since. Write a new one."""
    raise NotImplementedError("migrations go forward only; write a new one")
